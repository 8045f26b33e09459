"""Limits, each alone: with the others off that could stop an attack, it does; the control is as in test_layers.py."""

from pathlib import Path

import pytest
from tests.sandbox.attack import Attack, Host, check, identity, says
from tests.sandbox.partial import FILTERS

from gradebox_engine.judge.suite import Verdict

ALONE = "limits for all"  # the fork server's own
JAIL = "jail's limits"  # nsjail's
MIB = 1 << 20

STARTS_THREADS = """
import _thread, os, time
_thread.stack_size(64 << 10)
count = 0
try:
    while count < 100:
        _thread.start_new_thread(time.sleep, (9,))
        count += 1
except RuntimeError:
    pass
print("through" if count == 100 else "stopped", flush=True)
os._exit(0)
"""
TAKES_MEMORY = """
block = bytearray({size})
block[::4096] = bytes(len(block[::4096]))
print("through")
"""
TAKES_SCRATCH = """
with open("/tmp/x", "wb", buffering=0) as file:
    for _ in range(128):
        file.write(bytes(1 << 20))
print("through")
"""
WRITES_MUCH = """
def write():
    for n in range({files}):
        with open(f"/tmp/{{n}}", "wb", buffering=0) as file:
            if file.write(bytes({size})) < {size}:
                raise OSError("a part")
"""
LEAVES_AN_IMAGE = """
pid = os.fork()
if pid == 0:
    os.abort()
"""
OPENS_A_QUEUE = says("errno_of(240, b'queue', 0o102, 0o600, 0) == 0")
LOCKS_A_PAGE = says("errno_of(149, ctypes.addressof(page), 1) == 0", "page = ctypes.create_string_buffer(1)")
DUMPS = says("os.WCOREDUMP(os.waitpid(pid, 0)[1])", LEAVES_AN_IMAGE)

ATTACKS = [
    Attack(
        "cgroup memory",
        "takes memory",
        TAKES_MEMORY.format(size=200 * MIB),
        frozenset({"limits"}),
        limits={"memory_bytes": 64 * MIB},
        killed=Verdict.MEMORY_LIMIT,
    ),
    Attack(
        "cgroup memory",
        "takes memory as files",
        TAKES_SCRATCH,
        frozenset({"limits", "scratch size"}),
        limits={"memory_bytes": 64 * MIB},
        killed=Verdict.MEMORY_LIMIT,
    ),
    Attack("cgroup tasks", "starts threads", STARTS_THREADS, frozenset({"limits"})),
    Attack("limits", "starts threads", STARTS_THREADS, frozenset({"cgroup tasks"})),
    Attack(
        "limits",
        "reserves address space",
        says("not refused(mmap.mmap, -1, 64 << 30, 0x4022)"),
        frozenset({"cgroup memory"}),
    ),
    Attack(
        "limits",
        "writes a large file",
        says("not refused(write)", WRITES_MUCH.format(files=1, size=3 * MIB)),
        frozenset({"scratch size", "cgroup memory"}),
        limits={"disk_bytes": MIB},
    ),
    Attack(ALONE, "opens descriptors", says("not refused(lambda: [os.dup(0) for _ in range(300)])")),
    Attack(ALONE, "opens a message queue", OPENS_A_QUEUE, FILTERS | {JAIL}),
    Attack(JAIL, "opens a message queue", OPENS_A_QUEUE, FILTERS | {ALONE}),
    Attack(ALONE, "locks memory", LOCKS_A_PAGE, FILTERS | {JAIL}),
    Attack(JAIL, "locks memory", LOCKS_A_PAGE, FILTERS | {ALONE}),
    Attack(
        "scratch size",
        "writes many files",
        says("not refused(write)", WRITES_MUCH.format(files=8, size=MIB // 2)),
        frozenset({"limits", "cgroup memory"}),
        limits={"disk_bytes": MIB},
    ),
    Attack(
        "scratch inodes",
        "makes empty files",
        says("not refused(lambda: [os.mkdir(f'/tmp/{n}') for n in range(3000)])"),
        limits={"disk_bytes": MIB},
    ),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=identity)
def test_a_limit_stops_it_alone(attack: Attack, host: Host) -> None:
    check(attack, host)


@pytest.mark.skipif(
    Path("/proc/sys/kernel/core_pattern").read_text().startswith("|"),
    reason="NOT TESTED: core_pattern is a pipe, which no limit on a file's size stops",
)
@pytest.mark.parametrize(("layer", "other"), [(ALONE, JAIL), (JAIL, ALONE)])
def test_no_image_of_memory_is_left(layer: str, other: str, host: Host) -> None:
    check(Attack(layer, "leaves an image", DUMPS, FILTERS | {other}, limits={"processes": 4}), host)
