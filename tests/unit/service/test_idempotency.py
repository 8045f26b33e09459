"""What is repeated after a lost connection is graded once: over real gRPC, whose connections are cut."""

import asyncio
import collections
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from tests.proxy import Proxy

import gradebox
from gradebox import GradeItem, Problem, Verdict
from gradebox_engine.config import EngineConfig
from gradebox_engine.convert import InvalidSuite
from gradebox_engine.idempotency import KeyedRequests
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.work import Call, Job, SuiteEntry
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import grading_pb2_grpc as stubs

from .conftest import Front, StartFront

PROBLEM = Problem(["assert f(1) == 2"], id="p")


@pytest.fixture
async def front(start_front: StartFront) -> Front:
    return await start_front(cache_bytes=0)


@pytest.fixture
async def proxy(front: Front) -> AsyncIterator[Proxy]:
    async with Proxy(front.target) as proxy:
        yield proxy


def runs(front: Front) -> collections.Counter[str]:
    """How often the scheduler was asked to run each program."""
    return collections.Counter({source.decode(): count for source, count in front.scheduler.asked.items()})


async def test_a_call_whose_connection_is_cut_is_answered_and_run_once(front: Front, proxy: Proxy) -> None:
    programs = [f"sleep 0.2 {number}" for number in range(8)]
    async with gradebox.AsyncClient(proxy.target) as client:
        call = asyncio.create_task(client.grade(programs, problem=PROBLEM, fresh=True))
        for _ in range(2):
            await asyncio.sleep(0.3)
            proxy.cut()
        results = await call
    assert [result.verdict for result in results] == [Verdict.PASSED] * 8
    assert proxy.connections >= 3
    assert runs(front) == dict.fromkeys(programs, 1)


async def test_an_answer_that_was_lost_on_its_way_is_given_again(front: Front, proxy: Proxy) -> None:
    async with gradebox.AsyncClient(proxy.target) as client:
        await client.info()
        proxy.is_mute = True
        call = asyncio.create_task(client.grade(["p"], problem=PROBLEM))
        while not front.logged("program"):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        proxy.cut()
        proxy.is_mute = False
        assert (await call)[0].verdict is Verdict.PASSED
    assert runs(front) == {"p": 1}


async def test_bulk_work_whose_connection_is_cut_again_and_again(front: Front, proxy: Proxy) -> None:
    cutter = None

    async def cut() -> None:
        while True:
            await asyncio.sleep(0.15)
            proxy.cut()

    async with gradebox.AsyncClient(proxy.target) as client:
        items = (GradeItem(PROBLEM, [f"sleep 0.005 {n} {part}" for part in range(3)], n) for n in range(150))
        keys = []
        async for graded in client.grade_many(items, max_in_flight=60):
            cutter = cutter or asyncio.create_task(cut())
            assert [result.verdict for result in graded.results] == [Verdict.PASSED] * 3
            keys.append(graded.key)
        assert cutter is not None
        cutter.cancel()
    assert proxy.connections >= 4
    assert sorted(map(str, keys)) == sorted(map(str, range(150)))
    counts = runs(front)
    assert len(counts) == 450
    assert set(counts.values()) == {1}


async def test_a_run_whose_connection_is_cut_is_run_once(front: Front, proxy: Proxy) -> None:
    async with gradebox.AsyncClient(proxy.target) as client:
        call = asyncio.create_task(client.run("sleep 0.5", stdin="x"))
        await asyncio.sleep(0.3)
        proxy.cut()
        assert (await call).stdout == b"x"
    assert front.scheduler.asked.total() == 1


async def test_a_caller_that_does_not_come_back_is_not_waited_for_long(
    front: Front, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyed = _keyed_of(front)
    monkeypatch.setattr(keyed, "_grace_s", 0.3)
    channel = grpc.aio.insecure_channel(proxy.target)
    call = stubs.GradingStub(channel).Grade(_request(*[b"sleep 0.05"] * 400))  # type: ignore[no-untyped-call]
    await call.read()
    proxy.refuses = True
    proxy.cut()
    await asyncio.sleep(1.0)
    count = len(front.logged("program"))
    assert 5 < count < 40
    await asyncio.sleep(0.3)
    assert len(front.logged("program")) <= count + 2
    assert (len(keyed), keyed.bytes) == (0, 0)
    await channel.close()


async def test_a_call_that_its_caller_gave_up_is_not_run(front: Front) -> None:
    async with gradebox.AsyncClient(front.target) as client:
        call = asyncio.create_task(client.grade(["sleep 0.05"] * 400, problem=PROBLEM))
        await asyncio.sleep(0.3)
        call.cancel()
        await asyncio.sleep(0.4)
        count = len(front.logged("program"))
        await asyncio.sleep(0.3)
    assert len(front.logged("program")) == count < 40


async def test_the_same_request_twice_at_a_time_has_one_run(front: Front) -> None:
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        batch = wire.GradeBatchRequest(requests=[_request(b"sleep 0.3 a", b"sleep 0.3 b")])
        answers = await asyncio.gather(*(stub.GradeBatch(batch) for _ in range(5)))
        answers.append(await stub.GradeBatch(batch))  # and when it is finished
    for answer in answers:
        (response,) = answer.responses
        assert response.done and response.HasField("engine")
        assert sorted(result.index for result in response.results) == [0, 1]
    assert runs(front) == {"sleep 0.3 a": 1, "sleep 0.3 b": 1}


@pytest.mark.parametrize(
    "other",
    [{"programs": [b"q"]}, {"stop_early": True}, {"fresh": True}, {"suite": wire.Suite(tests=[wire.Test(code=b"t")])}],
    ids=["programs", "stop_early", "fresh", "suite"],
)
async def test_a_key_is_for_one_request(front: Front, other: dict[str, object]) -> None:
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        await stub.GradeBatch(wire.GradeBatchRequest(requests=[_request(b"p")]))
        request = _request(b"p")
        for name, value in other.items():
            request.ClearField(name)
            request.MergeFrom(wire.GradeRequest(**{name: value}))  # type: ignore[arg-type]
        (answer,) = (await stub.GradeBatch(wire.GradeBatchRequest(requests=[request]))).responses
        assert (answer.error.code, answer.error.field) == (3, "idempotency_key")
        long = _request(b"p", key="k" * 1000)
        (answer,) = (await stub.GradeBatch(wire.GradeBatchRequest(requests=[long]))).responses
        assert (answer.error.code, answer.error.field) == (3, "idempotency_key")


async def test_what_fails_is_not_kept(start_front: StartFront, tmp_path: Path) -> None:
    front = await start_front(max_queued_programs=1, cache_bytes=0)
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        large = stub.Grade(_request(*[b"sleep 0.02"] * 20, key="large"))
        await large.read()
        batch = wire.GradeBatchRequest(requests=[_request(b"p", key="small")])
        refusals = 0
        while (answer := (await stub.GradeBatch(batch)).responses[0]).HasField("error"):
            assert answer.error.code == 8
            refusals += 1
            await asyncio.sleep(0.02)
        assert refusals and answer.results[0].verdict == wire.PASSED


# --- the bounds, by themselves --------------------------------------------------------------------


def _keyed_of(front: Front) -> KeyedRequests:
    import gc

    (found,) = (o for o in gc.get_objects() if isinstance(o, KeyedRequests) and o._scheduler is front.scheduler)
    return found


def _request(*programs: bytes, key: str = "key") -> wire.GradeRequest:
    suite = wire.Suite(tests=[wire.Test(code=b"assert f(1) == 2")])
    return wire.GradeRequest(request_id="r", suite=suite, programs=programs, idempotency_key=key)


def _scheduler() -> Scheduler:
    return Scheduler(max_programs=100, max_bytes=1 << 20)


async def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    keyed = KeyedRequests(_scheduler(), grace_s=30.0, max_bytes=100_000)
    for number in range(500):
        one = keyed.open("", str(number), b"")
        keyed.record(one, [b"x" * 1000])
        keyed.submitted(one)
        assert keyed.bytes <= 100_000
    assert keyed.open("", "499", b"").results == [b"x" * 1000]
    assert keyed.open("", "0", b"").results == []
    heard: list[bytes] = []
    large = keyed.open("", "large", b"")
    keyed.join(large, "listener", Call(), heard.extend)
    for _ in range(500):
        keyed.record(large, [b"x" * 1000])
    assert len(heard) == 500  # who asks gets it all
    assert keyed.bytes <= 100_000


async def test_what_is_finished_goes_after_a_while() -> None:
    keyed = KeyedRequests(_scheduler(), grace_s=0.5)
    for number in range(3):
        keyed.submitted(keyed.open("", str(number), b""))
        await asyncio.sleep(0.01)
    assert len(keyed) == 3
    await asyncio.sleep(1)
    assert (len(keyed), keyed.bytes) == (0, 0)


async def test_tenants_do_not_meet() -> None:
    keyed = KeyedRequests(_scheduler(), grace_s=30.0)
    keyed.submitted(keyed.open("one", "key", b"digest"))
    assert not keyed.open("two", "key", b"another").is_submitted
    assert keyed.open("one", "key", b"digest").is_submitted
    with pytest.raises(InvalidSuite):
        keyed.open("one", "key", b"another")
    keyed.abandon("two", ["key"])
    assert keyed.open("one", "key", b"digest").is_submitted


async def test_an_orphan_lives_no_longer_than_its_call_would_have() -> None:
    keyed = KeyedRequests(_scheduler(), grace_s=60)
    for left_s, lives in ((None, True), (30.0, True), (0.1, True), (0.0, False)):
        scheduler = _scheduler()
        keyed = KeyedRequests(scheduler, grace_s=60)
        one = keyed.open("", "key", b"")
        suite = SuiteEntry(b"", b"", 1, 1.0)
        one.job = Job(
            call=Call(),
            suite=suite,
            pending=collections.deque([(0, b"p")]),
            emit=lambda _: None,
            fault=lambda *_: b"",
        )
        keyed.join(one, "listener", one.job.call, lambda _: None)
        scheduler.submit(one.job)
        keyed.submitted(one)
        job = one.job
        keyed.leave(one, "listener", left_s)
        assert job.closed is not lives
        if left_s == 0.1:
            await asyncio.sleep(0.2)
            assert job.closed
        keyed.abandon("", ["key"])
        assert job.closed
        assert len(keyed) == 0


def test_the_grace_is_shorter_than_a_client_s_patience() -> None:
    from gradebox import _retry

    assert EngineConfig.model_fields["lost_calls_s"].default < _retry.RETRY_S
