"""CPU time of everything that a measured process has started, as the kernel counts it.

A measured process is put into a control group of its own before it starts anything: what it and all
its descendants use, alive or not, stands in one number (cgroup v1: cpuacct.usage, v2: cpu.stat).
Groups that an engine makes for its jails lie below, and are in the number. Where no group can be
made, the sum over the living processes of the tree and what each of them has reaped has to do.
"""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

ROOT = Path("/sys/fs/cgroup")


class CpuMeter(Protocol):
    """Counts CPU time of processes and of all that they start."""

    how: str

    def add(self, pid: int) -> None:
        """Takes a process in. Call it before the process starts others."""

    def cpu_time_s(self) -> float:
        """User and system time so far, all processes together."""

    def close(self) -> None:
        """Ends the counting; the processes must have ended."""


class GroupMeter:
    """A control group. Raises OSError where none can be made."""

    def __init__(self, name: str) -> None:
        if (ROOT / "cpuacct" / "cgroup.procs").exists():
            self.how = "cgroup v1, cpuacct.usage"
            parent = ROOT / "cpuacct" / _own_path("cpuacct").lstrip("/")
            parent = parent if parent.is_dir() else ROOT / "cpuacct"
            self._usage = "cpuacct.usage"
        else:
            # Right below the root: there the engine may hand controllers on to its jails' groups.
            self.how = "cgroup v2, cpu.stat"
            parent = ROOT
            delegated = (ROOT / "cgroup.subtree_control").read_text().split()
            if not {"memory", "pids"} <= set(delegated):
                raise OSError("the controllers that the engine needs are not delegated")
            self._usage = "cpu.stat"
        self._folder = parent / f"bench-{os.getpid()}-{name}"
        self._folder.mkdir()

    def add(self, pid: int) -> None:
        """See CpuMeter."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def cpu_time_s(self) -> float:
        """See CpuMeter."""
        text = (self._folder / self._usage).read_text()
        if self._usage == "cpuacct.usage":
            return int(text) / 1e9
        fields = dict(line.split() for line in text.splitlines())
        return int(fields["usage_usec"]) / 1e6

    def close(self) -> None:
        """See CpuMeter."""
        for _ in range(100):
            with suppress(OSError):
                for folder in sorted(self._folder.glob("**/"), reverse=True):
                    folder.rmdir()
                return
            time.sleep(0.05)


class TreeMeter:
    """Sums over living processes; what a process that ended had not reaped is lost."""

    how = "psutil, the living process tree and what it has reaped"

    def __init__(self) -> None:
        self._roots: list[psutil.Process] = []

    def add(self, pid: int) -> None:
        """See CpuMeter."""
        self._roots.append(psutil.Process(pid))

    def cpu_time_s(self) -> float:
        """See CpuMeter."""
        total = 0.0
        for root in self._roots:
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    times = process.cpu_times()
                    total += times.user + times.system
                    total += times.children_user + times.children_system
        return total

    def close(self) -> None:
        """See CpuMeter."""


def meters(names: Sequence[str]) -> dict[str, CpuMeter]:
    """A meter for each name, all of one kind."""
    made: dict[str, CpuMeter] = {}
    try:
        for name in names:
            made[name] = GroupMeter(name)
    except OSError:
        for meter in made.values():
            meter.close()
        return {name: TreeMeter() for name in names}
    return made


def _own_path(controller: str) -> str:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(","):
            return path
    return "/"
