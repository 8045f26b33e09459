"""What an engine has of the machine: processes, mounts, control groups, namespaces, descriptors, files, IPC objects.

    before = take([engine_pid])
    ...
    assert not settled([engine_pid], before)

Take it when nothing is being graded. What belongs to another engine that is alive is left out; what belongs to one
that is dead counts, since nobody will ever come back for it: take `before` first.
"""

import contextlib
import os
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

_GROUP = re.compile(r"/gradebox-(\d+)-\d+(?:/|$)")
_MOUNT = re.compile(r"/gradebox-jail-(\d+)-")
_NAMESPACES = ("mnt", "pid", "ipc", "net", "user", "uts", "cgroup")
_JAIL_IDS = 1 << 16  # of the host, from here on: nobody's account
_KEPT_BY_GRPC = 2  # descriptors that a front opens at some first need and keeps; no more with more calls
_SETTLE_S = 15.0


@dataclass(frozen=True)
class Process:
    """One process; `group` is the pid in the name of the control group that it stands in, 0 without one."""

    pid: int
    parent: int
    state: str
    name: str
    command: str
    group: int


@dataclass(frozen=True)
class Footprint:
    """Counts, by a name each; `processes` and `descriptors` by role: front, worker, nsjail, jailed, other."""

    processes: Counter[str]
    descriptors: dict[str, int]  # the most that one process of the role has open
    namespaces: Counter[str]
    mounts: int
    groups: frozenset[str]
    files: frozenset[str]
    ipc: frozenset[str]

    def leaks(self, before: "Footprint") -> list[str]:
        """What there is more of than before, one line each; none is as it should be."""
        found = []
        for what, now, then in (
            ("processes", self.processes, before.processes),
            ("namespaces", self.namespaces, before.namespaces),
            ("descriptors", self.descriptors, before.descriptors),
        ):
            for name in sorted(now):
                kept = _KEPT_BY_GRPC if (what, name) == ("descriptors", "front") and name in then else 0
                if now[name] > then.get(name, 0) + kept:
                    found.append(f"{what}: {now[name]} {name}, were {then.get(name, 0)}")
        if self.mounts > before.mounts:
            found.append(f"mounts: {self.mounts}, were {before.mounts}")
        # A worker that was replaced has other names: as many as before are no leak.
        if len(self.groups) > len(before.groups):
            found.append(f"control groups: {len(self.groups)}, were {len(before.groups)}: {sorted(self.groups)}")
        if len(self.files) > len(before.files):
            found.append(f"files: {len(self.files)}, were {len(before.files)}: {sorted(self.files)[:20]}")
        if self.ipc - before.ipc:
            found.append(f"IPC objects: {sorted(self.ipc - before.ipc)}")
        return found

    def text(self) -> str:
        """One line."""
        processes = ", ".join(f"{count} {role}" for role, count in sorted(self.processes.items())) or "none"
        descriptors = ", ".join(f"{count} {role}" for role, count in sorted(self.descriptors.items())) or "none"
        return (
            f"processes {processes}; descriptors {descriptors}; mounts {self.mounts}; "
            f"namespaces {sum(self.namespaces.values())}; control groups {len(self.groups)}; "
            f"files {len(self.files)}; IPC objects {len(self.ipc)}"
        )


def take(engine_pids: Collection[int], folder: str | os.PathLike[str] | None = None) -> Footprint:
    """What engines have now. engine_pids: their front processes, alive or dead; folder: their TMPDIR."""
    processes = {process.pid: process for process in _processes()}
    family = _family(processes, engine_pids)

    def is_ours(owner: int) -> bool:
        return owner in family or owner not in processes

    ours = [p for p in processes.values() if p.pid in family or (p.group and is_ours(p.group)) or _orphan(p, processes)]
    counts: Counter[str] = Counter()
    descriptors: dict[str, int] = defaultdict(int)
    namespaces: dict[str, set[str]] = defaultdict(set)
    for process in ours:
        if process.state == "Z":
            if processes[process.parent].group == 0:  # those in a jail are reaped with its next program
                counts["zombie"] += 1
            continue
        role = _role(process, engine_pids)
        counts[role] += 1
        try:
            descriptors[role] = max(descriptors[role], len(os.listdir(f"/proc/{process.pid}/fd")))
            for kind in _NAMESPACES:
                namespaces[kind].add(os.readlink(f"/proc/{process.pid}/ns/{kind}"))
        except OSError:
            continue  # it has just ended
    return Footprint(
        processes=counts,
        descriptors=dict(descriptors),
        namespaces=Counter({kind: len(found) for kind, found in namespaces.items()}),
        mounts=sum(1 for owner in _mounts(processes) if is_ours(owner)),
        groups=frozenset(path for path, owner in _groups() if is_ours(owner)),
        files=frozenset(_files(Path(folder or tempfile.gettempdir()), is_ours)),
        ipc=frozenset(_ipc()),
    )


def settled(
    engine_pids: Collection[int],
    before: Footprint,
    folder: str | os.PathLike[str] | None = None,
    timeout_s: float = _SETTLE_S,
) -> list[str]:
    """The leaks that are still there once what is ending has had time to end."""
    end_s = time.monotonic() + timeout_s
    while (leaks := take(engine_pids, folder).leaks(before)) and time.monotonic() < end_s:
        time.sleep(0.1)
    return leaks


def family(engine_pids: Collection[int]) -> list[Process]:
    """The engines' processes and everything below them."""
    processes = {process.pid: process for process in _processes()}
    return [processes[pid] for pid in _family(processes, engine_pids)]


def _processes() -> Iterator[Process]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_bytes().decode(errors="replace")
                command = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                group = _GROUP.search(Path(f"/proc/{entry}/cgroup").read_text().replace("\n", "/\n"))
            except OSError:
                continue
            name = stat[stat.index("(") + 1 : stat.rindex(")")]
            state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
            yield Process(int(entry), int(parent), state, name, command, int(group[1]) if group else 0)


def _family(processes: dict[int, Process], engine_pids: Collection[int]) -> set[int]:
    found = {pid for pid in engine_pids if pid in processes}
    while more := {p.pid for p in processes.values() if p.parent in found} - found:
        found |= more
    return found


def _orphan(process: Process, processes: dict[int, Process]) -> bool:
    """A worker whose front is gone."""
    parent = processes.get(process.parent)
    return "gradebox_engine.worker" in process.command and (parent is None or "serve" not in parent.command)


def _role(process: Process, engine_pids: Collection[int]) -> str:
    if process.pid in engine_pids:
        return "front"
    if "gradebox_engine.worker" in process.command:
        return "worker"
    if process.name == "nsjail":
        return "nsjail"
    return "jailed" if process.group else "other"


def _mounts(processes: dict[int, Process]) -> Iterator[int]:
    """For every mount of a jail, in every mount namespace there is, the pid of the worker that made it."""
    seen = set()
    for pid in processes:
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            if namespace in seen:
                continue
            seen.add(namespace)
            text = Path(f"/proc/{pid}/mountinfo").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if match := _MOUNT.search(line):
                yield int(match[1])


def _groups() -> Iterator[tuple[str, int]]:
    for parent, folders, _ in os.walk("/sys/fs/cgroup", followlinks=False):
        for name in folders:
            if match := _GROUP.search(f"/{name}/"):
                yield f"{parent}/{name}", int(match[1])


def _files(folder: Path, is_ours: Callable[[int], bool]) -> Iterator[str]:
    for path in folder.glob("gradebox-*"):
        match = _MOUNT.search(f"/{path.name}")
        if match is None or is_ours(int(match[1])):
            yield path.name


def _ipc() -> Iterator[str]:
    for kind in ("shm", "sem", "msg"):
        head, *lines = [line.split() for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()]
        for line in lines:
            if int(line[head.index("cuid")]) >= _JAIL_IDS:
                yield f"SysV {kind} {line[1]}"
    for folder in ("/dev/shm", "/dev/mqueue"):
        if os.path.isdir(folder):
            for entry in os.scandir(folder):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid >= _JAIL_IDS:
                        yield entry.path
