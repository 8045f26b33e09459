"""The gRPC service: requests in, validated; results out. What runs when is the scheduler's affair.

Requests are read as RoutedGradeRequest and results sent as RoutedGradeResponse: suites, programs
and results pass through as bytes.

What is held in memory is bounded, whatever clients send: what is queued by the scheduler, what a stream
has not answered by STREAM_IN_FLIGHT and by bytes of results, and the one message that a call has sent
beyond that, which waits to be queued or answered, by the largest message. Grade and GradeBatch, for gRPC,
take a stream of which they read one message: a method that takes a message would be given it at once,
however many there are, and gRPC would keep it until the call ends.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from typing import Any, NoReturn

import grpc
import structlog

from gradebox_engine.cache import Cache
from gradebox_engine.cached import CachedGrading
from gradebox_engine.config import EngineConfig
from gradebox_engine.convert import InvalidSuite
from gradebox_engine.delivery import Answer, Delivery
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.suites import Image, Suites, UnknownSuite, own_result
from gradebox_engine.work import Call, Job, NoWorkers, QueueFull, SuiteEntry
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

STREAM_IN_FLIGHT = 4096  # programs, or requests, of one stream that are not answered
MAX_PROGRAMS = 1_000_000  # of one request; each costs some 150 bytes, however short
MAX_BATCH_REQUESTS = 10_000
MAX_BATCH_TESTS = 2_000_000  # test results in one answer, of some 50 bytes each
# Messages of Grade and GradeBatch that come in at once, and how long one may take.
READING, READING_TIMEOUT_S = 32, 30.0
ERROR_KEY = "gradebox-error-bin"  # trailing metadata: a serialized ErrorDetail

_CODES: dict[type[Exception], grpc.StatusCode] = {
    InvalidSuite: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownSuite: grpc.StatusCode.NOT_FOUND,
    QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    NoWorkers: grpc.StatusCode.UNAVAILABLE,
}
_MAX_INDEX = 2**32 - 1
_log = structlog.get_logger("service")


def error_detail(error: Exception) -> wire.ErrorDetail:
    """How an error is told to the caller; one that is not a refusal is the engine's own fault."""
    code = _CODES.get(type(error), grpc.StatusCode.INTERNAL)
    if isinstance(error, InvalidSuite):
        return wire.ErrorDetail(code=code.value[0], message=error.message, field=error.field)
    if type(error) in _CODES:
        return wire.ErrorDetail(code=code.value[0], message=str(error))
    _log.error("fault", exc_info=error)
    text = f"{type(error).__name__}: {error}"
    return wire.ErrorDetail(code=code.value[0], message=text)


class GradingService:
    """Serves gradebox.v1.Grading. `info` is what Info answers; its stamp goes with every answer."""

    def __init__(
        self,
        config: EngineConfig,
        scheduler: Scheduler,
        image: Image,
        info: wire.InfoResponse,
        cache: Cache | None,
    ) -> None:
        self._scheduler = scheduler
        self._reading = asyncio.Semaphore(READING)
        self._max_program_bytes = config.max_program_bytes
        self._too_large = f"the program is larger than {config.max_program_bytes} bytes"
        self._suites = Suites(image, config.ceilings)
        self._info = info
        self._stamp = wire.EngineStamp(
            version=info.version,
            image=f"{image.name}@{image.digest}",
            protections=info.protections,
        )
        self._stamp_bytes = self._stamp.SerializeToString()
        self._cache = cache
        self._cached = CachedGrading(cache, self._stamp_bytes) if cache is not None else None

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to serve this."""
        service = wire.DESCRIPTOR.services_by_name["Grading"]
        batch_in = routed.RoutedGradeBatchRequest.FromString
        batch_out = routed.RoutedGradeBatchResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            service.full_name,
            {
                "Grade": grpc.stream_stream_rpc_method_handler(
                    self.grade,
                    routed.RoutedGradeRequest.FromString,
                    routed.RoutedGradeResponse.SerializeToString,
                ),
                "GradeBatch": grpc.stream_unary_rpc_method_handler(self.grade_batch, batch_in, batch_out),
                "GradeStream": grpc.stream_stream_rpc_method_handler(self.grade_stream, batch_in, batch_out),
                "Run": grpc.unary_unary_rpc_method_handler(
                    self.run, wire.RunRequest.FromString, wire.RunResponse.SerializeToString
                ),
                "Info": grpc.unary_unary_rpc_method_handler(
                    self.info, wire.InfoRequest.FromString, wire.InfoResponse.SerializeToString
                ),
            },
        )

    async def grade(self, requests: AsyncIterator[routed.RoutedGradeRequest], context: Any) -> None:
        """Grade: one request, a stream of answers."""
        delivery = Delivery(self._scheduler, self._stamp_bytes)
        async with _beside(self._ask_one(delivery, context), delivery) as asking:
            while responses := await delivery.next():
                for response in responses:
                    await context.write(response)
            try:
                await asking
            except Exception as error:
                await _abort(context, error)

    async def grade_batch(
        self, requests: AsyncIterator[routed.RoutedGradeBatchRequest], context: Any
    ) -> routed.RoutedGradeBatchResponse:
        """GradeBatch: the answers all at once, in the order of the requests."""
        delivery = Delivery(self._scheduler, self._stamp_bytes)
        async with _beside(self._ask_all(delivery, context), delivery) as asking:
            responses = await delivery.all()
            try:
                await asking
            except Exception as error:
                await _abort(context, error)
            return routed.RoutedGradeBatchResponse(responses=responses)

    async def grade_stream(self, requests: AsyncIterator[routed.RoutedGradeBatchRequest], context: Any) -> None:
        """GradeStream: reads as long as not too much is unanswered, writes as answers come."""
        delivery = Delivery(self._scheduler, self._stamp_bytes)
        async with _beside(self._ask_stream(delivery, requests), delivery) as asking:
            while responses := await delivery.next():
                await context.write(routed.RoutedGradeBatchResponse(responses=responses))
            await asking

    async def run(self, request: wire.RunRequest, context: Any) -> wire.RunResponse:
        """Run: one program, its output."""
        if len(request.source) > self._max_program_bytes:
            return wire.RunResponse(verdict=wire.COMPILE_ERROR, message=self._too_large, engine=self._stamp)
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def emit(results: list[bytes]) -> None:
            if not answered.done():  # a caller that has just gone: its job is cancelled in a moment
                answered.set_result(results[0])

        job = None
        try:
            suite, data = self._suites.run_request(request)
            job = Job(
                call=Call(),
                suite=suite,
                pending=deque([(0, data)]),
                emit=emit,
                fault=lambda _index, _source, why: _run_fault(why),
                run=True,
            )
            self._scheduler.submit(job)
        except Exception as error:
            await _abort(context, error)
        try:
            response = wire.RunResponse.FromString(await answered)
        finally:
            self._scheduler.cancel(job)
        response.engine.CopyFrom(self._stamp)
        return response

    async def info(self, request: wire.InfoRequest, context: Any) -> wire.InfoResponse:
        """Info: what this engine is and offers."""
        if self._cache is None:
            return self._info
        info = wire.InfoResponse(cache=self._cache.info())
        info.MergeFrom(self._info)
        return info

    # --- requests: each of these ends with delivery.close(), and takes back what it asked when it fails ---

    async def _ask_one(self, delivery: Delivery, context: Any) -> None:
        try:
            request = await self._one(context)
            await self._ask(delivery, delivery.open(request.request_id), request)
        except Exception:
            delivery.drop()
            raise
        finally:
            delivery.close()

    async def _ask_all(self, delivery: Delivery, context: Any) -> None:
        try:
            batch = await self._one(context)
            if len(batch.requests) > MAX_BATCH_REQUESTS:
                raise InvalidSuite("requests", f"{len(batch.requests)} are more than {MAX_BATCH_REQUESTS}")
            tests = 0
            for one in batch.requests:
                tests += await self._ask_or_fail(delivery, one)
                if tests > MAX_BATCH_TESTS:
                    raise InvalidSuite("requests", f"more than {MAX_BATCH_TESTS} test results in one answer")
        except Exception:
            delivery.drop()
            raise
        finally:
            delivery.close()

    async def _ask_stream(self, delivery: Delivery, requests: AsyncIterator[routed.RoutedGradeBatchRequest]) -> None:
        try:
            async for batch in requests:
                for one in batch.requests:
                    await delivery.fewer_than(STREAM_IN_FLIGHT)
                    await self._ask_or_fail(delivery, one, waits=True)
        finally:
            delivery.close()

    async def _one(self, context: Any) -> Any:
        """The one message of a call. Raises InvalidSuite when it does not come."""
        async with self._reading:
            with contextlib.suppress(TimeoutError):
                message = await asyncio.wait_for(context.read(), READING_TIMEOUT_S)
                if message is not grpc.aio.EOF:
                    return message
        raise InvalidSuite("", "there was no request")

    async def _ask_or_fail(self, delivery: Delivery, request: routed.RoutedGradeRequest, *, waits: bool = False) -> int:
        """Asks one request of several; what is wrong with it is told in its own answer.

        Returns how many test results the answer will have.
        """
        answer = delivery.open(request.request_id)
        try:
            return await self._ask(delivery, answer, request, waits=waits)
        except Exception as error:
            delivery.fail(answer, error_detail(error).SerializeToString())
            return 0

    async def _ask(
        self, delivery: Delivery, answer: Answer, request: routed.RoutedGradeRequest, *, waits: bool = False
    ) -> int:
        """Answers what needs no run and submits the rest. waits: for room in the queue, instead of QueueFull.

        Returns how many test results the answer will have.
        """
        suite = self._suites.find(request)
        index = request.first_index
        if index + len(request.programs) > _MAX_INDEX:
            raise InvalidSuite("first_index", f"with the programs above {_MAX_INDEX}")
        if len(request.programs) > MAX_PROGRAMS:
            raise InvalidSuite("programs", f"{len(request.programs)} are more than {MAX_PROGRAMS} in one request")
        pending: deque[tuple[int, bytes]] = deque()
        for source in request.programs:
            if len(source) > self._max_program_bytes:
                refusal = own_result(index, source, suite.tests, wire.COMPILE_ERROR, self._too_large)
                await delivery.add_own(answer, [refusal])
            else:
                pending.append((index, source))
            index += 1
        emit = partial(delivery.add, answer)
        if self._cached is not None:
            known = self._cached.of(suite, request.stop_early)
            if not request.fresh:
                pending = await known.answer(delivery, answer, pending)
            emit = partial(known.emit, emit)
        if pending:
            if waits:
                await self._scheduler.room()
            job = Job(
                call=delivery.call,
                suite=suite,
                pending=pending,
                emit=emit,
                fault=partial(_fault, suite),
                stop_early=request.stop_early,
            )
            answer.job = job
            try:
                self._scheduler.submit(job)
            except BaseException:
                answer.job = None
                raise
        delivery.asked(answer)
        return suite.tests * len(request.programs)


def _fault(suite: SuiteEntry, index: int, source: bytes, why: str) -> bytes:
    return own_result(index, source, suite.tests, wire.ENGINE_ERROR, why)


def _run_fault(why: str) -> bytes:
    return wire.RunResponse(verdict=wire.ENGINE_ERROR, message=why).SerializeToString()


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None], delivery: Delivery) -> AsyncIterator["asyncio.Task[None]"]:
    """What asks for a call, as a task, while the call is told the answers; both end together."""
    asking = asyncio.create_task(work)
    try:
        yield asking
    finally:
        asking.cancel()
        delivery.drop()
        await asyncio.gather(asking, return_exceptions=True)


async def _abort(context: Any, error: Exception) -> NoReturn:
    detail = error_detail(error)
    status = next(code for code in grpc.StatusCode if code.value[0] == detail.code)
    text = f"{detail.field}: {detail.message}" if detail.field else detail.message
    await context.abort(status, text, ((ERROR_KEY, detail.SerializeToString()),))
    raise AssertionError("abort raises")
