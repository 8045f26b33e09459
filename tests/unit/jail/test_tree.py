"""Accounting without a control group, on real processes of this one's own."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from tests.waiting import wait_until

from gradebox_engine.jail import tree

# Stands for nsjail, with a fork server below it that starts a Python child for every line, and waits for none.
NSJAIL = """
import subprocess, sys
server = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=0, stdout=1)
server.wait()
"""
SERVER = """
import os, sys
print(os.getpid(), flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        exec(eval(line))
        os._exit(0)
    print(pid, flush=True)
"""
SPIN = "import time\nend = time.process_time() + {s}\nwhile time.process_time() < end: pass"
Start = Callable[[str], int]


@pytest.fixture
def jail() -> Iterator[tuple[tree.ProcessTree, Start]]:
    """A tree that follows such a family, and what starts a child in it and gives its pid."""
    command = [sys.executable, "-c", NSJAIL, SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        stdout.readline()

        def start(code: str) -> int:
            stdin.write(repr(code) + "\n")
            stdin.flush()
            return int(stdout.readline())

        made = tree.ProcessTree()
        made.follow(process.pid)
        yield made, start
        made.remove()
        stdin.close()


def test_what_a_process_used_stays_counted(jail: tuple[tree.ProcessTree, Start]) -> None:
    made, start = jail
    before = made.cpu_time_s()
    pid = start(SPIN.format(s=0.3))
    assert wait_until(lambda: tree._seen(pid) is None or made.cpu_time_s() - before >= 0.28)
    start(SPIN.format(s=0.2))
    assert wait_until(lambda: made.cpu_time_s() - before >= 0.45)
    first = made.cpu_time_s()
    assert made.cpu_time_s() >= first


def test_time_that_a_parent_waited_for_is_counted_once(jail: tuple[tree.ProcessTree, Start]) -> None:
    made, start = jail
    before = made.cpu_time_s()
    spin = SPIN.format(s=0.3).replace("\n", "\n    ")
    start(f"import os\nif os.fork() == 0:\n    {spin}\n    os._exit(0)\nos.wait()\nimport time\ntime.sleep(1)")
    assert wait_until(lambda: made.cpu_time_s() - before >= 0.28)
    time.sleep(0.3)  # waited for by now: in its parent's figures, and no longer in its own
    assert made.cpu_time_s() - before < 0.5


def test_the_largest_is_ended_and_counted(jail: tuple[tree.ProcessTree, Start]) -> None:
    made, start = jail
    made.set_memory(100 << 20)
    small = start("held = bytearray(b'x') * (20 << 20)\nimport time\ntime.sleep(60)")
    time.sleep(0.1)
    assert made.oom_kills() == 0
    start("held = bytearray(b'x') * (120 << 20)\nimport time\ntime.sleep(60)")
    assert wait_until(lambda: made.oom_kills() == 1)
    assert wait_until(lambda: made._fork_server not in tree.children(small) and tree._resident_bytes(small) > 0)
    time.sleep(0.1)
    assert made.oom_kills() == 1
    os.kill(small, 9)


def test_limits_of_each_process(jail: tuple[tree.ProcessTree, Start]) -> None:
    made, _ = jail
    ((which, data_bytes),) = made.rlimits(100 << 20)
    assert which == resource.RLIMIT_DATA
    assert 100 << 20 < data_bytes < 1 << 30  # room for the stacks of 64 threads, and an end


def test_fields_of_proc() -> None:
    assert tree._kibibytes(b"RssAnon:\t 12 kB\nRssFile: 3 kB\nRssShmem:\t1 kB\n", b"RssAnon", b"RssShmem") == 13 << 10
    assert tree._is_ending(b"SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n")
    assert not tree._is_ending(b"SigPnd:\t0000000000000200\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000100\n")
    assert tree._seen(1 << 29) is None
    assert tree.children(1 << 29) == []


def test_a_chain_of_forks_without_end_is_not_followed_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process has started another when it is looked at: the look would never come to kill any of them."""
    monkeypatch.setattr(tree, "children", lambda pid: [pid + 1])
    assert tree.below(10) == [*range(10, 10 + tree._MOST_FOLLOWED + 1)]
