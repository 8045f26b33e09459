"""Labels for a whole programs file: each distinct program of a problem graded once, rows in the order of the input.

    programs file ─► Work: not in the ledger yet? ─► a Grader (one engine, several, a Ray cluster), in any order
                                                              │
    programs file ─► each row: label in the ledger? ◄─ ledger ◄┘   (else wait for the grader's next answers)
                          └─► labels file or folder

The file is read twice at the same time: once for what has to be graded, once for the rows to write. The ledger stands
between them, so that neither order nor a slow program holds anything up, and memory stays flat.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn

import gradebox
from gradebox_command.errors import CommandError, InputError
from gradebox_command.files import Problems, Programs, ProgramsRow, generator_of
from gradebox_command.labels import LabelsFile, Written
from gradebox_command.ledger import Ledger, label_key
from gradebox_command.session import grading_errors
from gradebox_command.shards import LabelsFolder

type Labels = LabelsFile | LabelsFolder

UNIT_PROGRAMS = 16
_UNIT_CHARACTERS = 4 << 20
_KEPT_PROBLEMS = 128
_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Unit:
    """Distinct programs of one problem, to be sent to an engine at once, with the keys of their labels."""

    id: str
    programs: tuple[str, ...]
    keys: tuple[bytes, ...]


type Answers = list[tuple[bytes, dict[str, Any]]]
"""Labels with their keys; `id` and `program_index` in them say nothing."""

type Grader = Callable[[Iterator[Unit], "Suites"], Iterator[Answers]]
"""Grades units, which it may take in another thread, and yields answers as they come, in any order."""


class Suites:
    """The problems of a file as they are sent; usable from several threads."""

    def __init__(self, problems: Problems, *, min_seal: str | None, stop_early: bool) -> None:
        self.problems = problems
        self.stop_early = stop_early
        self._min_seal = min_seal
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, gradebox.Problem] = OrderedDict()
        self._digests: dict[str, bytes] = {}

    def problem(self, id: str) -> gradebox.Problem:
        """The same object again while it is kept: it has its suite serialized already."""
        with self._lock:
            problem = self._kept.get(id)
            if problem is None:
                problem = gradebox.Problem.from_dict(self._row(id))
                self._kept[id] = problem
                if len(self._kept) > _KEPT_PROBLEMS:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(id)
            self._digests[id] = problem.suite.sha256
            return problem

    def row(self, id: str) -> dict[str, Any]:
        """The problem's row as it is sent, the weakest seal with it."""
        with self._lock:
            return self._row(id)

    def _row(self, id: str) -> dict[str, Any]:
        return {**self.problems[id], "min_seal": self._min_seal}

    def key(self, id: str, program: str) -> bytes:
        """The key of a label."""
        digest = self._digests.get(id) or self.problem(id).suite.sha256
        return label_key(digest, program, stop_early=self.stop_early)

    def refused(self, id: str, field: str, problem: str) -> InputError:
        """The error for a problem that an engine refuses."""
        return InputError(self.problems.path, self.problems.line(id), field, problem)


class Grading:
    """One run of grading: a programs file, its problems, and where the labels go."""

    def __init__(self, programs: Programs, suites: Suites, labels: Labels, ledger: Ledger) -> None:
        self._programs = programs
        self._suites = suites
        self._labels = labels
        self._ledger = ledger
        self.graded = 0
        """Distinct programs that were graded in this run."""

    def check_written(self) -> Iterator[Written]:
        """Yields the rows that are there. Raises InputError where they are not those of the input."""
        submissions = self._submissions()
        has_ledger = self._ledger.path is not None and self._ledger.has_labels()
        for count, written in enumerate(self._labels.written(), start=1):
            row, index, program = next(submissions, (None, -1, ""))
            if row is None:
                self._unlike(written, "id", f"the input has only {count - 1:,} programs")
            key = self._suites.key(row.id, program)
            for field, found, expected in (
                ("id", written.id, row.id),
                ("program_index", written.program_index, index),
                ("program_sha256", written.program_sha256, program_sha256(program)),
            ):
                if found != expected:
                    self._unlike(written, field, f"not that of program {count:,} in {self._programs.path}")
            if has_ledger and not self._ledger.knows(key):
                self._unlike(written, "tests", f"made with other tests or settings than {row.id!r} has now")
            yield written

    def _unlike(self, written: Written, field: str, problem: str) -> NoReturn:
        where = "--resume goes on with the same input only; for another one, name another output"
        raise InputError(written.path, written.line, field, f"{problem}: {where}")

    def rows(self, grader: Grader, skip: int) -> Iterator[list[dict[str, Any]]]:
        """Grades what has to be, and writes and yields the rows after the first `skip`, some at a time.

        Raises:
            InputError: the engine refuses a problem.
            CommandError: no engine is left, it refuses the token, or nothing can be written.
        """
        with grading_errors():
            answers = grader(self._work(skip), self._suites)
            rows: list[dict[str, Any]] = []
            for number, (row, index, program) in enumerate(self._submissions()):
                if number < skip:
                    continue
                key = self._suites.key(row.id, program)
                while (label := self._ledger.get(key)) is None:
                    yield from self._write(rows)  # nothing that is there waits for what is not
                    self._take(answers)
                rows.append(_row(label, row, index))
                if len(rows) == _ROWS_AT_ONCE:
                    yield from self._write(rows)
            yield from self._write(rows)

    def _write(self, rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
        if rows:
            self._labels.append(rows)
            yield rows.copy()
            rows.clear()

    def _take(self, answers: Iterator[Answers]) -> None:
        batch = next(answers, None)
        if batch is None:
            raise CommandError("the engine left programs out")
        self._ledger.put(batch)
        self.graded += len(batch)

    def _submissions(self) -> Iterator[tuple[ProgramsRow, int, str]]:
        for row in self._programs:
            for index, program in enumerate(row.programs):
                yield row, index, program

    def _work(self, skip: int) -> Iterator[Unit]:
        number = 0
        for row in self._programs:
            programs: list[str] = []
            keys: list[bytes] = []
            characters = 0
            for program in row.programs:
                number += 1
                if number <= skip:
                    continue
                key = self._suites.key(row.id, program)
                if not self._ledger.claim(key):
                    continue
                if programs and characters + len(program) > _UNIT_CHARACTERS:
                    yield Unit(row.id, tuple(programs), tuple(keys))
                    programs, keys, characters = [], [], 0
                programs.append(program)
                keys.append(key)
                characters += len(program)
                if len(programs) == UNIT_PROGRAMS:
                    yield Unit(row.id, tuple(programs), tuple(keys))
                    programs, keys, characters = [], [], 0
            if programs:
                yield Unit(row.id, tuple(programs), tuple(keys))


def by_client(client: gradebox.Client) -> Grader:
    """Grades through one client, on the engines that it reaches."""

    def grade(units: Iterator[Unit], suites: Suites) -> Iterator[Answers]:
        items = (gradebox.GradeItem(suites.problem(unit.id), unit.programs, key=unit) for unit in units)
        for graded in client.grade_many(items, stop_early=suites.stop_early):
            unit = graded.key
            assert isinstance(unit, Unit)
            if isinstance(graded.error, gradebox.InvalidRequest):
                raise suites.refused(unit.id, graded.error.field, graded.error.problem)
            labels = (result.to_label() for result in graded.results)
            yield list(zip(unit.keys, labels, strict=True))

    return grade


def program_sha256(program: str) -> str:
    """The SHA-256 of a program as labels have it."""
    return sha256(program.encode("utf-8", "surrogatepass")).hexdigest()


def _row(label: dict[str, Any], row: ProgramsRow, index: int) -> dict[str, Any]:
    label.update(id=row.id, program_index=index)
    if (generator := generator_of(row.row)) is not None:
        label["generator"] = generator
    return label
