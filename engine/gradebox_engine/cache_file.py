"""The verdict cache's file: an SQLite database that engines may share and that outlives them.

Theory of operation. The event loop never touches the file. One thread reads, with a connection of its own, and one
writes: what was put is gathered and written in one transaction now and then, so a killed engine loses half a second's
results and nothing else. The file is in WAL mode: readers wait for nobody, writers of several engines for each other.
Every row has a checksum over key and result, so that a damaged one is a miss and never a verdict.

A file that is something else is not touched: CacheUnusable. One of ours that SQLite calls malformed, or that has
another version's tables, is renamed to `….damaged`, and a new one is begun. When it breaks later, or the disk is full,
the engine goes on without what it cannot read or write, and says so in the log.
"""

import asyncio
import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

WRITE_AFTER_S = 0.5
UNWRITTEN_MAX_BYTES = 32 << 20  # what comes on top of it, while the disk is slow, is not written
BUSY_TIMEOUT_S = 10.0
TOUCHED_MAX = 10_000
TRIM_ROWS = 500
APPLICATION_ID = 0x67726278  # "grbx"
SCHEMA_VERSION = 1
_MAGIC = b"SQLite format 3\0"
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS results (
    key BLOB PRIMARY KEY, result BLOB NOT NULL, checksum BLOB NOT NULL, used_s INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS results_used ON results (used_s);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
_log = structlog.get_logger("cache")


class CacheUnusable(RuntimeError):
    """The cache's file cannot be used; the text, of one line, says which and why."""


class _Damaged(Exception):
    """One of our files, but not to be read."""


class CacheFile:
    """Results by key in the file at `path`, at most about `max_bytes`; the least recently used leave first.

    Raises CacheUnusable.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self.bytes = 0  # in use in the file, when it was last written
        _prepare(path)
        self._reader = _open(path)
        self._writer = _open(path)
        self._read_thread = ThreadPoolExecutor(1, "cache-read")
        self._write_thread = ThreadPoolExecutor(1, "cache-write")
        self._is_broken = False
        self._unwritten: dict[bytes, bytes] = {}
        self._unwritten_bytes = 0
        self._being_written: dict[bytes, bytes] = {}
        self._touched: set[bytes] = set()
        self._writing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.bytes = self._bytes_in_use()

    async def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """The results of those keys that have one."""
        waiting = {**self._being_written, **self._unwritten} if self._unwritten or self._being_written else {}
        found = {key: waiting[key] for key in keys if key in waiting}
        absent = [key for key in keys if key not in found]
        if absent and not self._is_broken:
            loop = asyncio.get_running_loop()
            stored = await loop.run_in_executor(self._read_thread, self._read, absent)
            if len(self._touched) < TOUCHED_MAX:
                self._touched.update(stored)
            found.update(stored)
        return found

    def put(self, key: bytes, result: bytes) -> None:
        """Keeps a result, soon."""
        if self._is_broken or self._closing.is_set() or self._unwritten_bytes > UNWRITTEN_MAX_BYTES:
            return
        self._unwritten_bytes += len(result) - len(self._unwritten.get(key, b""))
        self._unwritten[key] = result
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_soon())

    async def close(self) -> None:
        """Writes what is not written and closes the file."""
        self._closing.set()
        if self._writing is not None:
            await self._writing
        for thread, connection in ((self._read_thread, self._reader), (self._write_thread, self._writer)):
            await asyncio.to_thread(thread.shutdown)
            connection.close()

    async def _write_soon(self) -> None:
        """Writes until there is nothing left to write."""
        loop = asyncio.get_running_loop()
        while self._unwritten:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), WRITE_AFTER_S)
            self._being_written, self._unwritten, self._unwritten_bytes = self._unwritten, {}, 0
            touched, self._touched = self._touched, set()
            await loop.run_in_executor(self._write_thread, self._write, self._being_written, touched)
            self._being_written = {}
        self._writing = None

    # --- in the threads -------------------------------------------------------------------------

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found = {}
        try:
            for key in keys:
                row = self._reader.execute("SELECT result, checksum FROM results WHERE key = ?", (key,)).fetchone()
                if row is not None and row[1] == _checksum(key, row[0]):
                    found[key] = row[0]
        except sqlite3.Error as error:
            self._on_error("read", error)
        return found

    def _write(self, results: dict[bytes, bytes], touched: set[bytes]) -> None:
        now_s = int(time.time())
        rows = [(key, result, _checksum(key, result), now_s) for key, result in results.items()]
        try:
            with self._writer:
                self._writer.executemany("INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?)", rows)
                self._writer.executemany(
                    "UPDATE results SET used_s = ? WHERE key = ?", [(now_s, key) for key in touched]
                )
            self._trim()
        except sqlite3.Error as error:
            self._on_error("written", error)

    def _trim(self) -> None:
        oldest = "SELECT rowid FROM results ORDER BY used_s, rowid LIMIT ?"
        while (size := self._bytes_in_use()) > self._max_bytes:
            with self._writer:
                gone = self._writer.execute(f"DELETE FROM results WHERE rowid IN ({oldest})", (TRIM_ROWS,)).rowcount
            if not gone:
                break
        self.bytes = size

    def _bytes_in_use(self) -> int:
        page, pages, free = (
            self._writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        return int(page * (pages - free))

    def _on_error(self, what: str, error: sqlite3.Error) -> None:
        # An OperationalError (busy, full) passes; any other means that the file is not to be trusted any more.
        self._is_broken = self._is_broken or not isinstance(error, sqlite3.OperationalError)
        _log.warning("the cache cannot be " + what, path=str(self._path), reason=str(error), given_up=self._is_broken)


def prepare(path: Path) -> None:
    """Sees that a CacheFile can be made of the path. Raises CacheUnusable."""
    _prepare(path)
    _open(path).close()


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except _Damaged as damage:
        aside = _set_aside(path)
        _log.warning("the cache is damaged; a new one is begun", path=str(path), reason=str(damage), kept=str(aside))
        _prepare(path)
        try:
            return _connect(path)
        except _Damaged as again:
            raise CacheUnusable(f"cache_path: {path}: {again}") from None


def _prepare(path: Path) -> None:
    """Sees that there is a file, readable by its owner alone where it is new. Raises CacheUnusable.

    Before SQLite has it open: closing it here would end SQLite's locks on it.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise CacheUnusable(f"cache_path: {path}: {error.strerror}") from None
    if start and start != _MAGIC:
        raise CacheUnusable(f"cache_path: {path}: is not a cache of verdicts")


def _connect(path: Path) -> sqlite3.Connection:
    """A connection to a file of ours, or to an empty one, which becomes ours. Raises _Damaged and CacheUnusable."""
    connection = sqlite3.connect(path, BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        _check(connection, path)
        return connection
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.DatabaseError):
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise CacheUnusable(f"cache_path: {path}: is not a cache of verdicts") from None
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR):  # the latter: no table
                raise _Damaged(str(error)) from None
            raise CacheUnusable(f"cache_path: {path}: {error}") from None
        raise


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Sees that the file is ours; makes the tables where it is new. Raises _Damaged, CacheUnusable, sqlite3.Error."""
    connection.execute("BEGIN")  # another engine may be making the tables now: before or after, nothing between
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    connection.execute("COMMIT")
    if owner != APPLICATION_ID:
        if owner or tables:
            raise CacheUnusable(f"cache_path: {path}: is another program's database")
        _to_wal(connection)
        connection.executescript(_SCHEMA)
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema != SCHEMA_VERSION:
        raise _Damaged(f"its tables are of version {schema}, not {SCHEMA_VERSION}")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("SELECT key, result, checksum, used_s FROM results ORDER BY used_s LIMIT 1").fetchone()


def _to_wal(connection: sqlite3.Connection) -> None:
    """SQLite itself does not wait here for another engine that does the same."""
    end_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end_s:
                raise
            time.sleep(0.02)


def _set_aside(path: Path) -> Path:
    aside = path.with_name(path.name + ".damaged")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):  # a new database would take them for its own
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


def _checksum(key: bytes, result: bytes) -> bytes:
    return hashlib.blake2b(result, key=key, digest_size=16).digest()
