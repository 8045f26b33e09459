"""What has been graded, by content: each program with its tests once, kept from the moment its label is there.

An SQLite database, beside the labels while they are being made. The key of a label is a SHA-256 over the suite as it
is sent (the problem's id, tests, limits, image by name, weakest seal), over the program, and over whether tests were
skipped after the first failure; which image the name stood for is written down once and compared. So

- a program that comes again with the same tests gets the label that is there, with its own place in the input;
- after a kill -9 every label that an engine had given is still there, whatever order they came in, and nothing of it
  is graded again: labels are committed as they come (in WAL mode: lost at most when the machine itself dies);
- a label that is written and whose key is not in the ledger was made with other tests or limits.

A label with an ENGINE_ERROR serves this run, so that every row of it says the same, but not the next one.
"""

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from gradebox_command.errors import CommandError, InputError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (key BLOB PRIMARY KEY, run INTEGER, final INTEGER, label BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS images (name TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_VERSION = 1


def label_key(suite_sha256: bytes, program: str, *, stop_early: bool) -> bytes:
    """What a label depends on, as 32 bytes."""
    key = sha256(suite_sha256)
    key.update(b"\x01" if stop_early else b"\x00")
    key.update(program.encode("utf-8", "surrogatepass"))
    return key.digest()


class Ledger:
    """An open ledger; its methods can be called from several threads. Use it as a context manager.

    Args:
        path: the database; None keeps it in a temporary file, for this run alone.
        resume: go on with what is there, else start anew.

    Raises:
        CommandError: it cannot be opened or written.
        InputError: the file is no ledger.
    """

    def __init__(self, path: Path | None, *, resume: bool) -> None:
        self.path = path
        self._lock = threading.Lock()
        if path is not None and not resume:
            self._unlink()
        try:
            self._database = sqlite3.connect(path or "", isolation_level=None, check_same_thread=False)
            if self._one("PRAGMA user_version") not in (0, _VERSION):
                raise InputError(path, None, "", "a ledger of another version of gradebox: start anew")
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
            self._run = (self._one("SELECT max(run) FROM labels") or 0) + 1
            self._database.execute("UPDATE labels SET label = NULL WHERE NOT final")
        except sqlite3.Error as error:
            raise CommandError(f"{path}: {error}") from None

    def _one(self, statement: str, values: tuple[Any, ...] = ()) -> Any:
        row = self._database.execute(statement, values).fetchone()
        return row[0] if row else None

    def claim(self, key: bytes) -> bool:
        """Whether the caller is to get this label made: it is not there, and nobody has claimed it in this run."""
        with self._lock, self._errors():
            claimed = self._database.execute(
                "INSERT INTO labels VALUES (?, ?, 0, NULL) ON CONFLICT DO UPDATE SET run = excluded.run "
                "WHERE label IS NULL AND run <> excluded.run",
                (key, self._run),
            )
            return claimed.rowcount == 1

    def put(self, labels: Iterable[tuple[bytes, Mapping[str, Any]]]) -> None:
        """Keeps labels, all or none of them."""
        rows = [
            (key, self._run, is_final(label), zlib.compress(json.dumps(label, separators=(",", ":")).encode(), 1))
            for key, label in labels
        ]
        with self._lock, self._errors():
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?)", rows)
            self._database.execute("COMMIT")

    def get(self, key: bytes) -> dict[str, Any] | None:
        """The label of a key, if it is there."""
        with self._lock, self._errors():
            found = self._one("SELECT label FROM labels WHERE key = ?", (key,))
        if found is None:
            return None
        label: dict[str, Any] = json.loads(zlib.decompress(found))
        return label

    def knows(self, key: bytes) -> bool:
        """Whether this has ever been graded, or was about to be."""
        with self._lock, self._errors():
            return self._one("SELECT 1 FROM labels WHERE key = ?", (key,)) is not None

    def has_labels(self) -> bool:
        """Whether anything has been graded in an earlier run."""
        return self._run > 1

    def check_images(self, images: Mapping[str, str]) -> None:
        """Writes down which digest each image's name stands for. Raises InputError where it was another one."""
        with self._lock, self._errors():
            for name, digest in images.items():
                before = self._one("SELECT digest FROM images WHERE name = ?", (name,))
                if before not in (None, digest):
                    raise InputError(
                        self.path,
                        None,
                        "",
                        f"begun with image {name}@{before}, the engine has {digest}, which may give other verdicts: "
                        "use the same image, or start anew",
                    )
                self._database.execute("INSERT OR REPLACE INTO images VALUES (?, ?)", (name, digest))

    def _errors(self) -> "_Errors":
        return _Errors(self.path)

    def close(self) -> None:
        self._database.close()

    def remove(self) -> None:
        """Closes it and deletes its files: the labels are complete."""
        self.close()
        self._unlink()

    def _unlink(self) -> None:
        if self.path is not None:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Errors:
    """Turns the database's errors (a full disk) into the one line that a command ends with."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise CommandError(f"{self._path or 'the ledger'}: {error}") from None


def is_final(label: Mapping[str, Any]) -> bool:
    """Whether a label says of all its tests what the program did: none is the engine's fault."""
    return label["verdict"] != "ENGINE_ERROR" and all(test["verdict"] != "ENGINE_ERROR" for test in label["tests"])
