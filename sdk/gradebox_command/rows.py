"""Rows of a file: JSON Lines, gzipped JSON Lines or Parquet, one row in memory at a time; or of a folder of such files.

The kind is told by the content, never by the name. Whatever is wrong with a row becomes an
InputError that names the file and the line (in a Parquet file, the row).
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradebox_command.errors import InputError

MAX_LINE_BYTES = 256 << 20
"""Longer lines are refused before they are read to the end: memory stays bounded."""

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_BOM = b"\xef\xbb\xbf"


SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet", ".pq")


def row_files(path: Path) -> list[Path]:
    """The file itself; of a folder its data files by name, without those whose names begin with `_` or a dot.

    Raises:
        InputError: the folder cannot be read, or there is no data file in it.
    """
    if not path.is_dir():
        return [path]
    try:
        found = [file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.name[0] not in "._"]
    except OSError as error:
        raise InputError(path, None, "", error.strerror or str(error)) from None
    if not found:
        raise InputError(path, None, "", f"no {', '.join(SUFFIXES[:3])} file in this folder")
    return sorted(found)


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (line number from 1, row) for every row of the file; blank lines are passed over.

    Of a folder: the rows of its files in the order of their names, each with the number in its own file.

    Raises:
        InputError: the file cannot be read, or a line is not a JSON object.
    """
    for file in row_files(path):
        yield from _file_rows(file)


def _file_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as stream:
            magic = stream.peek(4)[:4]
            if magic == _PARQUET:
                yield from _parquet_rows(path)
            elif magic[:2] == _GZIP:
                with gzip.open(stream) as unpacked:
                    yield from _json_rows(path, io.BufferedReader(unpacked, 1 << 20))
            else:
                yield from _json_rows(path, stream)
    except OSError as error:
        raise InputError(path, None, "", error.strerror or str(error)) from None


def _json_rows(path: Path, stream: io.BufferedReader) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(MAX_LINE_BYTES + 1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(path, number, "", f"damaged gzip file: {error}") from None
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            raise InputError(path, number, "", f"line is longer than {MAX_LINE_BYTES:,} bytes")
        if number == 1:
            line = line.removeprefix(_BOM)
        if not line.isspace() and line:
            yield number, parse_row(path, number, line)


def parse_row(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """One line as a JSON object.

    Raises:
        InputError: not UTF-8, not JSON, nested too deeply, or not an object.
    """
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 at byte {error.start + 1}"
    except json.JSONDecodeError as error:
        problem = f"not JSON: {error.msg} at column {error.colno}"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError as error:  # an integer with more digits than Python converts
        problem = f"not JSON: {error}"
    else:
        if isinstance(row, dict):
            return row
        problem = f"not a JSON object but {json_kind(row)}"
    raise InputError(path, number, "", problem)


def json_kind(value: object) -> str:
    """What JSON calls a value, with its article, for messages."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "not JSON")


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa  # heavy: only whoever reads Parquet pays for it
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {key: value for key, value in row.items() if value is not None}
    except pa.ArrowException as error:
        raise InputError(path, number + 1, "", f"damaged Parquet file: {error}") from None
