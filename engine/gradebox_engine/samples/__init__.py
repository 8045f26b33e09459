"""The sample that ships with the package: problems of all four kinds, with programs for each.

`problems.jsonl` and `programs.jsonl` have the published file formats. In a row of programs,
`meta.kind` says what each program is (right, partly right, wrong, slow, hostile) and `meta.expect`
what a correct engine says of it: `{"verdict": name | "not_passed", "pass_rate": float?}`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROBLEMS = Path(__file__).with_name("problems.jsonl")
PROGRAMS = Path(__file__).with_name("programs.jsonl")


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a correct engine says of a program."""

    kind: str
    verdict: str
    """A verdict's name, or `not_passed`: any but PASSED and ENGINE_ERROR."""
    pass_rate: float | None
    """None where it may be any (hostile programs)."""

    def allows(self, verdict: str, pass_rate: float | None) -> bool:
        """Whether a verdict's name and a pass rate (None: no real verdict) are as expected."""
        if self.verdict == "not_passed":
            right = verdict not in ("PASSED", "ENGINE_ERROR")
        else:
            right = verdict == self.verdict
        if self.pass_rate is None or not right:
            return right
        return pass_rate is not None and abs(pass_rate - self.pass_rate) < 1e-4


@dataclass(frozen=True, slots=True)
class Sample:
    """A problem (a row of problems.jsonl), its programs, and what is expected of each."""

    problem: dict[str, Any]
    programs: tuple[str, ...]
    expected: tuple[Expectation, ...]

    @property
    def test_kind(self) -> str:
        """assert, stdio, call or unittest."""
        return str(self.problem["id"]).split("/")[1]


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load() -> list[Sample]:
    """The whole sample, in the order of the files."""
    problems = {row["id"]: row for row in _rows(PROBLEMS)}
    return [
        Sample(
            problems[row["id"]],
            tuple(row["programs"]),
            tuple(
                Expectation(kind, expect["verdict"], expect.get("pass_rate"))
                for kind, expect in zip(row["meta"]["kind"], row["meta"]["expect"], strict=True)
            ),
        )
        for row in _rows(PROGRAMS)
    ]
