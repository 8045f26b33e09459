"""What a client sends, or does not read, is held in memory up to a bound."""

import asyncio
import contextlib

import grpc
import pytest

from gradebox_engine import asking
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import grading_pb2_grpc as stubs

from .conftest import Front, StartFront

SUITE = wire.Suite(tests=[wire.Test(code=b"assert f(1) == 2")])


def batch(*requests: wire.GradeRequest) -> wire.GradeBatchRequest:
    return wire.GradeBatchRequest(requests=requests)


async def sent_until_it_blocks(front: Front, message: wire.GradeBatchRequest) -> int:
    """How many messages a stream takes from a client that reads no answer."""
    async with grpc.aio.insecure_channel(front.target) as channel:
        call = stubs.GradingStub(channel).GradeStream()  # type: ignore[no-untyped-call]
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 1000:
                await asyncio.wait_for(call.write(message), 1.5)
                sent += 1
        call.cancel()
    return sent


@pytest.mark.parametrize(
    "request_",
    [
        wire.GradeRequest(suite=SUITE, programs=[b"p"]),
        wire.GradeRequest(suite=SUITE),  # nothing to do
        wire.GradeRequest(programs=[b"p"]),  # an error
        wire.GradeRequest(suite=SUITE, programs=[b"x" * 200]),  # too large: answered without a worker
    ],
    ids=["graded", "empty", "refused", "too large"],
)
async def test_a_client_that_never_reads_is_read_no_more(
    start_front: StartFront, monkeypatch: pytest.MonkeyPatch, request_: wire.GradeRequest
) -> None:
    monkeypatch.setattr(asking, "STREAM_IN_FLIGHT", 512)
    front = await start_front(max_program_bytes=100)
    request_.request_id = "r" * 500  # comes back with each answer, so that what gRPC itself buffers is soon full
    assert await sent_until_it_blocks(front, batch(*[request_] * 256)) < 100


async def test_suites_fill_the_queue_too(start_front: StartFront) -> None:
    """One stream, each request with a megabyte of tests of its own."""
    front = await start_front(max_queued_bytes=8 << 20)
    async with grpc.aio.insecure_channel(front.target) as channel:
        call = stubs.GradingStub(channel).GradeStream()  # type: ignore[no-untyped-call]
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 100:
                test = wire.Test(code=b"assert f(%d) #" % sent + b"x" * (1 << 20))
                request = wire.GradeRequest(suite=wire.Suite(tests=[test]), programs=[b"sleep 5"])
                await asyncio.wait_for(call.write(batch(request)), 1.5)
                sent += 1
        assert sent < 40  # what the queue takes, and what gRPC has read ahead
        assert front.scheduler._queue.bytes < 12 << 20
        call.cancel()


async def test_what_is_too_much_for_one_message_is_said(
    start_front: StartFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = await start_front()
    monkeypatch.setattr(asking, "MAX_PROGRAMS", 20)
    monkeypatch.setattr(asking, "MAX_BATCH_REQUESTS", 5)
    monkeypatch.setattr(asking, "MAX_BATCH_TESTS", 40)
    few = wire.GradeRequest(suite=SUITE, programs=[b"p"] * 10)
    many = wire.GradeRequest(suite=SUITE, programs=[b"p"] * 21)
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        assert len((await stub.GradeBatch(batch(few, few, few, few))).responses) == 4
        for wrong, named in (([few] * 5, "40 test results"), ([wire.GradeRequest()] * 6, "6 are more than 5")):
            with pytest.raises(grpc.aio.AioRpcError, match=named) as caught:
                await stub.GradeBatch(batch(*wrong))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        (answer,) = (await stub.GradeBatch(batch(many))).responses
        assert answer.error.field == "programs"


async def test_a_call_without_its_request_is_ended(start_front: StartFront, monkeypatch: pytest.MonkeyPatch) -> None:
    """And calls that do not send theirs do not keep others waiting for ever."""
    monkeypatch.setattr(asking, "READING", 1)
    monkeypatch.setattr(asking, "READING_TIMEOUT_S", 0.3)
    front = await start_front()
    async with grpc.aio.insecure_channel(front.target) as channel:
        method = "/gradebox.v1.Grading/GradeBatch"
        silent = channel.stream_unary(method, lambda message: message, wire.GradeBatchResponse.FromString)()
        ended = channel.stream_unary(method, lambda message: message, wire.GradeBatchResponse.FromString)()
        await ended.done_writing()
        stub = stubs.GradingStub(channel)  # type: ignore[no-untyped-call]
        answers = await stub.GradeBatch(batch(wire.GradeRequest(suite=SUITE, programs=[b"p"])))
        assert answers.responses[0].results[0].verdict == wire.PASSED
        for call in (silent, ended):
            with pytest.raises(grpc.aio.AioRpcError, match="no request"):
                await call
    assert not front.scheduler._queue.programs
