"""Programs before and beside: the counts, locks, watches and caches that the kernel keeps for more than one of them."""

import errno
import threading
import time
from errno import EPERM
from typing import Any

import psutil
import pytest
from tests.sandbox.partial import without
from tests.sandbox.test_secrets import grade

from gradebox_engine.jail.launch import Jail
from gradebox_engine.judge.suite import CodeTest, Verdict

Run = Any  # the fixture of conftest.py

STARTS_THREADS = """
import _thread, os, time
_thread.stack_size(64 << 10)
count = 0
try:
    while True:
        _thread.start_new_thread(time.sleep, ({},))
        count += 1
except RuntimeError:
    pass
print(count, flush=True)
time.sleep({})
os._exit(0)
"""


def test_the_count_of_processes_is_each_programs_own(run: Run) -> None:
    """RLIMIT_NPROC counts by uid: neither a program before nor one in another jail may use up what is left."""
    alone = int(run(STARTS_THREADS.format(9, 0)).stdout)
    assert alone > 32
    assert int(run(STARTS_THREADS.format(9, 0)).stdout) == alone
    with without() as other:
        thread = threading.Thread(target=other.run, args=(STARTS_THREADS.format(99, 99),))
        thread.start()
        while not (holding := [child for child in _below() if child.num_threads() >= alone]):
            assert thread.is_alive(), "the other program never had its threads"
            time.sleep(0.01)
        beside = int(run(STARTS_THREADS.format(9, 0)).stdout)
        assert thread.is_alive(), "the other program ended too early to show anything"
        holding[0].kill()
        thread.join()
    assert beside == alone


def _below() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


LOCKS = """
import fcntl, os
file = open(os.__file__)
fcntl.lockf(file, fcntl.LOCK_SH, 7, 100)
print("done")
"""
SEES_A_LOCK = """
import fcntl, os, struct
asked = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 100, 7, 0)
with open(os.__file__) as file:
    kind = struct.unpack("hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))[0]
print("through" if kind != fcntl.F_UNLCK else "stopped")
"""


def test_no_lock_is_left_on_a_shared_file(run: Run) -> None:
    assert run(LOCKS).stdout == b"done\n"
    assert run(SEES_A_LOCK).stdout == b"stopped\n"


def errno_said(run: Run, action: str) -> int:
    """The error number of an action on a descriptor `fd` of a folder or a file of the image; 0 for none."""
    ran = run(f"""
import fcntl, os
folder, file = os.open(os.path.dirname(os.__file__), os.O_RDONLY), os.open(os.__file__, os.O_RDONLY)
try:
    {action}
    print(0)
except OSError as error:
    print(error.errno)
""")
    return int(ran.stdout)


@pytest.mark.parametrize("watched", ["0x80000001", "1"])
def test_a_shared_folder_cannot_be_watched(run: Run, watched: str) -> None:
    """F_NOTIFY on a folder of the image tells of every program that reads in it, in all jails, and of the host."""
    assert errno_said(run, f"fcntl.fcntl(folder, 1026, {watched})") == EPERM


def test_a_shared_file_cannot_be_leased(run: Run) -> None:
    """F_SETLEASE: today the kernel refuses it, for the file is another's."""
    assert errno_said(run, "fcntl.fcntl(file, 1024, fcntl.F_RDLCK)") == EPERM


def test_the_page_cache_cannot_be_asked(run: Run) -> None:
    """RWF_NOWAIT reads what is in the page cache and says so when it is not: what others have read."""
    assert errno_said(run, "os.preadv(file, [bytearray(1)], 0, os.RWF_NOWAIT)") == EPERM


@pytest.mark.parametrize("device", ["null", "zero"])
def test_the_times_of_a_device_cannot_be_set(run: Run, device: str) -> None:
    """The nodes are the host's own: a program that touches one tells the next, and every other jail, when it ran."""
    assert errno_said(run, f"os.utime('/dev/{device}')") == errno.EROFS


SETS_FLAGS = """
import fcntl, os
FLAGS = os.O_NONBLOCK | os.O_APPEND
def f():
    for fd in range(5):
        try:
            fcntl.fcntl(fd, fcntl.F_SETFL, FLAGS)
        except OSError:
            pass
    return 1
"""
SEES_FLAGS = """
import fcntl, os
def f():
    seen = []
    for fd in range(5):
        try:
            seen.append(fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_NONBLOCK | os.O_APPEND))
        except OSError:
            pass
    return seen
"""


def test_no_open_file_is_shared(jail: Jail) -> None:
    """Flags belong to the open file, not to the descriptor: a /dev/null that is opened once carries them on."""
    loop = "for _ in range(1):\n    assert f() == {}"
    (before,) = grade(jail, SEES_FLAGS, CodeTest(loop.format("[0, 0, 0, 0, 0]")))
    assert before.verdict is Verdict.PASSED, before
    try:
        grade(jail, SETS_FLAGS, CodeTest(loop.format(1)))
        (after,) = grade(jail, SEES_FLAGS, CodeTest(loop.format("[0, 0, 0, 0, 0]")))
    finally:
        grade(jail, SETS_FLAGS.replace("os.O_NONBLOCK | os.O_APPEND", "0"), CodeTest(loop.format(1)))
    assert after.verdict is Verdict.PASSED, after


def test_mincore_tells_nothing_of_shared_files(run: Run) -> None:
    """The kernel answers "all of it is there" to whoever cannot write the file: also for pages past its end."""
    ran = run("""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
def resident(path):
    fd = os.open(path, os.O_RDONLY)
    pages = (os.fstat(fd).st_size + 4095) // 4096 + 8  # eight of them behind its end: never in any cache
    seen = (ctypes.c_ubyte * pages)()
    assert libc.mincore(libc.mmap(None, pages << 12, 1, 2, fd, 0), pages << 12, seen) == 0
    return sum(seen) == pages
with open("/tmp/own", "wb") as file: file.write(bytes(9000))
print(resident(os.__file__), resident("/tmp/own"))
""")
    assert ran.stdout == b"True False\n", ran
