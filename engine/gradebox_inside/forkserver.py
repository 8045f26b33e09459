"""The fork server: a warm interpreter inside the jail that makes a sandboxed process on request.

Theory of operation. One per jail, started by nsjail with the worker's control socket as its only descriptor (0).
It runs as uid 0 of the jail's user namespace, programs run as other uids in PID namespaces of their own: they can
neither see nor signal it. It holds no secret: programs, tests and answers travel on per-process channels that it
passes on and closes. It is single-threaded and answers one request at a time:

    worker → fork server                                    answer
    ("config", BPF for all, BPF of a program, [modules])    ("ready",) + the listener of refused calls
    ("spawn", spec, [pids]) + descriptors (SCM_RIGHTS)      SPAWNED with the pid, or ("error", text)
    ("reap", pid)                                           ("exited", pid, wait status, CPU seconds, peak bytes)

"spawn" first reaps the pids that it names. The worker reaps only what it knows to be dead or has killed, so that it
never waits long, and a pid cannot be used again before the worker has finished with it. On end of file the fork server
exits, and the jail with it: it is the init of the jail's PID namespace.
"""

from __future__ import annotations

import _sitebuiltins
import _socket
import _thread
import builtins
import importlib
import os
import sys
import time
from struct import Struct

from gradebox_inside import codec, oracle, program, sandbox, stdio, warm
from gradebox_inside.orders import HELLO, SPAWNED, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONTROL_FD = 0
MAX_REQUEST_BYTES = 1 << 18
MAX_DESCRIPTORS = 6
_INT = Struct("i")


def _warm(modules: list[str]) -> None:
    """What every program would otherwise pay for: common modules, and the names that `site` adds to builtins."""
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D")
    builtins.copyright = _sitebuiltins._Printer("copyright", sys.copyright)
    builtins.help = _sitebuiltins._Helper()
    for name in modules:
        importlib.import_module(name)
    _thread.stack_size(sandbox.THREAD_STACK_BYTES)
    _warm_streams()
    warm.train()
    warm.settle()


def _warm_streams() -> None:
    """Makes sys.stdin and its like before any fork. They name the descriptors 0, 1 and 2, whatever these will be.

    They must not find a seekable file there now: they would remember that, and a program's are pipes.
    """
    kept = os.dup(1), os.dup(2)
    os.dup2(CONTROL_FD, 1)
    os.dup2(CONTROL_FD, 2)
    stdio.open_streams()
    for number, descriptor in enumerate(kept, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _run_child(role: str, has_peer: bool) -> None:
    channel = _socket.socket(fileno=sandbox.CHANNEL_FD)
    peer = _socket.socket(fileno=sandbox.PEER_FD) if has_peer else None
    if (random := sys.modules.get("numpy.random")) is not None:
        random.seed()  # as a fresh import does; the module `random` does so by itself after a fork
    # The hello: sandboxed, ready for a program. What it tells is the worker's zero.
    channel.sendall(b"!" + HELLO.pack(time.process_time_ns(), time.monotonic_ns()))
    if role == "oracle":
        assert peer is not None
        oracle.serve(channel, peer)
    else:
        program.serve(channel, peer, sandbox.BELL_FD)


def _spawn(spec: dict[str, Any], descriptors: list[int], bpf: bytes) -> int:
    pid = sandbox.spawn(spec, descriptors, bpf)
    if pid:
        return pid
    try:
        _run_child(spec["role"], len(descriptors) == MAX_DESCRIPTORS)
    finally:
        os._exit(0)


def _reap(pid: int) -> tuple[Any, ...]:
    _, status, usage = os.wait4(pid, 0)
    return ("exited", pid, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10)


def _receive(control: _socket.socket) -> tuple[bytes, list[int]]:
    """A request, and the descriptors that came with it. The module `socket` would weigh on every fork."""
    data, ancillary, _, _ = control.recvmsg(MAX_REQUEST_BYTES, _socket.CMSG_LEN(MAX_DESCRIPTORS * _INT.size))
    descriptors: list[int] = []
    for level, kind, content in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            descriptors += [number for (number,) in _INT.iter_unpack(content)]
    return data, descriptors


def main() -> None:
    """Serves requests until the worker closes the control socket."""
    control = _socket.socket(fileno=CONTROL_FD)
    sandbox.make_capabilities_final()
    sandbox.limit_for_all()
    sandbox.prctl(sandbox.PR_SET_DUMPABLE, 0)
    program_filter = b""
    while True:
        data, descriptors = _receive(control)
        if not data:
            os._exit(0)
        request = unpack(data)
        passed: list[int] = []
        try:
            if request[0] == "spawn":
                for pid in request[2]:
                    os.waitpid(pid, 0)
                pid = _spawn(request[1], descriptors, program_filter)
                for descriptor in descriptors:
                    os.close(descriptor)
                control.send(SPAWNED.pack(b"+", pid))
                continue
            answer: tuple[Any, ...]
            if request[0] == "reap":
                answer = _reap(request[1])
            else:
                program_filter = request[2]
                _warm(request[3])
                passed = [sandbox.load_filter_with_listener(request[1])]
                answer = ("ready",)
        except Exception as error:
            answer = ("error", repr(error)[:500])
        for descriptor in descriptors:
            os.close(descriptor)
        if passed:
            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _INT.pack(*passed))
            control.sendmsg([codec.encode(answer)], [rights])
            os.close(passed.pop())
        else:
            control.send(codec.encode(answer))
