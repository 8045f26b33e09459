"""CPU time, wall time and peak memory of a test case, against what /usr/bin/time says of the program run alone.

A program works until its own clocks say that it has used about a second, or touches 200 MB: what a loaded machine makes
of that does not matter, and the interpreter's own start (some 15 ms and 10 MB, which a warm process has not) is far
below the 10 % that are allowed. The least deviation of three runs counts, since load only adds.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import gradebox

WITHIN = 0.10
ATTEMPTS = 3
LIMITS = {"cpu_time_s": 10.0, "memory_bytes": 1 << 30, "disk_bytes": 300 << 20}
MANY = LIMITS | {"processes": 8}

# Each defines work(); nothing else of it takes time or memory.
PYTHON = """
import time
def work():
    while time.process_time() < 1:
        sum(i * i for i in range(1000))
"""
NATIVE = """
import hashlib, time
def work():
    data = bytes(1 << 20)
    while time.process_time() < 1:
        hashlib.sha256(data).digest()
"""
SYSTEM = """
import os, time
def work():
    fd = os.open("scratch", os.O_RDWR | os.O_CREAT)
    while sum(os.times()[:2]) < 1:
        for _ in range(1000):
            os.pwrite(fd, b"x", 0)
            os.pread(fd, 1, 0)
"""
THREADS = """
import hashlib, threading, time
def work():
    data = bytes(1 << 20)
    def spin():
        while time.process_time() < 1:
            hashlib.sha256(data).digest()
    threads = [threading.Thread(target=spin) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
"""
CHILDREN = """
import os, time
def work():
    pids = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            end = time.process_time() + 0.25
            while time.process_time() < end:
                pass
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
"""
SHORT_CHILDREN = """
import os, time
def work():
    while sum(os.times()[:4]) < 1:  # each of them lives for less than a tick of the kernel's clock
        pid = os.fork()
        if pid == 0:
            os._exit(sum(range(10_000)) & 0)
        os.waitpid(pid, 0)
"""
GRANDCHILDREN = """
import os, time
def work():
    if (pid := os.fork()) == 0:
        for _ in range(2):
            if os.fork() == 0:
                end = time.process_time() + 0.5
                while time.process_time() < end:
                    pass
                os._exit(0)
        os.wait(), os.wait()
        os._exit(0)
    os.waitpid(pid, 0)
"""
SLEEP = """
import time
def work():
    time.sleep(2)  # for a test beside a program imports what it needs, and that is its time
"""
MEMORY = """
def work():
    block = bytearray(200 << 20)
    for at in range(0, len(block), 4096):
        block[at] = 1
"""
CHILD_MEMORY = """
import os
def work():
    if (pid := os.fork()) == 0:
        block = bytearray(200 << 20)
        for at in range(0, len(block), 4096):
            block[at] = 1
        os._exit(0)
    os.waitpid(pid, 0)
"""


@dataclass(frozen=True)
class Used:
    """What one run used; seconds and bytes."""

    cpu_time_s: float
    wall_time_s: float
    memory_bytes: int


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Used]:
    """Runs a program on the bare interpreter, under /usr/bin/time or its like; once, unless it is to be anew."""
    folder: Path = tmp_path_factory.mktemp("alone")
    python = os.path.realpath(sys.executable)

    known: dict[str, Used] = {}

    def run(source: str, anew: bool) -> Used:
        if anew or source not in known:
            known[source] = measured(source)
        return known[source]

    def measured(source: str) -> Used:
        (folder / "program.py").write_text(source)
        command = [python, "-I", "-S", "program.py"]
        if not os.path.exists("/usr/bin/time"):
            return _waited(command, folder)
        timed = ["/usr/bin/time", "-f", "%U %S %e %M", *command]
        ran = subprocess.run(timed, cwd=folder, capture_output=True, text=True, check=True)
        user_s, system_s, wall_s, peak_kib = map(float, ran.stderr.split())
        return Used(user_s + system_s, wall_s, int(peak_kib) << 10)

    return run


def _waited(command: list[str], folder: Path) -> Used:
    """The same figures from wait4, of a child of a small process: a child's peak starts with its parent's size."""
    script = (
        "import os, sys, time\n"
        "start = time.monotonic()\n"
        "pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)\n"
        "_, status, used = os.wait4(pid, 0)\n"
        "print(used.ru_utime + used.ru_stime, time.monotonic() - start, used.ru_maxrss)\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    ran = subprocess.run(
        [command[0], "-I", "-S", "-c", script, *command], cwd=folder, capture_output=True, text=True, check=True
    )
    cpu_s, wall_s, peak_kib = map(float, ran.stdout.split())
    return Used(cpu_s, wall_s, int(peak_kib) << 10)


def graded(engine: gradebox.Engine, source: str, how: str, limits: dict[str, float]) -> Used:
    """The same program as a test case: a whole program, a call, or a test in the oracle."""
    tests: dict[str, tuple[str, list[object]]] = {
        "stdio": (source + "work()\n", [{"stdin": "", "expected_stdout": ""}]),
        "assert": (source, ["assert work() is None"]),
        "oracle": (source, ["for _ in range(1):\n    assert work() is None"]),
        "beside": (source, [{"unittest": BESIDE}]),
    }
    program, cases = tests[how]
    (result,) = engine.grade([program], tests=cases, limits=limits)  # type: ignore[arg-type]
    (test,) = result.tests
    assert test.verdict is gradebox.Verdict.PASSED, test
    return Used(test.cpu_time_s, test.wall_time_s, test.memory_bytes)


BESIDE = """
from unittest import mock
import program
def test_it():
    with mock.patch('program.work', program.work):
        program.work()
"""


def deviation(what: str, one: Used, two: Used) -> float:
    """How far two runs are apart, as a share of the first."""
    first, second = getattr(one, what), getattr(two, what)
    return float(abs(first - second) / first)


WAYS = ["stdio", "assert", "oracle", "beside"]
CASES = [
    ("python", "cpu_time_s", PYTHON, LIMITS),
    ("native", "cpu_time_s", NATIVE, LIMITS),
    ("system", "cpu_time_s", SYSTEM, LIMITS),
    ("threads", "cpu_time_s", THREADS, LIMITS),
    ("children", "cpu_time_s", CHILDREN, MANY),
    ("short children", "cpu_time_s", SHORT_CHILDREN, MANY),
    ("grandchildren", "cpu_time_s", GRANDCHILDREN, MANY),
    ("sleep", "wall_time_s", SLEEP, LIMITS),
    ("memory", "memory_bytes", MEMORY, LIMITS),
    ("child memory", "memory_bytes", CHILD_MEMORY, MANY),
]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    ("what", "source", "limits"), [pytest.param(what, *rest, id=name) for name, what, *rest in CASES]
)
def test_as_usr_bin_time(
    engine: gradebox.Engine,
    alone: Callable[[str, bool], Used],
    what: str,
    source: str,
    limits: dict[str, float],
    how: str,
) -> None:
    found = []
    for attempt in range(ATTEMPTS):
        one, two = alone(source + "work()\n", attempt > 0), graded(engine, source, how, limits)
        found.append((deviation(what, one, two), one, two))
        if found[-1][0] <= WITHIN:
            return
    pytest.fail(f"{what} is off by {min(one[0] for one in found):.0%} at least: {found}", pytrace=False)
