"""Rows into a file that appears whole or not at all: JSON Lines, gzipped JSON Lines or Parquet, by its suffix.

Equal rows give equal bytes.
"""

import gzip
import itertools
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gradebox_command.errors import CommandError
from gradebox_command.rows import read_rows

PARQUET_SUFFIXES = (".parquet", ".pq")
_ROWS_PER_GROUP = 1024


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes `rows`, of which one is in memory at a time, in place of what was there; returns how many.

    Raises:
        CommandError: it cannot be written, or Parquet has no one type for a column.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("wb") as stream:
            count = _write_json(path, stream, rows)
        if path.suffix in PARQUET_SUFFIXES:
            _to_parquet(path, fresh)
        os.replace(fresh, path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    finally:
        fresh.unlink(missing_ok=True)
    return count


def _write_json(path: Path, stream: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> int:
    packed = path.suffix == ".gz"
    count = 0
    # No name and no time in the gzip header: the same rows are the same bytes.
    target = gzip.GzipFile("", "wb", 6, stream, mtime=0) if packed else stream
    for row in rows:
        target.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        count += 1
    if packed:
        target.close()
    return count


def _to_parquet(path: Path, source: Path) -> None:
    """Turns a file of JSON Lines into Parquet. The first pass over it finds the columns' types."""
    import pyarrow as pa  # heavy: only whoever writes Parquet pays for it
    import pyarrow.parquet as pq

    def groups() -> Iterable[list[dict[str, Any]]]:
        for group in itertools.batched(read_rows(source), _ROWS_PER_GROUP):
            yield [row for _, row in group]

    target = path.with_name(path.name + ".parquet.new")
    try:
        schema = pa.unify_schemas(
            [pa.schema([]), *(pa.Table.from_pylist(group).schema for group in groups())],
            promote_options="permissive",
        )
        with pq.ParquetWriter(target, schema) as writer:
            for group in groups():
                writer.write_table(pa.Table.from_pylist(group, schema))
        os.replace(target, source)
    except pa.ArrowException as error:
        raise CommandError(f"{path}: Parquet has no one type for a column ({error}); write .jsonl.gz") from None
    finally:
        target.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text in place of what was there, at once or not at all. Raises CommandError."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.write_text(text)
        os.replace(fresh, path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or error}") from None
    finally:
        fresh.unlink(missing_ok=True)
