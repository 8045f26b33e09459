"""An append-only file of JSON rows that outlives its writer: what was bought or graded once is not done again.

A row counts as written once its line feed is there. A last line without one (the writer was killed in the middle of
it) is cut off when the file is opened, and one writer at a time has it.
"""

import fcntl
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from gradebox_command.errors import CommandError
from gradebox_command.rows import parse_row


class RowLog:
    """Rows by their place in the file. Use it as a context manager.

    Raises:
        CommandError: it cannot be opened or written, or another process writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
        try:
            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise CommandError(f"{path} is being written by another process") from None

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields (place, row) for what is there, and leaves the file ready for the next row.

        Raises:
            InputError: a line is not a JSON object.
        """
        end = number = 0
        self._file.seek(0)
        with open(os.dup(self._file.fileno()), "rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                number += 1
                yield end, parse_row(self.path, number, line)
                end += len(line)
        self._file.truncate(end)
        self._file.seek(end)

    def append(self, row: Mapping[str, Any]) -> int:
        """Writes a row behind all others; returns its place. It is kept whatever ends this process later."""
        place = self._file.seek(0, os.SEEK_END)
        view = memoryview(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}") from None
        return place

    def read(self, place: int) -> dict[str, Any]:
        """The row at a place that `rows` or `append` gave."""
        with open(os.dup(self._file.fileno()), "rb") as stream:
            stream.seek(place)
            return parse_row(self.path, 0, stream.readline())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
