"""Programs against tests, asked of an engine: one row of verdicts a program, in the order of the problem's tests."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradebox
from gradebox_command.errors import InputError

type Verdicts = list[gradebox.Verdict]

_PROGRAMS_AT_ONCE = 16  # of one problem in one request: an engine's workers share them


@dataclass(frozen=True, slots=True)
class Question:
    """Programs to be graded. `key` is the caller's; `tests` are in the order in which they run."""

    key: int
    problem: Mapping[str, Any]
    tests: Sequence[Any]
    programs: Sequence[str]
    cpu_time_s: float | None = None


def matrices(
    client: gradebox.Client, questions: Sequence[Question], *, stop_early: bool = False, fresh: bool = False
) -> dict[int, list[Verdicts]]:
    """A matrix for each question, by its key.

    Raises:
        InputError: the engine refuses a problem.
        GradeboxError: no engine is left.
    """
    found: dict[int, list[Verdicts]] = {question.key: [[]] * len(question.programs) for question in questions}
    for graded in client.grade_many(_items(questions), stop_early=stop_early, fresh=fresh):
        assert isinstance(graded.key, tuple)  # as _items made it
        key, start = graded.key
        if isinstance(graded.error, gradebox.InvalidRequest):
            problem = next(question.problem for question in questions if question.key == key)
            raise InputError(problem["id"], None, graded.error.field, graded.error.problem)
        for result in graded.results:
            found[key][start + result.index] = [test.verdict for test in result.tests]
    return found


def _items(questions: Iterable[Question]) -> Iterator[gradebox.GradeItem]:
    for question in questions:
        row: dict[str, Any] = {**question.problem, "tests": list(question.tests)}
        if question.cpu_time_s is not None:
            row["limits"] = {**(row.get("limits") or {}), "cpu_time_s": question.cpu_time_s}
        problem = gradebox.Problem.from_dict(row)
        for start in range(0, len(question.programs), _PROGRAMS_AT_ONCE):
            programs = question.programs[start : start + _PROGRAMS_AT_ONCE]
            yield gradebox.GradeItem(problem, programs, key=(question.key, start))
