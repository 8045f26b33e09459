"""The verdict cache: keys, bounds, what is never kept, and answers that mix hits with runs."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

import gradebox
from gradebox import GradeItem, Problem, Verdict
from gradebox_engine.cache import (
    ENTRY_OVERHEAD_BYTES,
    MAX_RESULT_BYTES,
    Cache,
    Keys,
    as_cached,
    code_digest,
    is_final,
)
from gradebox_engine.convert import suite_key
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import grading_pb2_grpc as stubs

from .conftest import Front, StartFront

ON = {"cache_bytes": 1 << 20}
SUITE = suite_key(b"suite")


def ran(front: Front) -> int:
    """How many programs the workers ran."""
    return len(front.logged("program"))


async def wait_until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


# --- keys and values ----------------------------------------------------------------------------


def test_every_part_of_a_key_counts() -> None:
    parts = [
        Keys(b"a", b"b").of(SUITE, stop_early=False)(b"p" * 32),
        Keys(b"a", b"c").of(SUITE, stop_early=False)(b"p" * 32),
        Keys(b"", b"ab").of(SUITE, stop_early=False)(b"p" * 32),
        Keys(b"ab").of(SUITE, stop_early=False)(b"p" * 32),
        Keys(b"a", b"b").of(suite_key(b"other"), stop_early=False)(b"p" * 32),
        Keys(b"a", b"b").of(SUITE, stop_early=True)(b"p" * 32),
        Keys(b"a", b"b").of(SUITE, stop_early=False)(b"q" * 32),
    ]
    assert len(set(parts)) == len(parts)
    assert Keys(b"a", b"b").of(SUITE, stop_early=False)(b"p" * 32) == parts[0]
    assert len(code_digest()) == 32 and code_digest() == code_digest()


@pytest.mark.parametrize("index", [0, 1, 127, 128, 300, 2**32 - 2])
def test_the_index_of_the_request_wins(index: int) -> None:
    kept = wire.SubmissionResult(
        index=77,
        program_sha256=b"s" * 32,
        verdict=wire.WRONG_ANSWER,
        pass_rate=0.5,
        tests=[wire.TestResult(verdict=wire.PASSED), wire.TestResult(verdict=wire.WRONG_ANSWER, message="no")],
        evidence=[wire.EARLY_EXIT],
    )
    answer = wire.SubmissionResult.FromString(as_cached(kept.SerializeToString(), index))
    assert (answer.index, answer.cached) == (index, True)
    answer.index, answer.cached = kept.index, False
    assert answer == kept


def test_what_is_final() -> None:
    def result(*verdicts: "wire.Verdict", whole: "wire.Verdict") -> wire.SubmissionResult:
        return wire.SubmissionResult(verdict=whole, tests=[wire.TestResult(verdict=v) for v in verdicts])

    assert is_final(result(wire.PASSED, wire.PASSED, whole=wire.PASSED), 2)
    assert is_final(result(wire.WRONG_ANSWER, wire.SKIPPED, whole=wire.WRONG_ANSWER), 2)
    assert not is_final(result(wire.PASSED, wire.ENGINE_ERROR, whole=wire.ENGINE_ERROR), 2)
    assert not is_final(result(wire.WRONG_ANSWER, wire.ENGINE_ERROR, whole=wire.WRONG_ANSWER), 2)
    assert not is_final(result(wire.PASSED, whole=wire.PASSED), 2)
    assert not is_final(result(wire.PASSED, wire.PASSED, whole=wire.VERDICT_UNSPECIFIED), 2)


async def test_the_least_recently_used_leaves_first() -> None:
    cache = Cache(3 * (100 + 1 + ENTRY_OVERHEAD_BYTES))
    for key in (b"a", b"b", b"c"):
        cache.put(key, key * 100)
    await cache.find([b"a"])
    cache.put(b"d", b"d" * 100)
    assert await cache.find([b"a", b"b", b"c", b"d"]) == [b"a" * 100, None, b"c" * 100, b"d" * 100]
    cache.put(b"a", b"new")
    assert await cache.find([b"a"]) == [b"new"]
    cache.put(b"e", b"e" * 2000)  # more than all of it
    assert cache.info() == wire.CacheInfo(hits=5, misses=1)
    cache.put(b"f", b"f" * 10)
    assert (cache.info().entries, cache.info().bytes) == (1, 11 + ENTRY_OVERHEAD_BYTES)


async def test_a_huge_result_is_not_kept() -> None:
    cache = Cache(1 << 30)
    cache.put(b"a", b"x" * (MAX_RESULT_BYTES + 1))
    assert await cache.find([b"a"]) == [None]


# --- through the service ------------------------------------------------------------------------


async def test_the_second_time_nothing_runs(start_front: StartFront) -> None:
    front = await start_front(**ON)
    async with gradebox.AsyncClient(front.target) as client:
        first = await client.grade(["a", "b"], tests=["t", "u"])
        second = await client.grade(["b", "a", "b"], tests=["t", "u"])
        info = await client.info()
    assert ran(front) == 2
    assert [r.cached for r in first + second] == [False, False, True, True, True]
    assert [r.index for r in second] == [0, 1, 2]
    assert second[1].program_sha256 == first[0].program_sha256
    assert second[1].tests == first[0].tests
    assert info.cache is not None
    assert (info.cache.hits, info.cache.misses, info.cache.entries) == (3, 2, 2)
    assert 0 < info.cache.bytes < 4000
    assert "cached" not in second[0].to_label()


async def test_what_is_asked_differently_runs(start_front: StartFront) -> None:
    front = await start_front(**ON)
    async with gradebox.AsyncClient(front.target) as client:
        ways: list[dict[str, Any]] = [
            {"tests": ["t"]},
            {"tests": ["t "]},
            {"tests": ["t"], "stop_early": True},
            {"tests": ["t"], "min_seal": "sealed"},
            {"tests": ["t"], "limits": {"cpu_time_s": 1}},
            {"tests": ["t"], "test_setup": "import re"},
        ]
        for way in ways:
            (result,) = await client.grade(["a"], **way)
            assert not result.cached
        (result,) = await client.grade(["a"], tests=["t"], limits={"cpu_time_s": 5})  # the default, said aloud
        assert result.cached
    assert ran(front) == len(ways)


@pytest.mark.parametrize("program", ["error", "half", "fault", "die"])
async def test_an_engine_error_is_never_kept(start_front: StartFront, program: str) -> None:
    front = await start_front(**ON)
    async with gradebox.AsyncClient(front.target) as client:
        for _ in range(2):
            bad, good = await client.grade([program, "good"], tests=["t", "u"])
            assert bad.tests[-1].verdict is Verdict.ENGINE_ERROR
            assert not bad.cached
        assert good.cached
        info = await client.info()
    assert info.cache is not None and info.cache.entries == 1


async def test_a_program_too_large_is_not_kept(start_front: StartFront) -> None:
    front = await start_front(max_program_bytes=100, **ON)
    async with gradebox.AsyncClient(front.target) as client:
        for _ in range(2):
            large, _ = await client.grade(["x" * 101, "a"], tests=["t"])
            assert (large.verdict, large.cached) == (Verdict.COMPILE_ERROR, False)
        info = await client.info()
    assert info.cache is not None and info.cache.entries == 1


async def test_hits_and_runs_in_one_request(start_front: StartFront) -> None:
    front = await start_front(**ON)
    async with gradebox.AsyncClient(front.target) as client:
        await client.grade([f"p{n}" for n in range(0, 200, 2)], tests=["t"])
        results = await client.grade([f"p{n}" for n in range(200)], tests=["t"])
    assert [r.index for r in results] == list(range(200))
    assert [r.cached for r in results] == [n % 2 == 0 for n in range(200)]
    # A chunk that was taken back for an idle worker may have run on the first one, too.
    assert sorted({words[2] for words in front.logged("program")}) == sorted(f"p{n}" for n in range(200))
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        suite = wire.Suite(language="python", tests=[wire.Test(code=b"t")])
        programs = [*(b"p%d" % n for n in range(200)), b"new"]
        request = wire.GradeRequest(request_id="r", suite=suite, programs=programs, first_index=1000)
        answers = [answer async for answer in stub.Grade(request)]
    assert [answer.done for answer in answers].count(True) == 1 and answers[-1].done
    assert sorted(r.index for a in answers for r in a.results) == list(range(1000, 1201))
    assert sum(r.cached for a in answers for r in a.results) == 200


async def test_bulk_with_hits_and_runs(start_front: StartFront) -> None:
    front = await start_front(**ON)
    items = [GradeItem(Problem([f"t{n % 7}"]), [f"p{n}", f"q{n % 3}", "r"], n) for n in range(300)]
    async with gradebox.AsyncClient(front.target) as client:
        for turn in range(2):
            graded = {g.key: g.results async for g in client.grade_many(items)}
            assert graded.keys() == set(range(300))
            for results in graded.values():
                assert [r.index for r in results] == [0, 1, 2]
                assert turn == 0 or all(r.cached for r in results)
    assert front.scheduler._queue.programs == 0


async def test_fresh_runs_and_replaces(start_front: StartFront) -> None:
    front = await start_front(**ON)
    async with gradebox.AsyncClient(front.target) as client:
        (first,) = await client.grade(["a"], tests=["t"])
        (second,) = await client.grade(["a"], tests=["t"], fresh=True)
        items = [GradeItem(Problem(["t"]), ["a"])]
        (third,) = [g.results[0] async for g in client.grade_many(items, fresh=True)]
        (fourth,) = [g.results[0] async for g in client.grade_many(items)]
        info = await client.info()
    assert [r.cached for r in (first, second, third, fourth)] == [False, False, False, True]
    assert ran(front) == 3
    assert info.cache is not None
    assert (info.cache.hits, info.cache.misses, info.cache.entries) == (1, 1, 1)


async def test_off_means_off(start_front: StartFront, tmp_path: Path) -> None:
    front = await start_front(cache_bytes=0, cache_path=tmp_path / "cache")
    async with gradebox.AsyncClient(front.target) as client:
        for _ in range(2):
            (result,) = await client.grade(["a"], tests=["t"])
            assert not result.cached
        assert (await client.info()).cache is None
    assert ran(front) == 2 and not (tmp_path / "cache").exists()


async def test_hits_need_neither_worker_nor_queue(start_front: StartFront) -> None:
    front = await start_front(max_queued_programs=5, **ON)
    async with gradebox.AsyncClient(front.target) as client, gradebox.AsyncClient(front.target) as other:
        await client.grade(["a", "b"], tests=["t"])
        large = asyncio.create_task(other.grade([f"sleep 0.2 {n}" for n in range(40)], tests=["t"]))
        await asyncio.sleep(0.1)
        results = await asyncio.wait_for(client.grade(["a", "b"] * 10, tests=["t"], timeout_s=0.5), 0.5)
        assert all(r.cached for r in results)
        assert not large.done()
        large.cancel()


async def test_what_a_caller_left_behind_is_not_kept(start_front: StartFront) -> None:
    front = await start_front(**ON)
    async with gradebox.AsyncClient(front.target) as client:
        with pytest.raises(gradebox.DeadlineExceeded):
            await client.grade([f"sleep 0.1 {n}" for n in range(40)], tests=["t"], timeout_s=0.25)
        await asyncio.sleep(0.4)
        results = await client.grade([f"sleep 0.01 {n}" for n in range(40)], tests=["t"])
        assert all(r.verdict is Verdict.PASSED for r in results)


@pytest.mark.parametrize("method", ["Grade", "GradeStream"])
async def test_hits_wait_for_a_caller_that_does_not_read(
    start_front: StartFront, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Far more bytes of hits than a call may leave uncollected: made as they are read, and all are there."""
    monkeypatch.setattr("gradebox_engine.delivery.UNCOLLECTED_MAX_BYTES", 1 << 20)
    made = 0

    def counted(result: bytes, index: int) -> bytes:
        nonlocal made
        made += len(result)
        return as_cached(result, index)

    monkeypatch.setattr("gradebox_engine.cached.as_cached", counted)
    front = await start_front(**ON)
    size, count = 50_000, 2000  # 100 MB
    suite = wire.Suite(language="python", tests=[wire.Test(code=b"t")])
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(front.target, options=options) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]

        def request(number: int, programs: int) -> wire.GradeRequest:
            return wire.GradeRequest(request_id=str(number), suite=suite, programs=[b"long %d" % size] * programs)

        await stub.GradeBatch(wire.GradeBatchRequest(requests=[request(0, 1)]))
        if method == "Grade":
            call = stub.Grade(request(0, count))
        else:
            call = stub.GradeStream()
            for number in range(count // 100):
                await call.write(wire.GradeBatchRequest(requests=[request(number, 100)]))
            await call.done_writing()
        await wait_until(lambda: made > 0)
        await asyncio.sleep(0.5)
        assert made < 40 << 20
        answers: list[wire.GradeResponse] = []
        while (message := await call.read()) is not grpc.aio.EOF:
            answers += [message] if method == "Grade" else message.responses
    results = [result for answer in answers for result in answer.results]
    assert len(results) == count and all(result.cached for result in results)
    assert sum(answer.done for answer in answers) == (1 if method == "Grade" else count // 100)


async def test_own_answers_leave_the_books_balanced(start_front: StartFront) -> None:
    """What the front answers itself counts for collection like all else: never less than nothing."""
    front = await start_front(max_program_bytes=100, **ON)
    lowest = 0
    collected = front.scheduler.collected

    def watch(call: Any, size: int) -> None:
        nonlocal lowest
        collected(call, size)
        lowest = min(lowest, call.uncollected_bytes)

    front.scheduler.collected = watch  # type: ignore[method-assign]
    async with gradebox.AsyncClient(front.target) as client:
        for _ in range(2):
            await client.grade(["a", "b" * 101, "c"] * 20, tests=["t"])
    assert lowest == 0
