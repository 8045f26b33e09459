"""Runs ways of grading side by side and says what each costs.

Theory of operation. Each way has one driver process a core (gradebox one, whose engine has a worker a core), and all
of them stand ready from the start; each waits in its own control group. A round gives every way the same time, one
after the other, so that a noisy minute of the machine hits all of them; the first round only warms up and finds out
how much to ask for. Figures are medians over the rounds.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradebox_engine.bench import cpu, driver
from gradebox_engine.bench.ways import Way, cores
from gradebox_engine.bench.workload import Workload

ROUNDS = 5
_FIRST_ITEMS = 8
_WARM_UP_ITEMS = 32
_STOP_TIMEOUT_S = 30.0

type Progress = Callable[[str], None]


class BenchError(RuntimeError):
    """Something could not be measured."""


class WayFailed(BenchError):
    """A way of grading does not start, or does not pass a right program; the text says why."""


@dataclass
class Measured:
    """One way: CPU milliseconds a unit of work and units a second, one value a round."""

    units: int = 0
    cpu_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    times_ms: list[list[float]] = field(default_factory=list)  # of each submission, where they are timed

    @property
    def median_cpu_ms(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.cpu_ms)

    @property
    def median_rate(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.rate)


@dataclass(frozen=True)
class Spent:
    """What so many units of work took, all together; `times_ms`: of each submission, where they are timed."""

    units: int
    cpu_time_s: float
    wall_time_s: float
    times_ms: list[float]

    @property
    def cpu_ms_per_unit(self) -> float:
        """CPU milliseconds of one."""
        return self.cpu_time_s * 1000 / self.units


class Drivers:
    """A way's driver processes. Raises WayFailed when they do not start, and `close` is not needed then."""

    def __init__(self, way: Way, workload: Workload, items: Path, meter: cpu.CpuMeter) -> None:
        self.measured = Measured()
        self._meter = meter
        self._units_per_item = workload.units_per_item
        self._processes: list[subprocess.Popen[str]] = []
        count = cores() if way.per_core else 1
        try:
            for index in range(count):
                arguments = [way.driver_name, str(items), str(index), str(count), *way.modules]
                process = subprocess.Popen(
                    [way.interpreter, driver.__file__, *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "PYTHONSAFEPATH": "1", **way.environment},
                    start_new_session=True,
                )
                self._processes.append(process)
                meter.add(process.pid)
            for process in self._processes:
                ready = self._answer(process)
                if "ready" not in ready:
                    raise WayFailed(ready["said"])
        except FileNotFoundError:
            self.close()
            raise WayFailed(f"there is no {way.interpreter}") from None
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """Of the driver processes."""
        return [process.pid for process in self._processes]

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise WayFailed(f"its driver ended with status {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def grade(self, items: int) -> Spent:
        """Grades so many items. Raises WayFailed where one does not pass."""
        share = max(1, items // len(self._processes))
        cpu_before_s, start_s = self._meter.cpu_time_s(), time.monotonic()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{share}\n")
            process.stdin.flush()
        answers = [self._answer(process) for process in self._processes]
        wall_time_s = time.monotonic() - start_s
        cpu_time_s = self._meter.cpu_time_s() - cpu_before_s
        asked = share * len(self._processes)
        passed = sum(answer["passed"] for answer in answers)
        if passed != asked:
            said = "; ".join(answer["said"] for answer in answers if answer["said"])
            raise WayFailed(f"{asked - passed} of {asked} do not pass: {said}")
        times_ms = [time_ms for answer in answers for time_ms in answer.get("times_ms", [])]
        return Spent(asked * self._units_per_item, cpu_time_s, wall_time_s, times_ms)

    def warm_up(self, seconds: float, items: int | None) -> int:
        """Grades a little. How many items a round should have to last so long, unless that is given."""
        self.grade(min(_FIRST_ITEMS, items or _FIRST_ITEMS))
        spent = self.grade(min(_WARM_UP_ITEMS, items or _WARM_UP_ITEMS))
        items_per_s = spent.units / self._units_per_item / spent.wall_time_s
        return items or max(cores(), int(seconds * items_per_s))

    def round(self, items: int) -> None:
        """One measured round."""
        spent = self.grade(items)
        self.measured.units += spent.units
        self.measured.cpu_ms.append(spent.cpu_ms_per_unit)
        self.measured.rate.append(spent.units / spent.wall_time_s)
        if spent.times_ms:
            self.measured.times_ms.append(spent.times_ms)

    def close(self) -> None:
        """Ends the drivers, and what they started."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


@dataclass(frozen=True)
class Measurement:
    """What came of a workload: figures by way, why a way is left out, and how CPU time was counted."""

    measured: dict[str, Measured]
    left_out: dict[str, str]
    how: str


class Bench:
    """Where the drivers of one workload run; a context manager that ends them.

    ways: the names of those that can be started, each once.
    """

    def __init__(self, workload: Workload, ways: Sequence[str]) -> None:
        self._workload = workload
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self._items = self._folder / "items.jsonl"
        lines = (item.to_json() + "\n" for item in workload.items)
        self._items.write_text("".join(lines), encoding="utf-8")
        self._meters = cpu.meters(ways)
        for meter in self._meters.values():
            self._stack.callback(meter.close)
        self.how = next(iter(self._meters.values())).how

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, way: Way) -> Drivers:
        """Starts a way's drivers. Raises WayFailed."""
        drivers = Drivers(way, self._workload, self._items, self._meters[way.name])
        self._stack.callback(drivers.close)
        return drivers


def measure(
    workload: Workload, ways: Sequence[Way], *, seconds: float, gradings: int | None, progress: Progress
) -> Measurement:
    """Measures the ways on one workload. One that is not required is left out when it fails.

    Args:
        seconds: how long each way is measured, all rounds together.
        gradings: so many programs a way instead.
        progress: is told what is going on.

    Raises:
        WayFailed: a required way did not start, or did not pass a program.
    """
    items = max(1, gradings // ROUNDS) if gradings else None
    running: dict[str, Drivers] = {}
    per_round: dict[str, int] = {}
    left_out = {way.name: way.left_out for way in ways if way.left_out}
    ways = [way for way in ways if not way.left_out]
    with Bench(workload, [way.name for way in ways]) as bench:
        for way in ways:
            progress(f"{workload.title}: warm-up: {way.title}")
            with _may_fail(way, left_out):
                running[way.name] = bench.start(way)
                per_round[way.name] = running[way.name].warm_up(seconds / ROUNDS, items)
        for number in range(ROUNDS):
            for way in ways:
                if way.name not in left_out:
                    progress(f"{workload.title}: round {number + 1} of {ROUNDS}: {way.title}")
                    with _may_fail(way, left_out):
                        running[way.name].round(per_round[way.name])
        measured = {way.name: running[way.name].measured for way in ways if way.name not in left_out}
        return Measurement(measured, left_out, bench.how)


@contextmanager
def _may_fail(way: Way, left_out: dict[str, str]) -> Iterator[None]:
    try:
        yield
    except WayFailed as error:
        if way.required:
            raise WayFailed(f"{way.title}: {error}") from None
        left_out[way.name] = str(error)
