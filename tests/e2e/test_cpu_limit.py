"""The CPU limit counts all threads and all processes of a program, and it alone ends what never rests."""

import pytest

import gradebox

CPU_LIMIT_S = 0.5
# Only the CPU limit can end these in time.
LIMITS = {"cpu_time_s": CPU_LIMIT_S, "wall_time_s": 60.0, "processes": 8}

THREADS = """
import hashlib, threading, zlib
def work():
    data = bytes(range(256)) * 4096  # worked on without the interpreter's lock
    def spin(native):
        while True:
            native(data)
    for native in (hashlib.sha256, zlib.crc32, hashlib.sha512, zlib.compress):
        threading.Thread(target=spin, args=(native,)).start()
    threading.Event().wait()
"""
CHILDREN = """
import os
def work():
    for _ in range(3):
        if os.fork() == 0:
            while True:
                pass
    os.wait()
"""
SLEEPING_PARENT = """
import os, time
def work():
    if os.fork() == 0:
        while True:
            pass
    time.sleep(1000)
"""
STOPPED_PARENT = """
import os, signal
def work():
    parent = os.getpid()
    if os.fork() == 0:
        if os.fork() == 0:
            while True:
                pass
        os.kill(os.getpid(), signal.SIGSTOP)
    os.wait()
"""
GRANDCHILDREN = """
import os
def work():
    if os.fork() == 0:
        while True:  # its own are reaped, and their time is known to it alone
            if os.fork() == 0:
                sum(range(1_000_000))
                os._exit(0)
            os.wait()
    os.wait()
"""
SHORT_CHILDREN = """
import os
def work():
    while True:  # each lives for less than a tick of the kernel's clock
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
"""
NOT_WAITED_FOR = """
import os, signal, time
def work():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody ever learns what these have used
    while True:
        try:
            if os.fork() == 0:
                sum(range(100_000))
                os._exit(0)
        except BlockingIOError:
            time.sleep(0.001)
"""
ONE_PROCESS = {"one process": "def work():\n    while True: pass\n", "threads": THREADS}
MANY_PROCESSES = {
    "children": CHILDREN,
    "sleeping parent": SLEEPING_PARENT,
    "stopped parent": STOPPED_PARENT,
    "grandchildren": GRANDCHILDREN,
    "short children": SHORT_CHILDREN,
    "not waited for": NOT_WAITED_FOR,
}
BESIDE = """
from unittest import mock
import program
def test_it():
    with mock.patch('program.work', program.work):
        program.work()
"""
WAYS = {
    "stdio": {"stdin": "", "expected_stdout": ""},
    "assert": "assert work() is None",
    "oracle": "for _ in range(1):\n    assert work() is None",
    "beside": {"unittest": BESIDE},
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", [*ONE_PROCESS, *MANY_PROCESSES])
def test_what_never_rests_ends_at_the_cpu_limit(engine: gradebox.Engine, name: str, how: str) -> None:
    source = (ONE_PROCESS | MANY_PROCESSES)[name] + ("work()\n" if how == "stdio" else "")
    limits = LIMITS if name in MANY_PROCESSES else LIMITS | {"processes": 1}
    (result,) = engine.grade([source], tests=[WAYS[how]], limits=limits)  # type: ignore[list-item]
    (test,) = result.tests
    assert test.verdict is gradebox.Verdict.TIME_LIMIT, test
    assert "of CPU time" in test.message, test
    # The engine looks again after half a second at the latest; more than that on all cores is too much.
    assert CPU_LIMIT_S <= test.cpu_time_s < 3, test


@pytest.mark.parametrize("how", WAYS)
def test_what_only_waits_ends_at_the_wall_limit(engine: gradebox.Engine, how: str) -> None:
    # Stopped, if that can be: the first process of a PID namespace takes no signal from inside that it does not handle.
    source = "import os, signal\ndef work():\n    os.kill(os.getpid(), signal.SIGSTOP)\n    signal.pause()\n"
    source += "work()\n" if how == "stdio" else ""
    limits = {"cpu_time_s": 1.0, "wall_time_s": 1.0}
    (result,) = engine.grade([source], tests=[WAYS[how]], limits=limits)  # type: ignore[list-item]
    assert result.verdict is gradebox.Verdict.TIME_LIMIT, result
    assert "of wall time" in result.tests[0].message, result
