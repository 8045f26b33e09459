"""The labels file: rows in the order of the input, each kept from the moment it is written.

JSON Lines are appended to the file itself. A `.gz` or Parquet file cannot be mended after a kill
-9, so these are written as JSON Lines to `<name>.partial`, which becomes the file asked for when
all is done. Either way, a row counts as written once its line feed is there: `--resume` cuts off
a last line that has none.
"""

import fcntl
import io
import itertools
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gradebox_command.errors import BadArgument, CommandError, InputError
from gradebox_command.rows import parse_row, read_rows
from gradebox_command.writing import PARQUET_SUFFIXES, RowsFile

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_PER_GROUP = 1024


@dataclass(frozen=True, slots=True)
class Written:
    """What tells an already written label from another: enough to check it against the input."""

    path: Path
    line: int
    id: str
    program_index: int
    program_sha256: str
    row: Mapping[str, Any]

    @classmethod
    def of(cls, path: Path, line: int, row: Mapping[str, Any]) -> Self:
        """From a row of a labels file. Raises InputError where it is none."""
        try:
            return cls(path, line, row["id"], row["program_index"], row["program_sha256"], row)
        except KeyError as missing:
            raise InputError(path, line, str(missing.args[0]), "missing: not a label") from None


class LabelsFile:
    """An open labels file, locked against a second writer. Use it as a context manager.

    Raises:
        CommandError: it cannot be opened or written, or another process writes it.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self._packed = path.suffix == ".gz" or path.suffix in PARQUET_SUFFIXES
        self.work = path.with_name(path.name + ".partial") if self._packed else path
        unpack = resume and self._packed and path.exists() and not self.work.exists()
        try:
            descriptor = os.open(self.work, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise CommandError(f"{self.work}: {error.strerror}") from None
        self._file = io.FileIO(descriptor, "r+")
        try:
            self._open(resume)
            if unpack:
                for group in itertools.batched(read_rows(path), _ROWS_PER_GROUP):
                    self.append(row for _, row in group)
        except BaseException:
            self.close()
            raise

    def _open(self, resume: bool) -> None:
        self._regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        if not self._regular:
            if resume:
                raise BadArgument(f"{self.path} is not a regular file: nothing to --resume")
            return
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"{self.work} is being written by another process") from None
        if not resume:
            self._file.truncate(0)

    @property
    def ledger(self) -> Path | None:
        """Where the ledger stands; None where nothing can be kept."""
        return self.path.with_name(self.path.name + ".ledger") if self._regular else None

    def written(self) -> Iterator[Written]:
        """Yields what is already there and leaves the file ready for the next row.

        Raises:
            InputError: a line is not a label.
        """
        if not self._regular:
            return
        end = number = 0
        self._file.seek(0)
        with open(os.dup(self._file.fileno()), "rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):  # killed while it was written
                    break
                number += 1
                yield Written.of(self.work, number, parse_row(self.work, number, line))
                end += len(line)
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes whole rows; each is kept whatever ends this process later."""
        data = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise CommandError(f"{self.work}: {error.strerror}") from None

    def finish(self) -> None:
        """Turns what was written into the file asked for, at once or not at all."""
        if not self._packed:
            return
        schema = label_schema() if self.path.suffix in PARQUET_SUFFIXES else None
        with RowsFile(self.path, schema) as packed:
            packed.write(row for _, row in read_rows(self.work))
        self.work.unlink()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def label_schema() -> "pa.Schema":
    """The columns of labels in Parquet."""
    import pyarrow as pa  # heavy: only whoever writes Parquet pays for it

    test = pa.struct(
        [
            ("verdict", pa.string()),
            ("seal", pa.string()),
            ("cpu_time_s", pa.float64()),
            ("wall_time_s", pa.float64()),
            ("memory_bytes", pa.int64()),
            ("message", pa.string()),
        ]
    )
    engine = pa.struct(
        [
            ("version", pa.string()),
            ("image", pa.string()),
            ("protections", pa.list_(pa.string())),
        ]
    )
    return pa.schema(
        [
            ("id", pa.string()),
            ("program_index", pa.int64()),
            ("program_sha256", pa.string()),
            ("verdict", pa.string()),
            ("pass_rate", pa.float64()),
            ("tests", pa.list_(test)),
            ("evidence", pa.list_(pa.string())),
            ("engine", engine),
            ("generator", pa.string()),
        ]
    )
