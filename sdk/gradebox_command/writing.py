"""Files of rows that appear whole or not at all: written under a hidden name, flushed to disk, then renamed.

The suffix says which kind: `.jsonl`, `.jsonl.gz` (`.gz`) or `.parquet` (`.pq`). The same rows give the same bytes.
"""

import gzip
import io
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gradebox_command.errors import CommandError
from gradebox_command.rows import read_rows

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_SUFFIXES = (".parquet", ".pq")
_ROWS_PER_GROUP = 1024


class RowsFile:
    """A file being written. Use it as a context manager: it appears when that ends without an error.

    Args:
        path: the file; what stood there before is replaced at once.
        schema: the columns of a Parquet file, which needs them; see write_rows for others.

    Raises:
        CommandError: it cannot be written.
    """

    def __init__(self, path: Path, schema: "pa.Schema | None" = None) -> None:
        self.path = path
        self.rows = 0
        self._hidden = path.with_name(f".{path.name}.tmp")
        self._schema = schema
        self._parquet = path.suffix in PARQUET_SUFFIXES
        self._table: Any = None
        self._pending: list[Mapping[str, Any]] = []  # of the next row group
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: Any = io.BufferedWriter(io.FileIO(self._hidden, "wb"), 1 << 20)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
        self._text: Any = self._file
        if path.suffix == ".gz":  # without name and time: the same rows, the same bytes
            self._text = gzip.GzipFile("", "wb", 6, self._file, mtime=0)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows. Raises CommandError."""
        try:
            for row in rows:
                if self._parquet:
                    self._pending.append(row)
                    if len(self._pending) == _ROWS_PER_GROUP:
                        self._write_group()
                else:
                    self._text.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
                self.rows += 1
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}") from None

    def _write_group(self) -> None:
        import pyarrow as pa  # heavy: only whoever writes Parquet pays for it
        import pyarrow.parquet as pq

        try:
            rows = pa.Table.from_pylist(self._pending, self._schema)
            if self._table is None:
                self._table = pq.ParquetWriter(self._file, rows.schema)
            self._table.write_table(rows)
        except (pa.ArrowException, UnicodeError) as error:
            raise CommandError(f"{self.path}: Parquet cannot hold this: {error}; write .jsonl") from None
        self._pending = []

    def commit(self) -> None:
        """Makes the file appear. Raises CommandError."""
        try:
            if self._parquet:
                if self._pending or self._table is None:
                    self._write_group()
                self._table.close()
            if self._text is not self._file:
                self._text.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._hidden, self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}") from None

    def discard(self) -> None:
        """Drops what is not committed."""
        self._file.close()
        self._hidden.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.discard()


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes `rows`, of which few are in memory at a time, in place of what was there; returns how many.

    Parquet's columns are those of all rows together: it takes two passes, the second over a copy.

    Raises:
        CommandError: it cannot be written, or Parquet has no one type for a column.
    """
    if path.suffix not in PARQUET_SUFFIXES:
        with RowsFile(path) as file:
            file.write(rows)
        return file.rows
    copy = path.with_name(f".{path.name}.jsonl")
    try:
        write_rows(copy, rows)
        with RowsFile(path, _columns(path, copy)) as file:
            file.write(row for _, row in read_rows(copy))
        return file.rows
    finally:
        copy.unlink(missing_ok=True)


def _columns(path: Path, copy: Path) -> "pa.Schema":
    import pyarrow as pa

    groups = itertools.batched((row for _, row in read_rows(copy)), _ROWS_PER_GROUP)
    try:
        return pa.unify_schemas(
            [pa.schema([]), *(pa.Table.from_pylist(group).schema for group in groups)], promote_options="permissive"
        )
    except pa.ArrowException as error:
        raise CommandError(f"{path}: Parquet has no one type for a column ({error}); write .jsonl.gz") from None


def write_text(path: Path, text: str) -> None:
    """A text file, the same way: whole or not at all. Raises CommandError."""
    hidden = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with hidden.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(hidden, path)
        sync_folder(path.parent)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    finally:
        hidden.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
