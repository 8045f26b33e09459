"""The verdict cache: results of programs that were graded before, by what they depend on.

A key is the SHA-256 of everything that a verdict may depend on: the engine (its version and code, the image, the
protections that are active), the suite as workers get it (tests, limits in effect, weakest seal), whether the request
stops early, and the program. All parts have fixed lengths, or their lengths before them, so that no two inputs are
taken for one.

A value is a SubmissionResult as a worker sent it. No field of it is decoded to answer with it: in protobuf the last
value of a field wins, so the index of the new request is appended. Only complete results are kept, and never one in
which anything is ENGINE_ERROR.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import gradebox_engine
import gradebox_inside
from gradebox_engine.cache_file import CacheFile, prepare
from gradebox_engine.config import EngineConfig
from gradebox_proto.v1 import grading_pb2 as wire

MAX_RESULT_BYTES = 1 << 20  # larger ones are not kept: a look-up of several programs brings so many at most
ENTRY_OVERHEAD_BYTES = 256  # of the tables, roughly

type Key = Callable[[bytes], bytes]
"""From the SHA-256 of a program to the key of its result."""

_INDEX_TAG = bytes([wire.SubmissionResult.INDEX_FIELD_NUMBER << 3])
_CACHED = bytes([wire.SubmissionResult.CACHED_FIELD_NUMBER << 3, 1])


class Cache:
    """Results in memory, the least recently used leaving first, and in a file when there is one.

    A file is asked for what is not in memory. `max_bytes` bounds the memory.
    """

    def __init__(self, max_bytes: int, file: CacheFile | None = None) -> None:
        self._max_bytes = max_bytes
        self._file = file
        self._entries: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0
        self._hits = 0
        self._misses = 0

    async def find(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The results of keys, None where there is none. Does not wait unless there is a file to look into."""
        found = [self._get(key) for key in keys]
        if self._file is not None and None in found:
            absent = [key for key, result in zip(keys, found, strict=True) if result is None]
            stored = await self._file.find(absent)
            for place, key in enumerate(keys):
                if found[place] is None and (result := stored.get(key)) is not None:
                    found[place] = result
                    self._keep(key, result)
        misses = found.count(None)
        self._misses += misses
        self._hits += len(found) - misses
        return found

    def put(self, key: bytes, result: bytes) -> None:
        """Keeps a result, instead of an earlier one."""
        if len(result) > MAX_RESULT_BYTES:
            return
        self._keep(key, result)
        if self._file is not None:
            self._file.put(key, result)

    def info(self) -> wire.CacheInfo:
        """What it did and holds."""
        return wire.CacheInfo(
            hits=self._hits,
            misses=self._misses,
            entries=len(self._entries),
            bytes=self._bytes,
            disk_bytes=self._file.bytes if self._file is not None else 0,
        )

    async def close(self) -> None:
        """Writes what is not in the file yet."""
        if self._file is not None:
            await self._file.close()

    def _get(self, key: bytes) -> bytes | None:
        result = self._entries.get(key)
        if result is not None:
            self._entries.move_to_end(key)
        return result

    def _keep(self, key: bytes, result: bytes) -> None:
        if (old := self._entries.pop(key, None)) is not None:
            self._bytes -= _size(key, old)
        self._entries[key] = result
        self._bytes += _size(key, result)
        while self._bytes > self._max_bytes:
            self._bytes -= _size(*self._entries.popitem(last=False))


def open_cache(config: EngineConfig, fronts: int = 1) -> Cache | None:
    """The cache that a configuration asks for; each of several fronts has its part of the memory, and the same file.

    Raises CacheUnusable when the file is not to be used.
    """
    if not config.cache_bytes:
        return None
    file = CacheFile(config.cache_path, config.cache_disk_bytes) if config.cache_path is not None else None
    return Cache(max(1, config.cache_bytes // fronts), file)


def check_cache(config: EngineConfig) -> None:
    """Makes the file, or sets a damaged one aside, before several fronts open it at once. Raises CacheUnusable."""
    if config.cache_bytes and config.cache_path is not None:
        prepare(config.cache_path)


class Keys:
    """Makes keys for one engine; `parts` is what its verdicts depend on beside suite and program."""

    def __init__(self, *parts: bytes) -> None:
        self._engine = _digest(parts)

    def of(self, suite_key: bytes, *, stop_early: bool) -> Key:
        """Keys of programs for a suite, named by its SHA-256."""
        start = hashlib.sha256(self._engine + suite_key + bytes([stop_early]))

        def key(program_sha256: bytes) -> bytes:
            whole = start.copy()
            whole.update(program_sha256)
            return whole.digest()

        return key


def code_digest() -> bytes:
    """SHA-256 of the engine's own code: one that judges otherwise under the same version has other keys."""
    folders = [Path(package.__file__).parent for package in (gradebox_engine, gradebox_inside) if package.__file__]
    files = [(folder.parent, file) for folder in folders for file in sorted(folder.rglob("*.py"))]
    return _digest(part for top, file in files for part in (str(file.relative_to(top)).encode(), file.read_bytes()))


def as_cached(result: bytes, index: int) -> bytes:
    """A kept result as the answer for the program at `index`."""
    return result + _INDEX_TAG + _varint(index) + _CACHED


def is_final(result: wire.SubmissionResult, tests: int) -> bool:
    """Whether the same would be answered again: complete, and nothing in it is the engine's fault."""
    failed = wire.ENGINE_ERROR
    return (
        result.verdict not in (failed, wire.VERDICT_UNSPECIFIED)
        and len(result.tests) == tests
        and not any(test.verdict == failed for test in result.tests)
    )


def _digest(parts: Iterable[bytes]) -> bytes:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part)
    return whole.digest()


def _size(key: bytes, result: bytes) -> int:
    return len(key) + len(result) + ENTRY_OVERHEAD_BYTES


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
