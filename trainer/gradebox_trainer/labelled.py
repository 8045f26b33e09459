"""Labels brought together with the texts that they are of: problem by problem, on disk.

A labels file names a program by its problem's id and its SHA-256; the text is in the programs file, the prompt in the
problems file. All three are read once, into an SQLite database in a temporary folder: memory does not grow with them,
and the rows of one problem may stand anywhere in the files.
"""

import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gradebox_command.errors import InputError
from gradebox_command.files import generator_of
from gradebox_command.problem_rows import FieldError, problem_id
from gradebox_command.rows import json_kind, read_rows

_SCHEMA = """
CREATE TABLE problems (id BLOB PRIMARY KEY, place INTEGER, row TEXT) WITHOUT ROWID;
CREATE TABLE programs (id BLOB, sha256 TEXT, source BLOB, generator TEXT, PRIMARY KEY (id, sha256)) WITHOUT ROWID;
CREATE TABLE labels (place INTEGER PRIMARY KEY, id BLOB, sha256 TEXT, row TEXT);
"""
NO_GENERATOR = ""


@dataclass(frozen=True, slots=True)
class LabelledProgram:
    """A label, the program that it is of, and who wrote it (empty where nothing says so)."""

    label: Mapping[str, Any]
    program: str
    generator: str


@dataclass(frozen=True, slots=True)
class LabelledProblem:
    """A problem's row and its labelled programs, in the order of the labels."""

    id: str
    row: Mapping[str, Any]
    programs: list[LabelledProgram]

    @property
    def prompt(self) -> str:
        """What a model is asked: `prompt`, else `question`, else nothing."""
        return prompt_of(self.row)


def prompt_of(row: Mapping[str, Any]) -> str:
    """The prompt of a problem's row; empty when it has none."""
    return row.get("prompt") or row.get("question") or ""


class Labelled:
    """The three files joined; iterate it for problems with their programs, in the order of the problems file.

    Problems without labels are left out. Use it as a context manager.

    Raises:
        InputError: a row is wrong, or a label is of a problem or program that the files do not have.
    """

    def __init__(self, labels: Path, problems: Path, programs: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gradebox-labelled-")
        try:
            self._database = sqlite3.connect(Path(self._folder.name, "labelled.sqlite"))
            self._database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;" + _SCHEMA)
            self._add_problems(problems)
            self._add_programs(programs)
            self._add_labels(labels, problems, programs)
            self._database.execute("CREATE INDEX by_problem ON labels (id, place)")
        except BaseException:
            self.close()
            raise

    def _add_problems(self, path: Path) -> None:
        for place, (line, row) in enumerate(read_rows(path)):
            id = _id(path, line, row)
            for field in ("prompt", "question"):
                if row.get(field) is not None and not isinstance(row[field], str):
                    raise InputError(path, line, field, f"must be a string, is {json_kind(row[field])}")
            try:
                text = json.dumps(row)
            except (TypeError, ValueError) as error:  # Parquet holds more than JSON can
                raise InputError(path, line, "", f"not JSON: {error}") from None
            self._database.execute("INSERT OR IGNORE INTO problems VALUES (?, ?, ?)", (_key(id), place, text))

    def _add_programs(self, path: Path) -> None:
        for line, row in read_rows(path):
            id, programs = _key(_id(path, line, row)), row.get("programs")
            if not isinstance(programs, list) or not all(isinstance(program, str) for program in programs):
                raise InputError(path, line, "programs", "must be a list of strings")
            generator = generator_of(row) or NO_GENERATOR
            sources = [program.encode("utf-8", "surrogatepass") for program in programs]
            self._database.executemany(
                "INSERT OR IGNORE INTO programs VALUES (?, ?, ?, ?)",
                ((id, hashlib.sha256(source).hexdigest(), source, generator) for source in sources),
            )

    def _add_labels(self, path: Path, problems: Path, programs: Path) -> None:
        find = "SELECT 1 FROM programs WHERE id = ? AND sha256 = ?"
        known: bytes | None = None
        for place, (line, row) in enumerate(read_rows(path)):
            id = _key(_id(path, line, row))
            if id != known:
                if not self._database.execute("SELECT 1 FROM problems WHERE id = ?", (id,)).fetchone():
                    raise InputError(path, line, "id", f"no problem {row['id']!r} in {problems}")
                known = id
            check_label(path, line, row)
            if not self._database.execute(find, (id, row["program_sha256"])).fetchone():
                raise InputError(path, line, "program_sha256", f"no such program of {row['id']!r} in {programs}")
            self._database.execute(
                "INSERT INTO labels VALUES (?, ?, ?, ?)", (place, id, row["program_sha256"], json.dumps(row))
            )

    def __iter__(self) -> Iterator[LabelledProblem]:
        for id, text in self._database.execute("SELECT id, row FROM problems ORDER BY place"):
            rows = self._database.execute(
                "SELECT row, source, generator FROM labels JOIN programs USING (id, sha256) "
                "WHERE id = ? ORDER BY place",
                (id,),
            )
            programs = []
            for label_text, source, generator in rows:
                label = json.loads(label_text)
                program = source.decode("utf-8", "surrogatepass")
                programs.append(LabelledProgram(label, program, generator_of(label) or generator))
            if programs:
                yield LabelledProblem(id.decode("utf-8", "surrogatepass"), json.loads(text), programs)

    def __len__(self) -> int:
        """How many problems the problems file has."""
        count: int = self._database.execute("SELECT count(*) FROM problems").fetchone()[0]
        return count

    def close(self) -> None:
        if hasattr(self, "_database"):
            self._database.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def check_label(path: Path, line: int, row: Mapping[str, Any]) -> None:
    """Raises InputError where a row is no label."""
    for field in ("program_sha256", "verdict"):
        if not isinstance(row.get(field), str):
            raise InputError(path, line, field, "must be a string: not a label")
    rate = row.get("pass_rate")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1):
        raise InputError(path, line, "pass_rate", f"must be from 0 to 1 or null, is {rate!r}")
    tests = row.get("tests")
    if not isinstance(tests, list) or not all(isinstance(test, Mapping) for test in tests):
        raise InputError(path, line, "tests", "must be a list of objects: not a label")


def _id(path: Path, line: int, row: Mapping[str, Any]) -> str:
    try:
        return problem_id(row)
    except FieldError as error:
        raise InputError(path, line, error.field, error.problem) from None


def _key(id: str) -> bytes:
    return id.encode("utf-8", "surrogatepass")
