"""Where an engine may find itself in a cgroup v2 tree: a service's group, a scope, a container, a bare group."""

import subprocess
import sys
from pathlib import Path

from tests.cgroup2.conftest import Start

from gradebox_engine.jail import cgroup

# A worker, reduced to its group: says where it is, then waits.
WORKER = """
import os, sys
from gradebox_engine.jail import cgroup
input()
group = cgroup.Cgroup(int(sys.argv[1]) if sys.argv[1:] else 0)
group.set_memory(64 << 20)
group.set_tasks(8)
(folder,) = set(group._folders.values())
print(folder.parent, flush=True)
input()
group.remove()
print("end", flush=True)
"""


def _say(process: "subprocess.Popen[str]", text: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def _hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_workers_of_a_service_start_at_once(slice_: Path, start: Start) -> None:
    service, neighbour = slice_ / "gradebox.service", slice_ / "other.service"
    service.mkdir()
    neighbour.mkdir()
    other = start("input()", neighbour)
    workers = [start(WORKER, service) for _ in range(6)]
    for worker in workers:
        _say(worker)
    assert [_hear(worker) for worker in workers] == [str(service)] * 6
    assert {path.name for path in service.iterdir() if path.is_dir() and "-" in path.name} == {
        cgroup._LEAF,
        *(f"gradebox-{worker.pid}-0" for worker in workers),
    }
    # One that comes later starts where its parent was moved to, and makes its group beside the others'.
    late = start(WORKER, service / cgroup._LEAF)
    _say(late)
    assert _hear(late) == str(service)
    for worker in [*workers, late]:
        _say(worker)
        assert _hear(worker) == "end"
    assert {path.name for path in service.iterdir() if path.is_dir()} == {cgroup._LEAF}
    assert Path(f"/proc/{other.pid}/cgroup").read_text().strip().endswith("/other.service")


def test_processes_come_and_go_meanwhile(slice_: Path, start: Start) -> None:
    busy = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("forks", flush=True)
while True:
    if os.fork() == 0:
        os._exit(0)
"""
    service = slice_ / "busy.service"
    service.mkdir()
    forker = start(busy, service)
    assert _hear(forker) == "forks"
    worker = start(WORKER, service)
    _say(worker)
    assert _hear(worker) == str(service)
    assert forker.poll() is None


def test_a_group_without_controllers(slice_: Path, start: Start) -> None:
    # Whoever made this group hands nothing on to it: the nearest that can serve is the root.
    bare = slice_ / "bare"
    (bare / "inner").mkdir(parents=True)
    worker = start(WORKER, bare / "inner")
    _say(worker)
    served = _hear(worker)
    assert served == str(cgroup.ROOT)
    _say(worker)
    assert _hear(worker) == "end"


def test_a_container(slice_: Path, start: Start) -> None:
    # A cgroup namespace whose root is not the machine's: it has limits of its own, and processes in it.
    box = slice_ / "box"
    box.mkdir()
    (box / "memory.max").write_text(str(1 << 30))
    code = f"""
import ctypes, os, subprocess, sys
os.unshare(os.CLONE_NEWCGROUP | os.CLONE_NEWNS)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mount(None, b"/", None, ctypes.c_ulong(16384 | 1 << 18), None) == 0
assert libc.umount2(b"/sys/fs/cgroup", 2) == 0
assert libc.mount(b"cgroup2", b"/sys/fs/cgroup", b"cgroup2", ctypes.c_ulong(0), None) == 0
assert open("/proc/self/cgroup").read() == "0::/\\n"
os.execv({sys.executable!r}, [{sys.executable!r}, "-c", {WORKER!r}])
"""
    workers = [start(code, box) for _ in range(2)]
    for worker in workers:
        _say(worker)
    assert [_hear(worker) for worker in workers] == [str(cgroup.ROOT)] * 2
    assert (box / cgroup._LEAF).is_dir()
    assert {f"gradebox-{worker.pid}-0" for worker in workers} <= {path.name for path in box.iterdir()}
    for worker in workers:
        _say(worker)
        assert _hear(worker) == "end"
