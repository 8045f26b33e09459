"""The program's process: serves the worker's messages after the sandbox is closed around it.

    worker → program                                       answer
    ("load", source, {"name", "with_typing"})              ("loaded", [evidence]) or ("failed", kind, info)
                                                           perhaps after ("noted", [evidence]), of the source alone
    ("calls", first index, [tree…], [flags…])              one ("answer", index, cpu_us, wall_us, outcome) a tree
    ("in_process", index, kind, setup, source)             ("tested", index, cpu_ns, wall_ns, result)
    ("serve",)                                             ("served",) when the oracle pauses or is gone
    ("stdio", source, argv)                                exits; status not 0: after ("ended", status, info)
    ("stdio", source, argv, {"files", "fetch"})            the same in a child; then see `supervise`
    ("exec", order), ("compile", order)                    see `supervise`

Answers to "calls" lie in the channel until the bell, a pipe, is rung: at the end, and before more time or bytes have
come together than the worker should not know of. A worker that was woken for each would spend more on that than on all
of its judging. Whatever dies or hangs, what was sent before is there.

outcome: ("value", v), ("raised", info) or ("over_budget",). Whatever this process says may be a lie: the program
can do anything to it. But an honest program must not break it by patching what it uses: clocks, sends and
builtins are taken before the program is loaded.
"""

from __future__ import annotations

import builtins
import gc
import os
import sys
from _operator import is_
from functools import partial

from gradebox_inside import supervise
from gradebox_inside.calls import LOADED, answer_calls
from gradebox_inside.encode import encode
from gradebox_inside.frames import Channel
from gradebox_inside.loader import load
from gradebox_inside.orders import unpack
from gradebox_inside.peer import program_peer
from gradebox_inside.stdio import open_streams, run

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from types import ModuleType
    from typing import Any

_exit = os._exit
_write = os.write
_frame = sys._getframe
LONGEST_ORDER_BYTES = 1 << 30
_FAULT_STATUS = 70


def own_depth() -> int:
    """How many frames are on the stack: a program's recursion limit must not have to pay for them."""
    depth, frame = 0, _frame(1)
    while frame is not None:
        depth, frame = depth + 1, frame.f_back  # type: ignore[assignment]
    return depth


def _signs(before: tuple[Any, ...]) -> list[str]:
    """What can be seen of a program that has just been loaded. before: the values of builtins' names until then."""
    now = vars(builtins).values()
    same = len(now) == len(before) and all(map(is_, now, before))  # no comparison that the program could answer
    return [] if same else ["PATCHED_BUILTINS"]


def _whole(source: bytes, argv: list[str], worker: Channel) -> int:
    """Runs a whole program. Returns its exit status; the message only explains it."""
    code, info = run(source, argv)
    if code:
        worker.send(encode(("ended", code, info)))
    return code & 0xFF


def _with_files(source: bytes, argv: list[str], options: dict[str, Any], worker: Channel) -> int:
    """The same with files before and after it; those after it are told by the parent of the program's process."""
    supervise.put_files("/tmp", options["files"])
    if not options["fetch"]:
        return _whole(source, argv, worker)
    status, peak_bytes = supervise.fork_and_wait(partial(_whole, source, argv, worker))
    supervise.send_fetched(options["fetch"], worker.send)
    worker.send(encode(("exited", status, peak_bytes)))
    return 0


def serve(channel: socket, oracle: socket | None, bell_fd: int | None = None) -> None:
    """Serves until the worker closes the channel. `oracle` leads to the oracle's process, where there is one."""

    def ring() -> None:
        try:
            if bell_fd is not None:
                _write(bell_fd, b"!")
        except OSError:  # the program has closed it: that wakes the worker, too
            pass

    worker = Channel(channel, LONGEST_ORDER_BYTES, ring)
    peer = None if oracle is None else Channel(oracle, 1 << 28)
    sys.setrecursionlimit(sys.getrecursionlimit() + own_depth() + 4)
    sys.argv = ["program.py"]
    open_streams()
    gc.enable()
    module: ModuleType | None = None
    conversation: Any = None

    def note(evidence: str) -> None:
        worker.send(encode(("noted", [evidence])))

    try:
        while (payload := worker.receive()) is not None:
            message = unpack(payload)
            tag = message[0]
            if tag == "calls" and module is not None:
                answer_calls(message[1], message[2], message[3], module.__dict__, worker.send, ring)
                continue
            answer: tuple[Any, ...]
            if tag == "load":
                options, before = message[2], tuple(vars(builtins).values())
                module, failure = load(message[1], options["name"], options.get("with_typing", False), note)
                signs = _signs(before) if failure is None else []
                if failure is None and not signs:
                    worker.send(LOADED)
                    continue
                answer = ("failed", *failure) if failure is not None else ("loaded", signs)
            elif tag == "in_process" and module is not None:
                from gradebox_inside.beside import test_beside

                answer = test_beside(module, *message[1:])
            elif tag == "serve" and module is not None and peer is not None:
                if conversation is None:
                    conversation = program_peer(peer, module)
                conversation.serve()
                answer = ("served",)
            elif tag == "stdio":
                if len(message) > 3:
                    _exit(_with_files(message[1], message[2], message[3], worker))
                _exit(_whole(message[1], message[2], worker))  # the status is the evidence
            elif tag == "exec":
                _exit(supervise.run_command(message[1], worker.send))
            elif tag == "compile":
                _exit(supervise.run_compiler(message[1], worker.send))
            else:
                answer = ("refused", tag)
            del message
            worker.send(encode(answer))
            ring()
    except BaseException:  # the channel is gone, or the program broke this process: silence is not an answer
        _exit(_FAULT_STATUS)
