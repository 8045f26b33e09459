"""Several engines behind one client: who gets the work, and what a client does about one that is gone."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.ports import free_port
from tests.proxy import Proxy

import gradebox
from gradebox import GradeItem, Problem, Verdict
from gradebox_engine import server

from .conftest import Front, StartFront

PROBLEM = Problem(["assert f(1) == 2"], id="p")
NOWHERE = "unix:/nowhere/at/all"


@pytest.fixture
async def fronts(start_front: StartFront) -> list[Front]:
    return [await start_front(name, cache_bytes=0) for name in ("one", "two")]


def runs(front: Front) -> int:
    """How many programs it was asked to run."""
    return front.scheduler.asked.total()


def items(count: int, program: str = "sleep 0.005") -> Iterator[GradeItem]:
    return (GradeItem(PROBLEM, [f"{program} {number}"], number) for number in range(count))


async def test_calls_go_to_all_engines(fronts: list[Front]) -> None:
    async with gradebox.AsyncClient([front.target for front in fronts]) as client:
        await asyncio.gather(*(client.grade([f"sleep 0.05 {n}"], problem=PROBLEM) for n in range(20)))
    assert [runs(front) for front in fronts] == [10, 10]


async def test_bulk_work_goes_to_all_engines(fronts: list[Front]) -> None:
    async with gradebox.AsyncClient([front.target for front in fronts]) as client:
        keys = [graded.key async for graded in client.grade_many(items(200), max_in_flight=32)]
    assert sorted(map(str, keys)) == sorted(map(str, range(200)))
    assert all(runs(front) > 50 for front in fronts)
    assert sum(runs(front) for front in fronts) == 200


async def test_an_engine_that_never_was_there_costs_nothing(fronts: list[Front]) -> None:
    async with gradebox.AsyncClient([NOWHERE, fronts[0].target]) as client:
        for _ in range(5):
            assert (await client.grade(["p"], problem=PROBLEM))[0].verdict is Verdict.PASSED
        assert (await client.run("x", stdin="y")).stdout == b"y"
        assert len([graded async for graded in client.grade_many(items(50))]) == 50
        start_s = time.monotonic()
        await asyncio.gather(*(client.grade(["p"], problem=PROBLEM) for _ in range(50)))
        assert time.monotonic() - start_s < 2  # none of them tries the one that is down


async def test_an_engine_that_ends_and_comes_back(fronts: list[Front]) -> None:
    gone, other = fronts
    async with gradebox.AsyncClient([front.target for front in fronts]) as client:
        keys = []
        async for graded in client.grade_many(items(900), max_in_flight=30):
            assert graded.results[0].verdict is Verdict.PASSED
            keys.append(graded.key)
            if len(keys) == 60:
                await gone.server.stop(0)
                before = runs(gone), runs(other)
            if len(keys) == 200:
                assert runs(other) - before[1] > 100
                again = await server.listen(gone.config, gone.scheduler, gone.pool)
                before = runs(gone), runs(other)
        assert sorted(map(str, keys)) == sorted(map(str, range(900)))
        assert runs(gone) - before[0] > 20  # it has work again
        await again.stop(0)
        for _ in range(5):
            assert (await client.grade(["p"], problem=PROBLEM))[0].verdict is Verdict.PASSED


async def test_a_call_goes_to_another_engine_when_its_own_is_gone(fronts: list[Front]) -> None:
    async with gradebox.AsyncClient([front.target for front in fronts], retry_s=30) as client:
        calls = [asyncio.create_task(client.grade([f"sleep 0.5 {n}"], problem=PROBLEM)) for n in range(4)]
        await asyncio.sleep(0.2)
        await fronts[0].server.stop(0)
        for call in calls:
            assert (await call)[0].verdict is Verdict.PASSED
    assert runs(fronts[1]) == 4


async def test_a_connection_that_is_cut_is_no_reason_to_grade_elsewhere(fronts: list[Front]) -> None:
    """The engine behind it is still at work on the call, and knows it."""
    async with Proxy(fronts[0].target) as proxy:
        async with gradebox.AsyncClient([proxy.target, fronts[1].target]) as client:
            one_by_one = [asyncio.create_task(client.grade([f"sleep 0.3 {n}"], problem=PROBLEM)) for n in range(4)]
            await asyncio.sleep(0.2)
            proxy.cut()
            for call in one_by_one:
                assert (await call)[0].verdict is Verdict.PASSED
            keys = []
            async for graded in client.grade_many(items(200), max_in_flight=32):
                keys.append(graded.key)
                if len(keys) in (20, 80, 140):
                    proxy.cut()
            assert len(keys) == 200
    assert sum(runs(front) for front in fronts) == 204
    assert all(runs(front) > 10 for front in fronts)


async def test_all_gone_is_said() -> None:
    async with gradebox.AsyncClient([NOWHERE, "127.0.0.1:1"], retry_s=600) as client:
        with pytest.raises(gradebox.Unavailable):
            await client.grade(["p"], problem=PROBLEM)
        with pytest.raises(gradebox.Unavailable):
            async for _ in client.grade_many(items(10)):
                pass


async def test_all_gone_in_the_middle_is_said(fronts: list[Front]) -> None:
    async with gradebox.AsyncClient([front.target for front in fronts], retry_s=1.0) as client:
        seen = 0
        with pytest.raises(gradebox.Unavailable):
            async for _ in client.grade_many(items(1000), max_in_flight=20):
                seen += 1
                if seen == 20:
                    for front in fronts:
                        await front.server.stop(0)
        assert 20 <= seen < 1000


# --- names ----------------------------------------------------------------------------------------


class Names:
    """What names mean while a test runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[str] = []
        self.asked = 0
        self.takes_s = 0.0
        monkeypatch.setattr("gradebox._targets.socket.getaddrinfo", self._look)
        monkeypatch.setattr("gradebox._targets.LOOKUP_AGAIN_S", 0.2)
        monkeypatch.setattr("gradebox._targets.LOOKUP_LOST_S", 0.1)
        monkeypatch.setattr("gradebox._bulk.LOOK_FOR_MORE_S", 0.3)

    def _look(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked += 1
        time.sleep(self.takes_s)
        if not self.addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def named(start_front: StartFront, port: int) -> AsyncIterator[list[Front]]:
    yield [
        await start_front(name, listen=f"{address}:{port}", cache_bytes=0)
        for name, address in (("one", "127.0.0.1"), ("two", "127.0.0.2"))
    ]


async def test_every_address_of_a_name_is_an_engine(named: list[Front], names: Names, port: int) -> None:
    names.addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]  # nobody is at the last
    async with gradebox.AsyncClient(f"dns:///engines.test:{port}") as client:
        assert len([graded async for graded in client.grade_many(items(200), max_in_flight=32)]) == 200
        assert all(runs(front) > 30 for front in named)
        before = [runs(front) for front in named]
        await asyncio.gather(*(client.grade([f"sleep 0.05 {n}"], problem=PROBLEM) for n in range(20)))
        assert all(runs(front) > count for front, count in zip(named, before, strict=True))


async def test_engines_that_move_are_found(named: list[Front], names: Names, port: int) -> None:
    names.addresses = ["127.0.0.1"]
    async with gradebox.AsyncClient(f"dns:///engines.test:{port}", retry_s=30) as client:
        seen = 0
        async for graded in client.grade_many(items(300), max_in_flight=20):
            assert graded.results[0].verdict is Verdict.PASSED
            seen += 1
            if seen == 50:
                names.addresses = ["127.0.0.2"]
                await named[0].server.stop(0)
        assert seen == 300
        assert (await client.grade(["p"], problem=PROBLEM))[0].verdict is Verdict.PASSED
    assert runs(named[1]) > 200


async def test_a_name_that_means_nothing_is_said(names: Names) -> None:
    async with gradebox.AsyncClient("dns:///engines.test:1", retry_s=600) as client:
        with pytest.raises(gradebox.Unavailable, match=r"engines\.test cannot be looked up: .*not known"):
            await client.grade(["p"], problem=PROBLEM)
        with pytest.raises(gradebox.Unavailable, match="looked up"):
            async for _ in client.grade_many(items(3)):
                pass


async def test_many_calls_look_a_name_up_together(named: list[Front], names: Names, port: int) -> None:
    names.addresses, names.takes_s = ["127.0.0.1"], 0.2
    async with gradebox.AsyncClient(f"dns:///engines.test:{port}") as client:
        await asyncio.gather(*(client.grade(["p"], problem=PROBLEM) for _ in range(50)))
    assert names.asked <= 5


@pytest.mark.parametrize("target", ["", [], ["a:1", ""], None, [3], {"a": 1}])
async def test_a_bad_target_is_named(target: Any) -> None:
    with pytest.raises(gradebox.InvalidRequest) as caught:
        gradebox.AsyncClient(target)
    assert caught.value.field == "target"
