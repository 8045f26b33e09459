"""A jail's control group: memory, tasks and CPU accounting, on cgroup v2 or v1, whichever the machine has.

One group a jail, made and removed by the worker: root of the host, or a user to whom a part of the tree was delegated
(systemd-run --user --scope -p Delegate=yes); no cgroup file system is ever mounted in a jail.
The fork server is in the group, too, but every program's oom_score_adj is +1000 (set before anything of the program
runs, and out of its reach), so that what the OOM killer takes is a program. Group names carry the owner's pid: `sweep`
removes those whose owner is gone.
"""

import contextlib
import errno
import os
import re
import signal
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_NAME = re.compile(r"gradebox-(\d+)-\d+$")
_V1_CONTROLLERS = ("memory", "pids", "cpuacct")
_LEAF = "gradebox-supervisor"
_TRIAL_INDEX = 97
_MOVES = 100


class CgroupError(OSError):
    """The machine gives no usable control group; the message says what to do."""


def _own_path(controller: str, proc_cgroup: str) -> str:
    """The path of this process in one hierarchy ("" is v2's), from the text of /proc/self/cgroup."""
    for line in proc_cgroup.splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(",") if controller else names == "":
            return path
    return "/"


def _has_controllers(folder: Path) -> bool:
    """v2: whether groups below can have what is needed. Whoever made `folder` may have handed nothing on to it."""
    controllers = folder / "cgroup.controllers"
    return controllers.exists() and {"memory", "pids"} <= set(controllers.read_text().split())


def detect(root: Path = ROOT) -> int | None:
    """2 when memory and pids can be had from a cgroup v2 tree at `root`, 1 when from v1 hierarchies, else None."""
    if _has_controllers(root):
        return 2
    if all((root / name / "cgroup.procs").exists() for name in ("memory", "pids")):
        return 1
    return None


def _bases(root: Path, version: int) -> dict[str, Path]:
    """The folder under which groups are made, for each controller."""
    text = Path("/proc/self/cgroup").read_text()
    if version == 2:
        own = root / _own_path("", text).lstrip("/")
        while own.name == _LEAF:  # where `_delegate` moved us
            own = own.parent
        return {"": own if _has_controllers(own) else root}
    bases = {}
    for name in _V1_CONTROLLERS:
        if (root / name / "cgroup.procs").exists():
            own = root / name / _own_path(name, text).lstrip("/")
            bases[name] = own if own.is_dir() else root / name
    return bases


def _delegate(base: Path) -> None:
    """v2: lets groups under `base` have controllers; moves the processes in `base` into a leaf of it if need be."""
    control = base / "cgroup.subtree_control"
    wanted = [name for name in ("memory", "pids", "cpu") if name in (base / "cgroup.controllers").read_text().split()]
    if set(wanted) <= set(control.read_text().split()):
        return
    request = " ".join(f"+{name}" for name in wanted)
    leaf = base / _LEAF
    for attempt in range(_MOVES):  # processes of the group may fork while they are moved
        try:
            control.write_text(request)
            return
        except OSError as error:  # EBUSY: a group with processes of its own cannot hand its controllers on
            if error.errno != errno.EBUSY or attempt == _MOVES - 1:
                raise
        leaf.mkdir(exist_ok=True)
        for pid in (base / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                (leaf / "cgroup.procs").write_text(pid)


def _write(file: Path, text: str) -> None:
    """Writes a limit. What the last program used is given back a moment after its end: EBUSY until then."""
    for _ in range(100):
        try:
            file.write_text(text)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.01)
    raise CgroupError(errno.EBUSY, f"{file} cannot be lowered to {text}: memory of an ended program is not given back")


def _remove(folder: Path) -> None:
    """Ends what is left in a group and removes it."""
    for _ in range(50):
        try:
            folder.rmdir()
            return
        except (FileNotFoundError, PermissionError):  # gone, or somebody else's
            return
        except OSError:
            if (folder / "cgroup.kill").exists():  # v2, from Linux 5.14 on; no fork outruns it
                (folder / "cgroup.kill").write_text("1")
                time.sleep(0.02)
                continue
            try:
                members = (folder / "cgroup.procs").read_text().split()
            except FileNotFoundError:  # another worker sweeps, too
                return
            for pid in members:
                if pid == "0":  # of a PID namespace that is not ours; to kill(2), it would mean ourselves
                    continue
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.02)


def sweep(root: Path = ROOT) -> int:
    """Removes groups whose owner is dead (a worker ended by SIGKILL leaves its own). Returns how many."""
    version = detect(root)
    stale = set()
    for base in _bases(root, version).values() if version else ():
        for folder in base.glob("gradebox-*"):
            match = _NAME.match(folder.name)
            if match and not Path(f"/proc/{match[1]}").exists():
                stale.add(folder)
    for folder in stale:
        _remove(folder)
    return len(stale)


def missing(root: Path = ROOT) -> str | None:
    """Why this process cannot have a group with limits, found by making one; None when it can."""
    try:
        group = Cgroup(_TRIAL_INDEX, root)
        try:
            group.set_memory(1 << 30)
            group.set_tasks(64)
        finally:
            group.remove()
    except OSError as error:
        return str(error)
    return None


class Cgroup:
    """One jail's group. Raises CgroupError where the machine gives none."""

    def __init__(self, index: int, root: Path = ROOT) -> None:
        version = detect(root)
        if version is None:
            raise CgroupError("no writable cgroup with memory and pids controllers; see `gradebox doctor`")
        self.version = version
        self.name = f"cgroup-v{version}"
        bases = _bases(root, version)
        name = f"gradebox-{os.getpid()}-{index}"
        self._folders = {controller: base / name for controller, base in bases.items()}
        try:
            if version == 2:
                _delegate(bases[""])
            for folder in self._folders.values():
                folder.mkdir(exist_ok=True)
        except OSError as error:
            for folder in self._folders.values():
                _remove(folder)
            why = f"{bases[min(bases)]}: {error.strerror}"
            raise CgroupError(
                f"no writable cgroup with memory and pids controllers ({why}); see `gradebox doctor`"
            ) from None
        memory = self._folder("memory")
        self._memory_limit = memory / ("memory.max" if version == 2 else "memory.limit_in_bytes")
        self._swap_limit = memory / ("memory.swap.max" if version == 2 else "memory.memsw.limit_in_bytes")
        self._memory_events = memory / ("memory.events" if version == 2 else "memory.oom_control")
        self._memory_usage = memory / ("memory.current" if version == 2 else "memory.usage_in_bytes")
        if version == 1 and self._swap_limit.exists():
            self._swap_limit.write_text("-1")  # a group that could not be removed still has its last jail's limits
        self._events_fd = -1  # read once a submission, so it stays open
        self._limit_bytes = 0
        self._tasks = 0

    def _folder(self, controller: str) -> Path:
        return self._folders["" if self.version == 2 else controller]

    def add(self, pid: int) -> None:
        """Moves a process into the group."""
        for folder in self._folders.values():
            (folder / "cgroup.procs").write_text(str(pid))

    def set_memory(self, limit_bytes: int) -> None:
        """Limits memory (page cache and scratch files included), and swap to none on top of it."""
        if limit_bytes == self._limit_bytes:
            return
        if self.version == 2 and limit_bytes < self._limit_bytes:
            self._make_room(limit_bytes)
        # v1: the limit of memory alone may never stand above that of memory and swap, so mind the order.
        files = [self._memory_limit]
        if self._swap_limit.exists():
            raising = limit_bytes > self._limit_bytes and self._limit_bytes
            files = [self._swap_limit, self._memory_limit] if raising else [self._memory_limit, self._swap_limit]
        for file in files:
            _write(file, "0" if file.name == "memory.swap.max" else str(limit_bytes))
        self._limit_bytes = limit_bytes

    def _make_room(self, limit_bytes: int) -> None:
        """v2: waits for what the last program used, as v1 does by itself (EBUSY, see `_write`).

        A lower memory.max would be taken at once, and somebody killed for what does not fit; memory.high only reclaims.
        """
        high = self._memory_limit.with_name("memory.high")
        high.write_text(str(limit_bytes))
        for _ in range(100):
            if self.memory_bytes() <= limit_bytes:
                break
            time.sleep(0.01)
        else:
            raise CgroupError(errno.EBUSY, f"{high} is {limit_bytes}: memory of an ended program is not given back")
        high.write_text("max")

    def set_tasks(self, limit: int) -> None:
        """Limits processes and threads together."""
        if limit != self._tasks:
            (self._folder("pids") / "pids.max").write_text(str(limit))
            self._tasks = limit

    def oom_kills(self) -> int:
        """How many processes of the group the OOM killer has taken so far."""
        if self._events_fd < 0:
            self._events_fd = os.open(self._memory_events, os.O_RDONLY | os.O_CLOEXEC)
        for line in os.pread(self._events_fd, 4096, 0).splitlines():
            name, _, value = line.partition(b" ")
            if name == b"oom_kill":
                return int(value)
        return 0

    def memory_bytes(self) -> int:
        """What the group uses now."""
        return int(self._memory_usage.read_text())

    def cpu_time_s(self) -> float:
        """CPU time of everything that ever ran in the group."""
        if self.version == 2:
            for line in (self._folder("") / "cpu.stat").read_text().splitlines():
                if line.startswith("usage_usec "):
                    return int(line.split()[1]) / 1e6
            return 0.0
        return int((self._folder("cpuacct") / "cpuacct.usage").read_text()) / 1e9

    def remove(self) -> None:
        """Ends every process in the group and removes it."""
        if self._events_fd >= 0:
            os.close(self._events_fd)
            self._events_fd = -1
        for folder in self._folders.values():
            _remove(folder)
