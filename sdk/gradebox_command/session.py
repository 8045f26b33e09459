"""The command line as a client: the engines to talk to, units of work, results as label rows."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradebox
from gradebox_command.errors import CommandError, InputError, one_line
from gradebox_command.files import Problems, ProgramsRow
from gradebox_command.in_order import Unit, in_order

type Labels = list[dict[str, Any]]

_UNIT_PROGRAMS = 16
_UNIT_CHARACTERS = 4 << 20
_KEPT_PROBLEMS = 128


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines to talk to; without addresses, an embedded one with so many workers."""

    addresses: Sequence[str] = ()
    workers: int | None = None
    token: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None


@contextmanager
def open_client(engines: Engines) -> Iterator[gradebox.Client]:
    """Connects to the engines named, or starts an embedded one; ends all on the way out."""
    with grading_errors():
        if engines.addresses:
            client = gradebox.Client(
                engines.addresses,
                token=engines.token,
                ca_file=engines.ca_file,
                cert_file=engines.cert_file,
                key_file=engines.key_file,
            )
            with client:
                yield client
        else:
            with gradebox.Engine(workers=engines.workers) as engine:
                if "rlimits-only" in engine.info().protections:
                    print("gradebox: tier rootless, no control group: see gradebox doctor", file=sys.stderr)
                yield engine


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
    client: gradebox.Client,
    units: Iterator[Unit],
    problems: Problems,
    *,
    min_seal: str | None = None,
    stop_early: bool = False,
    brief: bool = False,
) -> Iterator[tuple[Unit, Labels]]:
    """Grades units; yields their label rows in the order of the units.

    brief: BRIEF_TESTS tests of a problem at most, with BRIEF_CPU_TIME_S for each, so that a program that never ends
    costs seconds and not minutes.

    Raises:
        InputError: the engine refuses a problem.
        CommandError: no engine is left, or it refuses the token.
    """

    @lru_cache(_KEPT_PROBLEMS)  # the same object again has its suite serialized already
    def problem(id: str) -> gradebox.Problem:
        row = {**problems[id], "min_seal": min_seal}
        if brief:
            row["tests"] = row["tests"][:BRIEF_TESTS]
            row["limits"] = {"cpu_time_s": BRIEF_CPU_TIME_S, **(row.get("limits") or {})}
        return gradebox.Problem.from_dict(row)

    def grade(work: Iterator[Unit]) -> Iterator[tuple[Unit, Labels]]:
        items = (gradebox.GradeItem(problem(u.id), u.programs, key=u) for u in work)
        for graded in client.grade_many(items, stop_early=stop_early):
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

    with grading_errors():
        yield from in_order(grade, units)
