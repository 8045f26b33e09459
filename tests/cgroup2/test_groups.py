"""Groups on a real cgroup v2 tree: each limit fires, each figure is the kernel's, nothing is left."""

import os
import resource
import signal
import time
from pathlib import Path

from tests.cgroup2.conftest import Start

from gradebox_engine.jail import cgroup

MIB = 1 << 20
HOG = f"data = bytearray(256 * {MIB})\nprint(len(data), flush=True)\ninput()\n"


def _folder(group: cgroup.Cgroup) -> Path:
    (folder,) = set(group._folders.values())
    return folder


def test_only_v2_is_there(base: Path) -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert {fields[2] for fields in mounts if fields[2].startswith("cgroup")} == {"cgroup2"}
    assert (base / "cgroup.procs").exists()


def test_too_much_memory_is_death(group: cgroup.Cgroup, start: Start) -> None:
    group.set_memory(64 * MIB)
    hog = start(HOG, group, oom_score=1000)
    assert hog.wait(120) == -signal.SIGKILL
    assert group.oom_kills() == 1
    small = start("print(len(bytearray(16 << 20)))", group, oom_score=1000)
    assert small.communicate(timeout=120)[0] == f"{16 * MIB}\n"
    assert group.oom_kills() == 1


def test_the_fork_server_is_spared(group: cgroup.Cgroup, start: Start) -> None:
    server = start(f"data = bytearray(40 * {MIB})\nprint(1, flush=True)\ninput()", group, oom_score=-1000)
    assert server.stdout is not None and server.stdout.readline() == "1\n"
    group.set_memory(64 * MIB)
    # Smaller than the server at every moment, and taken all the same.
    program = start(f"data = bytearray(30 * {MIB})\nprint(1, flush=True)", group, oom_score=1000)
    assert program.wait(120) == -signal.SIGKILL
    assert server.poll() is None


def test_scratch_files_count(group: cgroup.Cgroup, start: Start) -> None:
    group.set_memory(64 * MIB)
    writer = start(f"with open('/dev/shm/x', 'wb') as f:\n  for _ in range(256): f.write(bytes({MIB}))", group)
    try:
        assert writer.wait(120) == -signal.SIGKILL
    finally:
        os.unlink("/dev/shm/x")
    assert group.oom_kills() == 1


def test_no_swap(group: cgroup.Cgroup) -> None:
    group.set_memory(64 * MIB)
    assert (_folder(group) / "memory.max").read_text() == f"{64 * MIB}\n"
    assert (_folder(group) / "memory.swap.max").read_text() == "0\n"


def test_a_lower_limit_holds_when_it_is_set(group: cgroup.Cgroup, start: Start) -> None:
    # A big program is killed and the next one has a small limit: nobody may be taken for what the first had.
    for _ in range(5):
        group.set_memory(512 * MIB)
        hog = start(HOG, group, oom_score=1000)
        assert hog.stdout is not None and hog.stdout.readline() == f"{256 * MIB}\n"
        hog.kill()
        group.set_memory(48 * MIB)
        assert group.memory_bytes() <= 48 * MIB
        hog.wait(60)
        small = start("print(1)", group, oom_score=1000)
        assert small.communicate(timeout=120)[0] == "1\n"
    assert group.oom_kills() == 0


def test_a_lower_limit_holds_over_scratch_files(group: cgroup.Cgroup, start: Start) -> None:
    fill = f"""
import ctypes, os
libc = ctypes.CDLL(None)
os.unshare(os.CLONE_NEWNS)
assert libc.mount(None, b"/", None, ctypes.c_ulong(16384 | 1 << 18), None) == 0
assert libc.mount(b"t", b"/mnt", b"tmpfs", ctypes.c_ulong(0), b"size=256m") == 0
with open("/mnt/x", "wb") as f:
    for _ in range(200): f.write(bytes({MIB}))
print(1, flush=True)
input()
"""
    for _ in range(5):
        group.set_memory(512 * MIB)
        writer = start(fill, group, oom_score=1000)
        assert writer.stdout is not None and writer.stdout.readline() == "1\n"
        writer.kill()
        writer.wait(60)
        group.set_memory(48 * MIB)
        assert group.memory_bytes() <= 48 * MIB
        small = start("print(1)", group, oom_score=1000)
        assert small.communicate(timeout=120)[0] == "1\n"
    assert group.oom_kills() == 0


def test_a_limit_that_cannot_hold_is_an_error(group: cgroup.Cgroup, start: Start) -> None:
    group.set_memory(512 * MIB)
    kept = start(HOG, group)
    assert kept.stdout is not None and kept.stdout.readline() == f"{256 * MIB}\n"
    try:
        group.set_memory(48 * MIB)
    except cgroup.CgroupError as error:
        assert "not given back" in str(error)
    else:
        raise AssertionError("256 MiB stand in a group of 48 MiB, and nobody says so")
    assert kept.poll() is None and group.oom_kills() == 0  # nobody is killed to make room


def test_too_many_tasks_are_refused(group: cgroup.Cgroup, start: Start) -> None:
    group.set_tasks(3)
    code = """
import os, time
pids = []
try:
    while True:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
        pids.append(pid)
except BlockingIOError:
    print(len(pids))
for pid in pids: os.kill(pid, 9)
"""
    assert start(code, group).communicate(timeout=120)[0] == "2\n"


def test_cpu_time_of_all_processes(group: cgroup.Cgroup, start: Start) -> None:
    spin = "import time\nwhile time.process_time() < 0.5: pass\n"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # One ends unseen: its parent takes no notice of it. Two have threads of their own.
    orphan = f"import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nif os.fork() == 0:\n  {spin!r}\n"
    orphan += f"  exec({spin!r}); os._exit(0)\n{spin}"
    threads = f"import threading\nt = threading.Thread(target=exec, args=({spin!r}, {{}}))\nt.start(); t.join()\n"
    for process in [start(orphan, group), start(threads, group), start(spin, group)]:
        assert process.wait(120) == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    while "populated 1" in (_folder(group) / "cgroup.events").read_text():
        time.sleep(0.05)
    waited_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert waited_s + 0.4 <= group.cpu_time_s() <= waited_s + 1.5


def test_the_dead_owners_groups_are_swept(base: Path, start: Start) -> None:
    owner = start(
        """
import os, subprocess, sys
from gradebox_engine.jail import cgroup
group = cgroup.Cgroup(5)
(folder,) = set(group._folders.values())
sleeper = subprocess.Popen(["sleep", "600"], preexec_fn=lambda: group.add(os.getpid()))
print(folder, sleeper.pid, flush=True)
input()
""",
        base / cgroup._LEAF if (base / cgroup._LEAF).is_dir() else base,
    )
    assert owner.stdout is not None
    folder, pid = owner.stdout.readline().split()
    assert Path(folder).parent == base
    assert cgroup.sweep() == 0 and Path(folder).is_dir()  # it lives
    owner.kill()
    owner.wait(60)
    assert cgroup.sweep() == 1
    assert not Path(folder).exists()
    status = Path(f"/proc/{pid}/status")
    assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_group_full_of_forks_is_removed(start: Start, base: Path) -> None:
    group = cgroup.Cgroup(92)
    folder = _folder(group)
    group.set_tasks(64)
    bomb = "import os\nprint(1, flush=True)\nwhile True:\n  try: os.fork()\n  except OSError: pass\n"
    process = start(bomb, group)
    assert process.stdout is not None and process.stdout.readline() == "1\n"
    group.remove()
    assert not folder.exists()


def test_nothing_is_left(base: Path) -> None:
    assert [path.name for path in base.glob("gradebox-[0-9]*")] == []
