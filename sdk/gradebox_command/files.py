"""The input of grading: a problems file and a programs file, as interface rows.

Memory does not grow with the input: problems are checked once and kept, packed, in a temporary file
(in memory while they are few); programs are read row by row.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gradebox_command.errors import InputError
from gradebox_command.problem_rows import FieldError, check_problem, problem_id
from gradebox_command.rows import json_kind, read_rows, row_files

MAX_PROGRAM_BYTES = 56 << 20
"""What can be sent beside its tests; an engine gives a verdict on much smaller ones already."""

_IN_MEMORY_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class ProgramsRow:
    """One row of a programs file."""

    line: int
    id: str
    programs: list[str]
    row: Mapping[str, Any]


class Problems:
    """The problems of a file by id. Close it, or use it as a context manager.

    Raises (while reading):
        InputError: the file cannot be read, a field is wrong, or an id comes twice.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep: Callable[[dict[str, Any]], bool] | None = None,
        check: Callable[[dict[str, Any]], dict[str, Any]] = check_problem,
    ) -> None:
        """Reads and checks the whole file; rows that `keep` refuses are left out unchecked.

        `check` gives the fields to keep, or raises FieldError; an engine's own knows more than the SDK's.
        """
        self.path = path
        self._check = check
        self._places: dict[str, tuple[int, int, int]] = {}
        self._packed = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)
        try:
            for line, row in read_rows(path):
                if keep is None or keep(row):
                    self._add(line, row)
        except BaseException:
            self.close()
            raise

    def _add(self, line: int, row: dict[str, Any]) -> None:
        try:
            problem = self._check(row)
            packed = json.dumps(problem).encode()
        except FieldError as error:
            raise InputError(self.path, line, error.field, error.problem) from None
        except (TypeError, ValueError, RecursionError) as error:  # Parquet holds more than JSON can
            raise InputError(self.path, line, "tests", f"cannot be sent: {error}") from None
        if problem["id"] in self._places:
            first = self._places[problem["id"]][2]
            raise InputError(self.path, line, "id", f"{problem['id']!r} is already the id of line {first}")
        self._places[problem["id"]] = (self._packed.tell(), len(packed), line)
        self._packed.write(packed)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, id: str) -> bool:
        return id in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, id: str) -> dict[str, Any]:
        """The checked row of a problem (see problem_rows). KeyError when there is none."""
        start, length, _ = self._places[id]
        self._packed.seek(start)
        problem: dict[str, Any] = json.loads(self._packed.read(length))
        return problem

    def line(self, id: str) -> int:
        """The line of the file that a problem stands on."""
        return self._places[id][2]

    def close(self) -> None:
        self._packed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


@dataclass(slots=True)
class Programs:
    """A programs file, read anew by every iteration; what is wrong in a row is told as InputError.

    What a program holds is no concern of this reader (null bytes, lone surrogates, 50 MB of
    brackets): it gets a verdict.

    skip_unknown: rows with the id of no problem are left out; `count` counts their programs in `skipped`.
    """

    path: Path
    problems: Problems
    skip_unknown: bool = False
    skipped: int = 0

    def __iter__(self) -> Iterator[ProgramsRow]:
        return (row for row in self._rows() if row.id in self.problems)

    def count(self) -> int:
        """Checks the whole file and counts its programs.

        A mistake in the last line is then told before the first program is graded, not hours later.
        """
        counts = {True: 0, False: 0}
        for row in self._rows():
            counts[row.id in self.problems] += len(row.programs)
        self.skipped = counts[False]
        return counts[True]

    def _rows(self) -> Iterator[ProgramsRow]:
        for file in row_files(self.path):
            for row in _read_programs(file):
                if row.id not in self.problems and not self.skip_unknown:
                    raise InputError(file, row.line, "id", f"no problem {row.id!r} in {self.problems.path}")
                yield row


def _read_programs(path: Path) -> Iterator[ProgramsRow]:
    for line, row in read_rows(path):
        try:
            id = problem_id(row)
            programs = row.get("programs")
            if programs is None:
                raise FieldError("programs", "missing")
            if not isinstance(programs, list):
                raise FieldError("programs", f"must be a list, is {json_kind(programs)}")
            for index, program in enumerate(programs):
                if not isinstance(program, str):
                    raise FieldError(f"programs[{index}]", f"must be a string, is {json_kind(program)}")
                if _larger(program, MAX_PROGRAM_BYTES):
                    raise FieldError(f"programs[{index}]", f"larger than {MAX_PROGRAM_BYTES:,} bytes")
        except FieldError as error:
            raise InputError(path, line, error.field, error.problem) from None
        yield ProgramsRow(line, id, programs, row)


def _larger(program: str, limit_bytes: int) -> bool:
    if len(program) * 4 <= limit_bytes:  # no character takes more than four
        return False
    return len(program.encode("utf-8", "surrogatepass")) > limit_bytes


def generator_of(row: Mapping[str, Any]) -> str | None:
    """Who wrote the programs of a row: its `generator`, or that of its `meta`."""
    meta = row.get("meta")
    found = row.get("generator") or (meta.get("generator") if isinstance(meta, Mapping) else None)
    return found if isinstance(found, str) else None
