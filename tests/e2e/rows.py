"""Submissions whose verdict is known, of the labelled data or of the shipped sample, for what grades many of them."""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e import truth

import gradebox
from gradebox_engine import samples

# Of these, each n-th: they are right however slow, or take a second each.
EVERY = {"solutions_bigcodebench": 12, "solutions_mbppplus": 12}
ONE_SLOW_IN = 1000
SLOW_LIMITS = truth.LIMITS | {"cpu_time_s": 1.0}
PROGRAMS_AN_ITEM = 8


@dataclass(frozen=True, eq=False)
class Row:
    """One program of a problem and its known label: from the labelled data, or what the sample says of it."""

    where: str
    problem: gradebox.Problem
    program: str
    label: bool | samples.Expectation

    def deviation(self, result: gradebox.SubmissionResult) -> str | None:
        """What is wrong with a result; None when it is as it should be."""
        verdict, said = result.verdict.name, truth.codes(result)
        if "E" in said:
            messages = {test.message for test in result.tests if test.verdict.name == "ENGINE_ERROR"}
            return f"{self.where}: {said}: {'; '.join(sorted(messages))[:300]}"
        if isinstance(self.label, bool):
            right = (verdict == "PASSED") is self.label
        else:
            right = self.label.allows(verdict, result.pass_rate)
        return None if right else f"{self.where}: expected {self.label}, got {verdict} {said}"


def of_data(folder: Path, only: str = "", problems: int | None = None) -> dict[str, list[Row]]:
    """Rows of the labelled data by group: those whose name matches `only`, `problems` spread problems of each."""
    data = truth.Data(folder)
    found = {}
    for group, make in truth.groups(data).items():
        if re.search(only, group):
            submissions = [s for s in make() if f"{group}: {s.where}" not in truth.EXPLAINED]
            rows = list(_with_few_slow(group, submissions[:: EVERY.get(group, 1)]))
            found[group] = rows if problems is None else _of_some_problems(rows, problems)
    return found


def _with_few_slow(group: str, submissions: Sequence[truth.Submission]) -> Iterator[Row]:
    """What ran into its time limit there costs that limit here: one of them a thousand, under a lower limit."""
    slow = itertools.cycle([s for s in submissions if s.slow] or [None])
    for place, submission in enumerate(submissions):
        if not submission.slow:
            hurried = submission.vector is None and not submission.passes  # perhaps an endless loop
            yield _row(group, submission, hurried)
        if place % ONE_SLOW_IN == ONE_SLOW_IN // 2 and (chosen := next(slow)) is not None:
            yield _row(group, chosen, True)


def _row(group: str, submission: truth.Submission, hurried: bool) -> Row:
    problem = submission.problem
    if hurried:
        problem = dataclasses.replace(problem, limits=SLOW_LIMITS)
    where = f"{group}: {submission.where}{' (hurried)' if hurried else ''}"
    return Row(where, problem, submission.program, submission.passes)


def _of_some_problems(rows: Sequence[Row], count: int) -> list[Row]:
    known = list(dict.fromkeys(row.problem.id for row in rows))
    chosen = set(known[:: max(1, len(known) // count)][:count])
    return [row for row in rows if row.problem.id in chosen]


def of_samples() -> dict[str, list[Row]]:
    """Rows of the shipped sample by kind of test; of its endless loops, one in ten."""
    found: dict[str, list[Row]] = {}
    for number, sample in enumerate(samples.load()):
        problem = gradebox.Problem.from_dict(sample.problem)
        for program, expected in zip(sample.programs, sample.expected, strict=True):
            if expected.kind != "slow" or number % 10 == 0:
                where = f"{sample.problem['id']} {expected.kind}"
                found.setdefault(f"sample {sample.test_kind}", []).append(Row(where, problem, program, expected))
    return found


def items(groups: dict[str, list[Row]]) -> list[list[Row]]:
    """All rows, in pieces of one problem each, the groups interleaved evenly from the first piece to the last."""
    placed = []
    for rows in groups.values():
        pieces = [
            list(part)
            for _, of_problem in itertools.groupby(rows, key=lambda row: id(row.problem))
            for part in itertools.batched(of_problem, PROGRAMS_AN_ITEM)
        ]
        placed += [((place + 0.5) / len(pieces), piece) for place, piece in enumerate(pieces)]
    return [piece for _, piece in sorted(placed, key=lambda item: item[0])]
