"""The cache's file: what survives, what is set aside, and that several engines share it."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

import gradebox
from gradebox_engine import cache_file
from gradebox_engine.cache import Cache
from gradebox_engine.cache_file import CacheFile, CacheUnusable

from .conftest import StartFront

MAX_BYTES = 1 << 20


def key(number: int) -> bytes:
    return number.to_bytes(32, "little")


async def test_it_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    cache = Cache(10_000, CacheFile(path, MAX_BYTES))
    cache.put(key(1), b"old")
    cache.put(key(1), b"one")
    assert await cache.find([key(1), key(2)]) == [b"one", None]
    await cache.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    cache = Cache(10_000, CacheFile(path, MAX_BYTES))
    assert await cache.find([key(2), key(1)]) == [None, b"one"]
    assert (cache.info().hits, cache.info().entries) == (1, 1)
    assert cache.info().disk_bytes > 0
    cache.put(key(1), b"newer")
    await cache.close()
    file = CacheFile(path, MAX_BYTES)
    assert await file.find([key(1)]) == {key(1): b"newer"}
    await file.close()


async def test_what_left_the_memory_is_found_before_and_after_it_is_written(tmp_path: Path) -> None:
    cache = Cache(400, CacheFile(tmp_path / "cache", MAX_BYTES))
    cache.put(key(1), b"one")
    cache.put(key(2), b"two")
    assert cache.info().entries == 1
    assert await cache.find([key(1), key(2)]) == [b"one", b"two"]
    await asyncio.sleep(cache_file.WRITE_AFTER_S + 0.5)
    assert await cache.find([key(1), key(2)]) == [b"one", b"two"]
    await cache.close()


async def test_it_is_bounded_and_the_used_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = 1000.0
    monkeypatch.setattr("gradebox_engine.cache_file.time.time", lambda: clock_s)
    monkeypatch.setattr(cache_file, "WRITE_AFTER_S", 0.01)
    monkeypatch.setattr(cache_file, "TRIM_ROWS", 20)
    file = CacheFile(tmp_path / "cache", MAX_BYTES)
    file.put(key(0), b"\0" * 10_000)
    for number in range(1, 300):
        file.put(key(number), b"\0" * 10_000)
        if number % 10 == 0:
            await asyncio.sleep(0.05)
            clock_s += 1
            assert key(0) in await file.find([key(0)])
    await file.close()
    assert file.bytes <= MAX_BYTES
    assert (tmp_path / "cache").stat().st_size < 2 * MAX_BYTES
    file = CacheFile(tmp_path / "cache", MAX_BYTES)
    found = await file.find([key(number) for number in range(300)])
    assert 50 < len(found) < 105
    assert key(0) in found and key(299) in found and key(1) not in found
    await file.close()


async def test_a_damaged_row_is_a_miss(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    file = CacheFile(path, MAX_BYTES)
    file.put(key(1), b"one")
    file.put(key(2), b"two")
    await file.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE results SET result = ? WHERE key = ?", (b"onf", key(1)))
    connection.close()
    file = CacheFile(path, MAX_BYTES)
    assert await file.find([key(1), key(2)]) == {key(2): b"two"}
    await file.close()


async def fill(path: Path, rows: int = 500) -> None:
    file = CacheFile(path, 16 << 20)
    for number in range(rows):
        file.put(key(number), os.urandom(1000))
    await file.close()


async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    await fill(path)
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    file = CacheFile(path, MAX_BYTES)
    assert await file.find([key(1)]) == {}
    file.put(key(1), b"one")
    assert await file.find([key(1)]) == {key(1): b"one"}
    await file.close()
    assert (tmp_path / "cache.damaged").read_bytes() == data


@pytest.mark.parametrize("seed", range(8))
async def test_damage_anywhere_never_makes_a_result(tmp_path: Path, seed: int) -> None:
    """Whatever is overwritten: a miss, or the result that was kept, or a refusal to open."""
    path = tmp_path / "cache"
    file = CacheFile(path, 16 << 20)
    kept = {key(number): bytes([number % 256]) * (500 + number) for number in range(300)}
    for one, result in kept.items():
        file.put(one, result)
    await file.close()
    data = bytearray(path.read_bytes())
    for place in range(4096 + seed * 511, len(data) - 64, 9973):
        data[place : place + 64] = os.urandom(64)
    path.write_bytes(data)
    try:
        file = CacheFile(path, 16 << 20)
    except CacheUnusable:
        return
    found = await file.find(list(kept))
    assert all(kept[one] == result for one, result in found.items())
    file.put(key(1), b"one")
    await file.close()


async def test_one_that_breaks_under_way_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    await fill(path)
    cache = Cache(100_000, CacheFile(path, 16 << 20))
    with path.open("r+b") as raw:
        raw.write(b"not a database" * 100)
    for number in range(100):
        await cache.find([key(number)])
        cache.put(key(1000 + number), b"x")
    assert await cache.find([key(1050)]) == [b"x"]
    await cache.close()


@pytest.mark.parametrize("content", [b"some text that is no database\n" * 100, b"x"])
def test_a_file_of_something_else_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cache"
    path.write_bytes(content)
    with pytest.raises(CacheUnusable, match="is not a cache of verdicts") as caught:
        CacheFile(path, MAX_BYTES)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content


def test_a_database_of_something_else_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE precious (value)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(CacheUnusable, match="another program's"):
        CacheFile(path, MAX_BYTES)
    assert path.read_bytes() == before


def test_no_such_folder_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(CacheUnusable, match="No such file"):
        CacheFile(tmp_path / "none" / "cache", MAX_BYTES)
    with pytest.raises(CacheUnusable, match="directory"):
        CacheFile(tmp_path, MAX_BYTES)


async def test_tables_of_another_version_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    await fill(path, 3)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    file = CacheFile(path, MAX_BYTES)
    assert await file.find([key(1)]) == {}
    await file.close()
    assert (tmp_path / "cache.damaged").exists()


async def test_engines_share_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened at the same time while it does not exist, then written by all of them at once."""
    monkeypatch.setattr(cache_file, "WRITE_AFTER_S", 0.01)
    path = tmp_path / "cache"
    files = await asyncio.gather(*(asyncio.to_thread(CacheFile, path, 16 << 20) for _ in range(6)))
    for turn in range(20):
        for place, file in enumerate(files):
            for number in range(10):
                file.put(key(place * 1000 + turn * 10 + number), b"%d" % place)
        await asyncio.sleep(0.01)
    await asyncio.gather(*(file.close() for file in files))
    file = CacheFile(path, 16 << 20)
    found = await file.find([key(place * 1000 + number) for place in range(6) for number in range(200)])
    assert len(found) == 1200
    await file.close()


async def test_an_engine_finds_what_another_engine_ran(start_front: StartFront, tmp_path: Path) -> None:
    settings = {"cache_bytes": 1 << 20, "cache_path": tmp_path / "cache"}
    first = await start_front(listen=f"unix:{tmp_path}/first.sock", **settings)
    second = await start_front(listen=f"unix:{tmp_path}/second.sock", **settings)
    async with gradebox.AsyncClient(first.target) as client:
        await client.grade([f"p{n}" for n in range(100)], tests=["t"])
    await asyncio.sleep(cache_file.WRITE_AFTER_S + 0.5)
    async with gradebox.AsyncClient(second.target) as client:
        results = await client.grade([f"p{n}" for n in range(100)], tests=["t"])
        info = await client.info()
    assert all(result.cached for result in results)
    assert info.cache is not None and info.cache.hits == 100 and info.cache.disk_bytes > 0
