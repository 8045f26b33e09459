"""The command line as a client: engines to talk to, units of work, results as label rows."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import gradebox
from gradebox_engine.cli.errors import CommandError, InputError, one_line
from gradebox_engine.cli.fanout import Fanout, Grade, Unit
from gradebox_engine.cli.files import Problems, ProgramsRow

type Labels = list[dict[str, Any]]

_UNIT_PROGRAMS = 16
_UNIT_CHARACTERS = 4 << 20
_KEPT_PROBLEMS = 128
_LEAVE_ENGINE_S = 3.0


@contextmanager
def open_engines(addresses: Sequence[str], workers: int | None = None) -> Iterator[Sequence[gradebox.Client]]:
    """Connects to the engines named, or starts an embedded one; ends all on the way out."""
    with ExitStack() as stack, grading_errors():
        if addresses:
            # Where there is another engine, work does not wait long for one that is gone.
            patience = {"retry_s": _LEAVE_ENGINE_S} if len(addresses) > 1 else {}
            yield [stack.enter_context(gradebox.Client(address, **patience)) for address in addresses]
        else:
            engine = stack.enter_context(gradebox.Engine(workers=workers))
            if "rlimits-only" in engine.info().protections:
                print("gradebox: tier rootless, no control group: see gradebox doctor", file=sys.stderr)
            yield [engine]


@contextmanager
def grading_errors() -> Iterator[None]:
    """Turns the SDK's errors into the one line that a command ends with."""
    try:
        yield
    except gradebox.GradeboxError as error:
        raise CommandError(one_line(f"{type(error).__name__}: {error}")) from None


def to_units(rows: Iterable[ProgramsRow], skip: int = 0) -> Iterator[Unit]:
    """Cuts rows into units; the first `skip` programs are left out."""
    number = 0
    for row in rows:
        if skip >= len(row.programs):
            skip -= len(row.programs)
            continue
        start, skip = skip, 0
        while start < len(row.programs):
            end, characters = start, 0
            while end < len(row.programs) and end - start < _UNIT_PROGRAMS:
                characters += len(row.programs[end])
                if end > start and characters > _UNIT_CHARACTERS:
                    break
                end += 1
            yield Unit(number, row.id, row.line, start, tuple(row.programs[start:end]))
            number, start = number + 1, end


BRIEF_TESTS = 8
BRIEF_CPU_TIME_S = 1.0


def grade_units(
    engines: Sequence[gradebox.Client],
    units: Iterator[Unit],
    problems: Problems,
    *,
    min_seal: str | None = None,
    stop_early: bool = False,
    brief: bool = False,
) -> Iterator[tuple[Unit, Labels]]:
    """Grades units on all the engines; yields their label rows in the order of the units.

    brief: BRIEF_TESTS tests of a problem at most, with BRIEF_CPU_TIME_S for each, so that a program that never ends
    costs seconds and not minutes.

    Raises:
        InputError: the engine refuses a problem.
        CommandError: no engine is left.
    """

    @lru_cache(_KEPT_PROBLEMS)  # the same object again has its suite serialized already
    def problem(id: str) -> gradebox.Problem:
        row = {**problems[id], "min_seal": min_seal}
        if brief:
            row["tests"] = row["tests"][:BRIEF_TESTS]
            row["limits"] = {"cpu_time_s": BRIEF_CPU_TIME_S, **(row.get("limits") or {})}
        return gradebox.Problem.from_dict(row)

    def grader(engine: gradebox.Client) -> Grade[Labels]:
        def grade(work: Iterator[Unit]) -> Iterator[tuple[Unit, Labels]]:
            items = (gradebox.GradeItem(problem(u.id), u.programs, key=u) for u in work)
            for graded in engine.grade_many(items, stop_early=stop_early):
                unit = graded.key
                assert isinstance(unit, Unit)
                if isinstance(graded.error, gradebox.InvalidRequest):
                    raise InputError(
                        problems.path,
                        problems.line(unit.id),
                        graded.error.field,
                        graded.error.problem,
                    )
                labels = [result.to_label() for result in graded.results]
                for label in labels:
                    label["program_index"] += unit.first_index
                yield unit, labels

        return grade

    with grading_errors():
        fanout = Fanout([grader(engine) for engine in engines], units, retry=_another_engine_may_do)
        yield from fanout.answers()


def _another_engine_may_do(error: Exception) -> bool:
    return isinstance(error, gradebox.GradeboxError) and not isinstance(error, gradebox.InvalidRequest)
