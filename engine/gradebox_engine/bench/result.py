"""What a benchmark found: rows of lines, each with its figures, and with the target of what it is compared with."""

import os
import platform
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """A figure that says how gradebox stands.

    form: how it reads, a format string. target: what it should be at most (at least, with `at_least`); None where it
    is for orientation.
    """

    value: float
    form: str = "{:.2f} x"
    target: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def words(self) -> str:
        """The figure as it reads."""
        return self.form.format(self.value)

    def target_words(self) -> str:
        """The target as it reads; empty without one."""
        if self.target is None:
            return ""
        share = "%" in self.form
        return f"{'≥' if self.at_least else '≤'} {f'{self.target:.0%}' if share else f'{self.target:g}'}"

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        sense = "at_least" if self.at_least else "at_most"
        return {"value": round(self.value, 4), "target": self.target, "sense": sense, "met": self.met}


@dataclass(frozen=True)
class Line:
    """One way of grading in one row.

    cost_ms: a unit of work, in what the row's `cost` says. rounds: every round's figures. own: gradebox's.
    left_out: why there are no figures; empty where there are.
    """

    name: str
    title: str
    cost_ms: float | None = None
    rate: float | None = None
    units: int = 0
    comparison: Comparison | None = None
    rounds: dict[str, list[float]] = field(default_factory=dict)
    own: bool = False
    left_out: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        if self.left_out:
            return {"name": self.name, "title": self.title, "left_out": self.left_out}
        return {
            "name": self.name,
            "title": self.title,
            "units": self.units,
            "cost_ms": _rounded(self.cost_ms),
            "units_per_s": _rounded(self.rate),
            "comparison": self.comparison.to_dict() if self.comparison else None,
            "rounds": {name: [round(value, 4) for value in values] for name, values in self.rounds.items()},
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


@dataclass(frozen=True)
class Row:
    """One row of the benchmark: what was graded, in which unit, what it cost, and the command that repeats it.

    by_rate: what is compared is the rate, not the cost.
    """

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    command: str
    cost: str = "CPU ms"
    counted_by: str = ""
    by_rate: bool = False

    def line(self, name: str) -> Line:
        """One of the lines. Raises KeyError."""
        return {line.name: line for line in self.lines}[name]

    def to_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "cost": self.cost,
            "command": self.command,
            "lines": [line.to_dict() for line in self.lines],
        }


@dataclass(frozen=True)
class BenchResult:
    """All rows of one run."""

    rows: tuple[Row, ...]

    @property
    def counted_by(self) -> str:
        """How CPU time was counted."""
        return next((row.counted_by for row in self.rows if row.counted_by), "")

    def to_dict(self) -> dict[str, Any]:
        """For --json. Times in milliseconds, rates in units a second, medians of the rounds."""
        return {
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
            "cpu_time_counted_by": self.counted_by,
            "rows": [row.to_dict() for row in self.rows],
        }
