"""What a run of grading comes to, in numbers and in words."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


class Tally:
    """Counts labels (rows of a labels file) as they come. Times are seconds."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.submissions = 0
        self.tests = 0
        self.verdicts: Counter[str] = Counter()
        self.seals: Counter[str] = Counter()
        self.evidence: Counter[str] = Counter()
        self._pass_rates = 0.0
        self._rated = 0
        self._cpu_time_s = 0.0

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        for row in rows:
            self.submissions += 1
            self.verdicts[row["verdict"]] += 1
            self.evidence.update(row.get("evidence", ()))
            if row["pass_rate"] is not None:
                self._pass_rates += row["pass_rate"]
                self._rated += 1
            self.tests += len(row["tests"])
            for test in row["tests"]:
                self.seals[test["seal"]] += 1
                self._cpu_time_s += test["cpu_time_s"]

    def mean_pass_rate(self) -> float | None:
        """Over the submissions that have one; None when none has."""
        return self._pass_rates / self._rated if self._rated else None

    def summary(self) -> dict[str, Any]:
        """The numbers, for --json."""
        wall_time_s = time.monotonic() - self._started
        return {
            "submissions": self.submissions,
            "tests": self.tests,
            "verdicts": dict(self.verdicts.most_common()),
            "seals": dict(self.seals.most_common()),
            "evidence": dict(self.evidence.most_common()),
            "mean_pass_rate": self.mean_pass_rate(),
            "engine_errors": self.verdicts["ENGINE_ERROR"],
            "programs_cpu_time_s": round(self._cpu_time_s, 3),
            "wall_time_s": round(wall_time_s, 3),
            "submissions_per_s": round(self.submissions / wall_time_s, 1),
            "tests_per_s": round(self.tests / wall_time_s, 1),
        }

    def words(self) -> str:
        """The same in two lines; a third, when programs tried something else than to solve their problems."""
        numbers = self.summary()
        verdicts = ", ".join(f"{count:,} {name}" for name, count in self.verdicts.most_common())
        rate = numbers["mean_pass_rate"]
        signs = ", ".join(f"{count:,} {name}" for name, count in self.evidence.most_common())
        return (
            f"{self.submissions:,} submissions, {self.tests:,} tests in "
            f"{numbers['wall_time_s']:.1f} s: {numbers['submissions_per_s']:,.0f} submissions/s, "
            f"{numbers['tests_per_s']:,.0f} tests/s\n"
            f"{verdicts or 'nothing graded'}"
            + (f"; mean pass rate {rate:.3f}" if rate is not None else "")
            + (f"\nevidence: {signs}" if signs else "")
        )
