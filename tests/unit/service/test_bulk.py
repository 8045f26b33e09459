"""Bulk grading and the synchronous client, against a front with fake workers."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

import gradebox
from gradebox import GradeItem, Problem
from gradebox._threads import wait_for
from gradebox_engine import server

from .conftest import Front, StartFront

PROBLEM = Problem(["assert f(1) == 2"], id="p")


@pytest.fixture
async def front(start_front: StartFront) -> Front:
    return await start_front()


async def collect(results: AsyncIterator[gradebox.Graded]) -> list[gradebox.Graded]:
    return [graded async for graded in results]


async def test_every_item_comes_back_with_its_key(front: Front) -> None:
    sizes = [0, 1, 3, 600]  # the last is more than one request
    items = [GradeItem(PROBLEM, [f"{n} {i}" for i in range(n)], ("key", n)) for n in sizes]
    async with gradebox.AsyncClient(front.target) as client:
        graded = await collect(client.grade_many(items))
    assert sorted(g.key for g in graded) == [("key", n) for n in sizes]  # type: ignore[type-var]
    for one in graded:
        assert [result.index for result in one.results] == list(range(one.key[1]))  # type: ignore[index]
        assert all(result.problem_id == "p" for result in one.results)
        assert all(result.engine.image == "python@sha256:0" for result in one.results)


async def test_results_come_while_items_are_still_made(front: Front) -> None:
    seen = asyncio.Event()

    async def items() -> AsyncIterator[GradeItem]:
        yield GradeItem(PROBLEM, ["a"], 0)
        await seen.wait()  # for ever, if results had to wait for the end of this
        yield GradeItem(PROBLEM, ["b"], 1)

    async with gradebox.AsyncClient(front.target) as client:
        keys = []
        async for graded in client.grade_many(items()):
            keys.append(graded.key)
            seen.set()
    assert keys == [0, 1]


async def test_no_more_is_taken_than_may_be_in_flight(front: Front) -> None:
    taken = 0

    def items() -> Iterator[GradeItem]:
        nonlocal taken
        for number in range(2000):
            taken += 1
            yield GradeItem(PROBLEM, ["a"], number)

    async with gradebox.AsyncClient(front.target) as client:
        count = 0
        async for _ in client.grade_many(items(), max_in_flight=10):
            count += 1
            assert taken <= count + 10 + 300  # what the reading thread holds ahead
    assert count == 2000


async def test_a_refused_item_does_not_stop_the_others(front: Front) -> None:
    items = [
        GradeItem(PROBLEM, ["a"], 0),
        GradeItem(Problem([]), ["a"], 1),
        GradeItem(Problem(["t"], language="cobol"), ["a"], 2),
        GradeItem(PROBLEM, [3], 3),  # type: ignore[list-item]
        GradeItem(PROBLEM, ["a"], 4),
    ]
    async with gradebox.AsyncClient(front.target) as client:
        graded = {g.key: g async for g in client.grade_many(items, max_in_flight=1)}
    assert {key: g.error is None for key, g in graded.items()} == {
        0: True, 1: False, 2: False, 3: False, 4: True,
    }  # fmt: skip
    fields = [graded[key].error.field for key in (1, 2, 3)]  # type: ignore[union-attr]
    assert fields == ["tests", "language", "programs[0]"]
    with pytest.raises(gradebox.InvalidRequest):
        graded[1].results  # noqa: B018


async def test_what_the_items_raise_comes_after_what_they_gave(front: Front) -> None:
    def items() -> Iterator[GradeItem]:
        yield GradeItem(PROBLEM, ["a"], 0)
        raise LookupError("no more")

    keys = []
    async with gradebox.AsyncClient(front.target) as client:
        with pytest.raises(LookupError, match="no more"):
            async for graded in client.grade_many(items()):
                keys.append(graded.key)
    assert keys == [0]


async def test_leaving_early_ends_the_work(front: Front) -> None:
    async with gradebox.AsyncClient(front.target) as client:
        items = (GradeItem(PROBLEM, ["sleep 0.05"], number) for number in range(1000))
        results = client.grade_many(items)
        await anext(results)
        await results.aclose()  # type: ignore[attr-defined]
    await asyncio.sleep(0.3)
    assert len(front.logged("program")) < 40


async def test_an_engine_that_comes_back_loses_nothing(front: Front) -> None:
    large = Problem(["assert f(1) == 2 # " + "x" * 5000])  # sent once, then by name
    async with gradebox.AsyncClient(front.target) as client:
        items = (GradeItem(large, ["sleep 0.01"], number) for number in range(100))
        keys = []
        async for graded in client.grade_many(items, max_in_flight=20):
            keys.append(graded.key)
            assert graded.results[0].verdict is gradebox.Verdict.PASSED
            if len(keys) == 30:  # another front, which has never seen the suite
                await front.server.stop(0)
                again = await server.listen(front.config, front.scheduler, front.pool)
        await again.stop(0)
    assert sorted(keys) == list(range(100))  # type: ignore[type-var]


async def test_a_large_suite_is_sent_once(front: Front) -> None:
    large = Problem(["assert f(1) == 2 # " + "x" * 5000])
    async with gradebox.AsyncClient(front.target) as client:
        for _ in range(4):
            await client.grade(["a"], problem=large)
        await front.server.stop(0)
        again = await server.listen(front.config, front.scheduler, front.pool)
        (result,) = await client.grade(["a"], problem=large)  # NOT_FOUND is not shown
        assert result.verdict is gradebox.Verdict.PASSED
        await again.stop(0)


async def test_a_large_call_goes_in_bulk(front: Front) -> None:
    async with gradebox.AsyncClient(front.target) as client:
        programs = [f"{number} " + "#" * 100_000 for number in range(100)]
        results = await client.grade(programs, tests=["t"], timeout_s=60)
        assert [result.index for result in results] == list(range(100))
        with pytest.raises(gradebox.DeadlineExceeded):
            await client.grade(["sleep 1 #" + "#" * 5_000_000], tests=["t"], timeout_s=0.2)


async def test_nobody_there() -> None:
    async with gradebox.AsyncClient("unix:/nowhere/at/all") as client:
        with pytest.raises(gradebox.Unavailable):
            await client.grade(["a"], tests=["t"])
        with pytest.raises(gradebox.DeadlineExceeded):
            await client.grade(["a"], tests=["t"], timeout_s=0.3)
        with pytest.raises(gradebox.Unavailable):
            await collect(client.grade_many([GradeItem(PROBLEM, ["a"])]))
    with pytest.raises(gradebox.Unavailable, match="closed"):
        await client.info()


async def test_the_synchronous_client(front: Front) -> None:
    """In threads, while this thread's own event loop runs the front."""

    def work() -> None:
        with gradebox.Client(front.target) as client:
            assert [r.index for r in client.grade(["a", "b"], tests=["t"])] == [0, 1]
            items = (GradeItem(PROBLEM, ["a"], number) for number in range(100))
            assert {g.key for g in client.grade_many(items)} == set(range(100))
            for _ in client.grade_many(GradeItem(PROBLEM, ["a"], n) for n in range(100)):
                break
            assert client.info().workers == 2
            assert client.run("x", stdin="y").stdout == b"y"

    await asyncio.gather(*(asyncio.to_thread(work) for _ in range(3)))


async def test_synchronous_items_are_read_in_one_thread_of_their_own(front: Front) -> None:
    threads = set()

    def items() -> Iterator[GradeItem]:
        for number in range(500):
            threads.add(threading.current_thread().name)
            yield GradeItem(PROBLEM, ["a"], number)

    async with gradebox.AsyncClient(front.target) as client:
        await collect(client.grade_many(items(), max_in_flight=50))
    assert threads == {"gradebox-items"}


async def test_an_iterator_that_is_left_may_be_collected_in_the_client_s_own_thread(front: Front) -> None:
    async def collect_garbage() -> int:
        return gc.collect()

    def work() -> None:
        with gradebox.Client(front.target) as client:
            answers = client.grade_many(GradeItem(PROBLEM, ["sleep 0.05"], number) for number in range(1000))
            next(answers)
            circle: list[object] = [answers]
            circle.append(circle)
            del answers, circle
            assert wait_for(collect_garbage()) > 0
            assert client.info(timeout_s=20).workers == 2

    await asyncio.to_thread(work)
    await asyncio.sleep(0.3)
    assert len(front.logged("program")) < 40


async def test_an_engine_that_is_away_for_a_while_costs_nothing(start_front: StartFront) -> None:
    """What was not answered is sent again, once there is an engine at the address again."""
    front = await start_front()
    keys = []
    async with gradebox.AsyncClient(front.target, retry_s=30.0) as client:
        items = (GradeItem(PROBLEM, ["sleep 0.005"], number) for number in range(200))
        async for graded in client.grade_many(items):
            assert graded.error is None
            keys.append(graded.key)
            if len(keys) == 50:
                await front.server.stop(0)
                again = asyncio.create_task(_serve_again(front))
        await (await again).stop(0)
    assert sorted(map(str, keys)) == sorted(map(str, range(200)))


async def _serve_again(front: Front) -> server.Serving:
    await asyncio.sleep(1.0)
    return await server.listen(front.config, front.scheduler, front.pool)


async def test_an_address_without_an_engine_is_given_up_soon() -> None:
    async with gradebox.AsyncClient("127.0.0.1:1", retry_s=600.0) as client:
        with pytest.raises(gradebox.Unavailable):
            await client.grade(["a"], tests=["t"])
        with pytest.raises(gradebox.Unavailable):
            await collect(client.grade_many([GradeItem(PROBLEM, ["a"], 0)]))


@pytest.mark.parametrize("retry_s", [-1, float("nan"), "1", None])
async def test_a_bad_retry_s_is_named(retry_s: object) -> None:
    with pytest.raises(gradebox.InvalidRequest) as caught:
        gradebox.AsyncClient("127.0.0.1:1", retry_s=retry_s)  # type: ignore[arg-type]
    assert caught.value.field == "retry_s"
