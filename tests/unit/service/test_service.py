"""The front process over real gRPC, with fake workers: the contract, and what survives what."""

import asyncio
import hashlib
import os
import signal
import time
from pathlib import Path

import grpc
import pytest

import gradebox
from gradebox_engine.pool import Pool
from gradebox_engine.scheduler import Scheduler
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import grading_pb2_grpc as stubs

from .conftest import COMMAND, Front, StartFront

TESTS = [wire.Test(code=b"assert f(1) == 2"), wire.Test(code=b"assert f(2) == 4")]


@pytest.fixture
async def front(start_front: StartFront) -> Front:
    return await start_front()


def request(*programs: bytes, **fields: object) -> wire.GradeRequest:
    message = wire.GradeRequest(request_id="r", programs=programs, **fields)  # type: ignore[arg-type]
    if message.WhichOneof("suite_ref") is None:
        message.suite.CopyFrom(wire.Suite(tests=TESTS))
    return message


async def grade(front: Front, message: wire.GradeRequest) -> list[wire.SubmissionResult]:
    """Calls Grade as any client would; the results in their order."""
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        answers = [answer async for answer in stub.Grade(message)]
    assert answers[-1].done and not any(answer.done for answer in answers[:-1])
    assert answers[0].HasField("engine")
    assert all(answer.request_id == "r" for answer in answers)
    return sorted((r for a in answers for r in a.results), key=lambda result: result.index)


async def test_grade_answers_every_program(front: Front) -> None:
    results = await grade(front, request(*(b"p%d" % i for i in range(100)), first_index=7))
    assert [result.index for result in results] == list(range(7, 107))
    assert results[3].program_sha256 == hashlib.sha256(b"p3").digest()
    assert [test.verdict for test in results[0].tests] == [wire.PASSED] * 2


async def test_no_programs_is_an_empty_answer(front: Front) -> None:
    assert await grade(front, request()) == []


async def test_many_results_come_in_few_messages(front: Front) -> None:
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        answers = [a async for a in stub.Grade(request(*(b"p%d" % i for i in range(2000))))]
    assert sum(len(answer.results) for answer in answers) == 2000
    assert len(answers) < 400


async def test_a_suite_can_be_named_by_its_hash(front: Front) -> None:
    suite = wire.Suite(tests=TESTS)
    key = hashlib.sha256(suite.SerializeToString()).digest()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grade(front, request(b"p", suite_sha256=key))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    await grade(front, request(b"p", suite=suite))
    (result,) = await grade(front, request(b"p", suite_sha256=key))
    assert result.verdict == wire.PASSED


@pytest.mark.parametrize(
    ("suite", "field"),
    [
        (wire.Suite(), "suite.tests"),
        (wire.Suite(tests=[wire.Test()]), "suite.tests[0]"),
        (wire.Suite(tests=[*TESTS, wire.Test(code=b"\xff")]), "suite.tests[2].code"),
        (wire.Suite(tests=TESTS, language="cobol"), "suite.language"),
        (wire.Suite(tests=TESTS, image="moon"), "suite.image"),
        (wire.Suite(tests=TESTS, limits=wire.Limits(cpu_time_s=-1)), "suite.limits.cpu_time_s"),
        (wire.Suite(tests=[wire.Test(call=wire.Call(expected_json="1"))]), "suite.entry_point"),
        (
            wire.Suite(entry_point="f", tests=[wire.Test(call=wire.Call(args_json="[", expected_json="1"))]),
            "suite.tests[0].call.args_json",
        ),
        (
            wire.Suite(entry_point="f", tests=[wire.Test(call=wire.Call(expected_json="[" * 100_000))]),
            "suite.tests[0].call.expected_json",
        ),
        (
            wire.Suite(tests=[wire.Test(stdio=wire.Stdio(checker=wire.Checker(kind="vibes")))]),
            "suite.tests[0].stdio.checker.kind",
        ),
    ],
)
async def test_a_bad_suite_is_refused_by_field(front: Front, suite: wire.Suite, field: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await grade(front, request(b"p", suite=suite))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    metadata = dict(caught.value.trailing_metadata() or ())
    detail = wire.ErrorDetail.FromString(bytes(metadata["gradebox-error-bin"]))
    assert detail.field == field


async def test_a_batch_answers_each_request_for_itself(front: Front) -> None:
    bad = wire.GradeRequest(request_id="bad", suite=wire.Suite(), programs=[b"p"])
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        batch = wire.GradeBatchRequest(requests=[request(b"a", b"b"), bad, request(b"c")])
        answers = (await stub.GradeBatch(batch)).responses
    assert [answer.request_id for answer in answers] == ["r", "bad", "r"]
    assert [len(answer.results) for answer in answers] == [2, 0, 1]
    assert answers[1].error.field == "suite.tests"
    assert all(answer.done for answer in answers)


async def test_a_program_too_large_is_a_verdict_of_its_own(start_front: StartFront) -> None:
    front = await start_front(max_program_bytes=100)
    results = await grade(front, request(b"a", b"x" * 101, b"b", b"y" * 101))
    assert [r.verdict for r in results] == [1, wire.COMPILE_ERROR, 1, wire.COMPILE_ERROR]
    assert "larger than 100 bytes" in results[1].tests[1].message
    (only,) = await grade(front, request(b"z" * 101))
    assert only.verdict == wire.COMPILE_ERROR


async def test_a_worker_that_dies_costs_nobody_else_anything(front: Front) -> None:
    programs = [b"p%d" % i for i in range(30)]
    programs[11] = b"die"
    results = await grade(front, request(*programs))
    verdicts = [result.verdict for result in results]
    assert verdicts.pop(11) == wire.ENGINE_ERROR
    assert verdicts == [wire.PASSED] * 29
    broken = results[11]
    assert not broken.HasField("pass_rate")
    assert [test.verdict for test in broken.tests] == [wire.ENGINE_ERROR] * 2
    assert [r.verdict for r in await grade(front, request(b"p"))] == [wire.PASSED]


@pytest.mark.parametrize("program", [b"fault", b"error"])
async def test_a_jail_that_dies_is_tried_again_elsewhere(front: Front, program: bytes) -> None:
    results = await grade(front, request(b"a", program, b"b"))
    assert [r.verdict for r in results] == [wire.PASSED, wire.ENGINE_ERROR, wire.PASSED]


async def test_a_silent_worker_is_replaced(start_front: StartFront, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradebox_engine.suites.program_bound_s", lambda *_: 0.3)
    monkeypatch.setattr("gradebox_engine.pool.SILENCE_CHECK_S", 0.1)
    front = await start_front()
    results = await grade(front, request(b"silent", b"p"))
    assert [r.verdict for r in results] == [wire.ENGINE_ERROR, wire.PASSED]
    assert results[0].tests[0].message.startswith("silent for")


async def test_a_caller_that_leaves_takes_its_work_along(front: Front) -> None:
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        call = stub.Grade(request(*[b"sleep 0.05"] * 1000))
        async for _ in call:
            break
        call.cancel()
    start_s = time.monotonic()
    await grade(front, request(b"p"))
    assert time.monotonic() - start_s < 1
    await asyncio.sleep(0.2)
    assert len(front.logged("program")) < 30


async def test_a_deadline_is_the_same(front: Front) -> None:
    async with gradebox.AsyncClient(front.target) as client:
        with pytest.raises(gradebox.DeadlineExceeded):
            await client.grade(["sleep 0.05"] * 1000, tests=["t"], timeout_s=0.3)
    await asyncio.sleep(0.3)
    assert len(front.logged("program")) < 60


async def test_a_small_call_does_not_wait_for_a_large_one(front: Front) -> None:
    async with gradebox.AsyncClient(front.target) as client:
        large = asyncio.create_task(client.grade(["sleep 0.01"] * 300, tests=["t"]))
        await asyncio.sleep(0.3)
        start_s = time.monotonic()
        await client.grade(["p"], tests=["other"])
        assert time.monotonic() - start_s < 0.5
        assert not large.done()
        assert len(await large) == 300


async def test_a_full_queue_is_said_and_the_client_waits(start_front: StartFront) -> None:
    front = await start_front(max_queued_programs=20)
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        large = stub.Grade(request(*[b"sleep 0.01"] * 100))
        await large.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await grade(front, request(b"p"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with gradebox.AsyncClient(front.target) as client:
            (result,) = await client.grade(["p"], tests=["t"])
        assert result.verdict is gradebox.Verdict.PASSED


async def test_run_and_info(front: Front) -> None:
    async with gradebox.AsyncClient(front.target) as client:
        ran = await client.run("print()", stdin="hello")
        assert (ran.verdict, ran.exit_code, ran.stdout) == (gradebox.Verdict.PASSED, 0, b"hello")
        with pytest.raises(gradebox.InvalidRequest) as caught:
            await client.run("print()", language="cobol")
        assert caught.value.field == "language"
        info = await client.info()
    assert (info.workers, info.images[0].name) == (2, "python")
    assert info.defaults.cpu_time_s == 5.0
    assert info.ceilings.cpu_time_s == 300.0


async def test_all_workers_killed_at_once(front: Front) -> None:
    async with gradebox.AsyncClient(front.target) as client:
        work = asyncio.create_task(client.grade(["sleep 0.01"] * 100, tests=["t"]))
        await asyncio.sleep(0.2)
        for connection in front.pool._connections.values():
            os.kill(connection.process.pid, signal.SIGKILL)
        assert {r.verdict for r in await work} == {gradebox.Verdict.PASSED}


async def test_workers_end_with_the_pool(tmp_path: Path) -> None:
    scheduler = Scheduler(max_programs=10, max_bytes=1000)
    log = tmp_path / "log"
    pool = Pool(scheduler, size=2, config={"log": str(log)}, command=COMMAND)
    await pool.start()
    processes = [c.process for c in pool._connections.values()]
    await pool.stop()
    assert all(process.returncode is not None for process in processes)


async def test_workers_that_never_start_are_an_error() -> None:
    scheduler = Scheduler(max_programs=10, max_bytes=1000)
    pool = Pool(scheduler, size=1, config={"broken": True}, command=COMMAND)
    with pytest.raises(RuntimeError, match="no worker"):
        await pool.start()
    await pool.stop()


async def test_a_worker_that_cannot_be_started_is_said_and_tried_again(
    start_front: StartFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The front has no descriptors or processes left: who asks is told so, until it has them again."""
    front = await start_front()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as broken:
        broken.setattr("gradebox_engine.pool.subprocess.Popen", refuse)
        for connection in front.pool._connections.values():
            connection.kill("the test")
        async with gradebox.AsyncClient(front.target, retry_s=0.0) as client:
            with pytest.raises(gradebox.Unavailable, match="Too many open files"):
                for _ in range(200):
                    results = await client.grade(["p"], tests=["t"])
                    if results[0].verdict is gradebox.Verdict.ENGINE_ERROR:
                        assert "Too many open files" in results[0].tests[0].message
                    await asyncio.sleep(0.05)
    async with gradebox.AsyncClient(front.target, retry_s=30.0) as client:
        (result,) = await client.grade(["p"], tests=["t"])
        assert result.verdict is gradebox.Verdict.PASSED


async def test_a_caller_of_run_that_leaves_breaks_no_worker(front: Front) -> None:
    while front.scheduler.workers < 2:
        await asyncio.sleep(0.01)
    async with gradebox.AsyncClient(front.target) as client:
        for _ in range(50):
            call = asyncio.create_task(client.run("x"))
            await asyncio.sleep(0.001)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await client.run("x")
    assert front.scheduler.workers == 2
    assert not front.logged("eof")
