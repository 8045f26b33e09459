"""A folder of labels: shards that appear whole, one after the other, in the order of the input.

    labels-00000.parquet, labels-00001.parquet, …   at most so many rows each
    _manifest.json                                   when all is done: inputs, engines, counts (see manifest)
    _ledger.sqlite                                   what has been graded (see ledger)

A shard is written under a hidden name, flushed to disk and renamed: one that is there is complete. What a killed
writer had in the next one is in the ledger, and written again.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from gradebox_command.errors import BadArgument, CommandError, InputError
from gradebox_command.labels import Written, label_schema
from gradebox_command.rows import read_rows
from gradebox_command.writing import RowsFile

SHARD_ROWS = 10_000
FORMATS = ("parquet", "jsonl", "jsonl.gz")
_LEDGER = "_ledger.sqlite"


class LabelsFolder:
    """An open folder of labels, locked against a second writer: the same methods as LabelsFile.

    Args:
        resume: go on with the shards that are there. Without it there may be none.
        format: one of FORMATS, which names the shards.
        shard_rows: rows of one shard.

    Raises:
        CommandError: it cannot be opened or written, or another process writes it.
        BadArgument: there are labels already.
    """

    def __init__(self, path: Path, *, resume: bool, format: str = FORMATS[0], shard_rows: int = SHARD_ROWS) -> None:
        self.path = self.work = path
        self._suffix = f".{format}"
        self._schema = label_schema() if format == "parquet" else None
        self._shard_rows = shard_rows
        self._shard: RowsFile | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._shards = sorted(file for file in path.iterdir() if file.name.startswith("labels-"))
            self._check(resume)
        except BlockingIOError:
            self.close()
            raise CommandError(f"{path} is being written by another process") from None
        except BaseException:
            self.close()
            raise

    @property
    def ledger(self) -> Path:
        """Where the ledger stands."""
        return self.path / _LEDGER

    def _check(self, resume: bool) -> None:
        if self._shards and not resume:
            raise BadArgument(f"{self.path} has labels: --resume goes on with them; else name another folder")
        expected = [self._name(number) for number in range(len(self._shards))]
        for found, name in zip(self._shards, expected, strict=True):
            if found.name != name:
                raise InputError(found, None, "", f"should be {name}: a shard is missing, or in another format")

    def _name(self, number: int) -> str:
        return f"labels-{number:05}{self._suffix}"

    def written(self) -> Iterator[Written]:
        """Yields what is already there. Raises InputError where a row is not a label."""
        for shard in self._shards:
            for line, row in read_rows(shard):
                yield Written.of(shard, line, row)

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows; a shard appears when it is full."""
        for row in rows:
            if self._shard is None:
                self._shard = RowsFile(self.path / self._name(len(self._shards)), self._schema)
            self._shard.write([row])
            if self._shard.rows == self._shard_rows:
                self._finish_shard(self._shard)

    def _finish_shard(self, shard: RowsFile) -> None:
        shard.commit()
        self._shards.append(shard.path)
        self._shard = None

    def finish(self) -> None:
        """Makes the last shard appear."""
        if self._shard is not None:
            self._finish_shard(self._shard)

    def close(self) -> None:
        if self._shard is not None:
            self._shard.discard()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
