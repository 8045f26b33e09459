"""What the processes of an engine hold, sampled while it works, and whether that stays the same."""

import os
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
from tests.e2e import footprint

CGROUPS = Path("/sys/fs/cgroup")
_BARS = "▁▂▃▄▅▆▇█"
_ROLES = ("front", "worker", "nsjail", "fork server")
# What has to stay as it is. The rest of memory is looked at through RSS: PSS and USS change with who shares pages.
_ROOM = {"descriptors": 8, "threads": 2, "mounts": 0}
_GROUP_GROWTH = 1.5
_KEPT = ("rss_bytes", *_ROOM)


@dataclass(frozen=True)
class Usage:
    """One process at one moment; sizes in bytes."""

    rss_bytes: int
    pss_bytes: int
    uss_bytes: int
    descriptors: int
    threads: int
    children: int
    mounts: int


@dataclass(frozen=True)
class Sample:
    """An engine at one moment. `processes` are named by role and pid; programs under way are only children."""

    at_s: float
    tests: int
    submissions: int
    processes: dict[str, Usage]
    groups: dict[str, int]  # control group → memory in bytes
    tmp_entries: int


def family(front: int) -> dict[str, psutil.Process]:
    """The processes that stay as long as the engine does: front, workers, nsjails, fork servers."""
    found: dict[str, psutil.Process] = {}
    generation = [psutil.Process(front)]
    for role in _ROLES:
        found.update({f"{role} {process.pid}": process for process in generation})
        generation = [child for process in generation for child in process.children()]
    return found


def _usage(process: psutil.Process) -> Usage:
    memory = process.memory_full_info()
    with process.oneshot():
        return Usage(
            memory.rss,
            memory.pss,
            memory.uss,
            process.num_fds(),
            process.num_threads(),
            len(process.children()),
            len(Path(f"/proc/{process.pid}/mounts").read_text().splitlines()),
        )


def groups_of(workers: set[int]) -> dict[str, int]:
    """Memory of the control groups that these workers made, in bytes, by name."""
    found = {}
    for pid in workers:
        for folder in CGROUPS.rglob(f"gradebox-{pid}-*"):
            for name in ("memory.current", "memory.usage_in_bytes"):
                if (folder / name).exists():
                    found[folder.name] = int((folder / name).read_text())
    return found


class Recorder:
    """Takes a sample every `every_s` seconds until it is left; `graded` gives (tests, submissions) so far.

    Make it when the engine is up and nothing is being graded.
    """

    def __init__(self, front: int, folder: Path, graded: Callable[[], tuple[int, int]], every_s: float) -> None:
        self._front = front
        self._folder = folder  # its TMPDIR
        self._graded = graded
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._start_s = time.monotonic()
        self.before = footprint.take([front], folder)
        self.samples: list[Sample] = []
        self.missed: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.samples.append(self._sample())
            except psutil.Error as error:  # a process went while it was looked at: the next sample tells which
                self.missed.append(str(error))
            self._stop.wait(self._every_s)

    def _sample(self) -> Sample:
        processes = family(self._front)
        workers = {process.pid for name, process in processes.items() if name.startswith("worker")}
        tests, submissions = self._graded()
        return Sample(
            at_s=time.monotonic() - self._start_s,
            tests=tests,
            submissions=submissions,
            processes={name: _usage(process) for name, process in processes.items()},
            groups=groups_of(workers),
            tmp_entries=len(os.listdir(self._folder)),
        )

    @property
    def names(self) -> list[str]:
        """Every process that was ever seen, front first."""
        seen = dict.fromkeys(name for sample in self.samples for name in sample.processes)
        return sorted(seen, key=lambda name: _ROLES.index(name.rsplit(" ", 1)[0]))

    def series(self, name: str, what: str) -> list[tuple[int, int]]:
        """(tests so far, a figure of a process) over time."""
        return [(s.tests, getattr(s.processes[name], what)) for s in self.samples if name in s.processes]

    def deviations(self, growth: float) -> list[str]:
        """What did not stay as it was; memory may grow by the share `growth` from the second tenth to the last."""
        first, last = self.samples[0].processes.keys(), self.samples[-1].processes.keys()
        found = [f"{name}: was not there until the end" for name in first - last]
        found += [f"{name}: was not there from the start" for name in last - first]
        for name in first & last:
            for what in _KEPT:
                early, late = tenths(self.series(name, what))
                if late - early > _ROOM.get(what, growth * early):
                    found.append(f"{name}: {what} grew from {early:.0f} to {late:.0f}")
        for name in self.samples[0].groups:
            # A program under way is in it, too: what stays in the group is what it has at least.
            early, late = tenths([(s.tests, s.groups[name]) for s in self.samples if name in s.groups], min)
            if late > _GROUP_GROWTH * early:
                found.append(f"control group {name}: memory grew from {early:.0f} to {late:.0f}")
        return found

    def table(self) -> str:
        """A line a process: memory in the second and the last tenth, its course, and the rest at the end."""
        lines = ["process                RSS MiB: 2nd, last tenth    PSS    USS  fds threads mounts  RSS over time"]
        for name in self.names:
            series = self.series(name, "rss_bytes")
            end = next(s for s in reversed(self.samples) if name in s.processes).processes[name]
            kept = tenths(series) if series[-1][0] == self.samples[-1].tests else (0, 0)  # it was replaced
            early, late, pss, uss = (n / (1 << 20) for n in (*kept, end.pss_bytes, end.uss_bytes))
            course = sparkline([value for _, value in series])
            counts = f"{end.descriptors:4} {end.threads:7} {end.mounts:6}"
            lines.append(f"{name:20} {early:14.2f} {late:12.2f} {pss:6.1f} {uss:6.1f} {counts}  {course}")
        return "\n".join(lines)


def tenths(
    series: list[tuple[int, int]], summary: Callable[[list[int]], float] = statistics.median
) -> tuple[float, float]:
    """The summary of a figure over the second and the last tenth of the tests. Raises ValueError without samples."""
    total = series[-1][0]
    early = [value for tests, value in series if total <= 10 * tests <= 2 * total]
    late = [value for tests, value in series if 10 * tests >= 9 * total]
    if not early or not late:
        raise ValueError("too few samples: less time between them, or more tests")
    return summary(early), summary(late)


def sparkline(values: list[int], width: int = 40) -> str:
    """A course in block characters, from the smallest to the largest value."""
    step = max(1, -(-len(values) // width))
    means = [statistics.fmean(values[at : at + step]) for at in range(0, len(values), step)]
    low, high = min(means), max(means)
    return "".join(_BARS[round((value - low) / ((high - low) or 1) * (len(_BARS) - 1))] for value in means)
