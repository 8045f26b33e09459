"""Requests of gRPC calls: read, validated, answered where that needs no run, and else submitted to the scheduler.

What is held in memory is bounded, whatever clients send: what is queued by the scheduler, what a stream
has not answered by STREAM_IN_FLIGHT and by bytes of results, and the one message that a call has sent
beyond that, which waits to be queued or answered, by the largest message. Grade and GradeBatch, for gRPC,
take a stream of which they read one message: a method that takes a message would be given it at once,
however many there are, and gRPC would keep it until the call ends.
"""

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from gradebox_engine.cached import CachedGrading
from gradebox_engine.calls import log_programs
from gradebox_engine.config import EngineConfig
from gradebox_engine.convert import InvalidSuite
from gradebox_engine.delivery import Answer, Delivery, HandedBack
from gradebox_engine.idempotency import Keyed, KeyedRequests, Superseded
from gradebox_engine.quotas import QuotaPassed
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.suites import Suites, UnknownSuite, own_result
from gradebox_engine.tenants import Unauthenticated
from gradebox_engine.work import Job, NoWorkers, QueueFull, SuiteEntry
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

STREAM_IN_FLIGHT = 4096  # programs, or requests, of one stream that are not answered
MAX_PROGRAMS = 1_000_000  # of one request; each costs some 150 bytes, however short
MAX_BATCH_REQUESTS = 10_000
MAX_BATCH_TESTS = 2_000_000  # test results in one answer, of some 50 bytes each
# Messages of Grade and GradeBatch that come in at once, and how long one may take.
READING, READING_TIMEOUT_S = 32, 30.0

_CODES: dict[type[Exception], grpc.StatusCode] = {
    InvalidSuite: grpc.StatusCode.INVALID_ARGUMENT,
    UnknownSuite: grpc.StatusCode.NOT_FOUND,
    QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Superseded: grpc.StatusCode.ABORTED,
    QuotaPassed: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    NoWorkers: grpc.StatusCode.UNAVAILABLE,
    HandedBack: grpc.StatusCode.UNAVAILABLE,
}
_RETRY_S: dict[type[Exception], float] = {QueueFull: 1.0, NoWorkers: 1.0, HandedBack: 0.1}
_MAX_INDEX = 2**32 - 1
_log = structlog.get_logger("asking")


def error_detail(error: Exception) -> wire.ErrorDetail:
    """How an error is told to the caller; one that is not a refusal is the engine's own fault."""
    code = _CODES.get(type(error), grpc.StatusCode.INTERNAL)
    if isinstance(error, InvalidSuite):
        return wire.ErrorDetail(code=code.value[0], message=error.message, field=error.field)
    if type(error) in _CODES:
        retry_s = error.retry_s if isinstance(error, QuotaPassed) else _RETRY_S.get(type(error), 0.0)
        return wire.ErrorDetail(code=code.value[0], message=str(error), retry_after_s=retry_s)
    _log.error("fault", exc_info=error)
    text = f"{type(error).__name__}: {error}"
    return wire.ErrorDetail(code=code.value[0], message=text)


def too_large(max_bytes: int) -> str:
    """What is said of a program above `max_bytes`."""
    return f"the program is larger than {max_bytes} bytes"


def parsed[M: Message](kind: type[M], data: bytes, max_bytes: int) -> M:
    """A message that a caller has sent. Raises InvalidSuite."""
    if len(data) > max_bytes:
        text = f"a message of {len(data)} bytes, and this engine takes {max_bytes}: send fewer programs in one message"
        raise InvalidSuite("", f"{text}, as grade_many and GradeStream do, or raise its max_message_bytes")
    try:
        return kind.FromString(data)
    except DecodeError:
        name = kind.DESCRIPTOR.name.removeprefix("Routed")
        raise InvalidSuite("", f"not a gradebox.v1.{name} message") from None


class Asker:
    """Asks for programs to be graded; answers come by the call's delivery, which is closed after its last request.

    What raises takes back what the call has asked for. cached: None where results are not kept. stamps: serialized
    EngineStamps, by image, for images other than the engine's own.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        suites: Suites,
        cached: CachedGrading | None,
        keyed: KeyedRequests,
        config: EngineConfig,
        stamps: Mapping[str, bytes],
    ) -> None:
        self._scheduler = scheduler
        self._stamps = stamps
        self._keyed = keyed
        self._suites = suites
        self._cached = cached
        self._max_program_bytes = config.max_program_bytes
        self._max_message_bytes = config.max_message_bytes
        self._log_programs = config.log_programs
        self._reading = asyncio.Semaphore(READING)

    async def one(self, delivery: Delivery, context: Any) -> None:
        """The one request of a call. Raises what is wrong with it."""
        try:
            request = await self._one(routed.RoutedGradeRequest, context)
            await self._ask(delivery, delivery.open(request.request_id), request)
        except Exception:
            delivery.drop()
            raise
        finally:
            delivery.close()

    async def all(self, delivery: Delivery, context: Any) -> None:
        """The one batch of a call. Raises InvalidSuite when it is too much for one answer."""
        try:
            batch = await self._one(routed.RoutedGradeBatchRequest, context)
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

    async def stream(self, delivery: Delivery, messages: AsyncIterator[bytes]) -> None:
        """All batches of a call, as far as not too much is unanswered. Raises InvalidSuite for one that is none."""
        try:
            async for message in messages:
                batch = parsed(routed.RoutedGradeBatchRequest, message, self._max_message_bytes)
                for one in batch.requests:
                    await delivery.fewer_than(STREAM_IN_FLIGHT)
                    await self._ask_or_fail(delivery, one, waits=True)
        finally:
            delivery.close()

    async def _one[M: Message](self, kind: type[M], context: Any) -> M:
        """The one message of a call. Raises InvalidSuite when it does not come, or is none."""
        async with self._reading:
            with contextlib.suppress(TimeoutError):
                message = await asyncio.wait_for(context.read(), READING_TIMEOUT_S)
                if message is not grpc.aio.EOF:
                    return parsed(kind, message, self._max_message_bytes)
        raise InvalidSuite("", "there was no request")

    async def _room(self, delivery: Delivery, count: int, waits: bool) -> None:
        """For so many programs. A job submitted before the next `await` passes no quota."""
        check = partial(delivery.quotas.programs, count)
        while waits:
            await self._scheduler.room(delivery.call)
            with contextlib.suppress(QuotaPassed):
                return check()
            await delivery.quotas.wait(check)
        check()

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
        """Answers what needs no run and submits the rest. waits: for room in the queue and for quotas, instead of
        raising QueueFull or, where that would not take long, QuotaPassed.

        Returns how many test results the answer will have.
        """
        quotas = delivery.quotas
        if waits:
            await quotas.wait(quotas.request)
        else:
            quotas.request()
        suite = self._suites.find(request)
        answer.stamp = self._stamps.get(suite.image, b"")
        if request.first_index + len(request.programs) > _MAX_INDEX:
            raise InvalidSuite("first_index", f"with the programs above {_MAX_INDEX}")
        if len(request.programs) > MAX_PROGRAMS:
            raise InvalidSuite("programs", f"{len(request.programs)} are more than {MAX_PROGRAMS} in one request")
        if quotas.most_programs is not None and len(request.programs) > quotas.most_programs:
            text = f"{len(request.programs)} in one request, and the quota is {quotas.most_programs} in flight"
            raise InvalidSuite("programs", text)
        if self._log_programs:
            log_programs(request.first_index, list(request.programs))
        keyed = None
        if request.idempotency_key:
            digest = _digest(request, suite)
            keyed = self._keyed.open(delivery.call.tenant, request.idempotency_key, digest)
            self._listen(delivery, answer, keyed)
        if keyed is None or not keyed.is_submitted:
            try:
                await self._submit(delivery, answer, request, suite, keyed, waits=waits)
            except BaseException:
                if answer.leave is not None:
                    answer.leave(0.0)
                    answer.leave = None
                raise
        delivery.asked(answer)
        return suite.tests * len(request.programs)

    def _listen(self, delivery: Delivery, answer: Answer, keyed: Keyed) -> None:
        """The call gets the results of a keyed request: those that are there, and those that come."""
        answer.leave = partial(self._keyed.leave, keyed, answer)
        answer.emit = partial(self._keyed.record, keyed)
        answer.job = keyed.job
        self._keyed.join(keyed, answer, delivery.call, partial(delivery.add, answer))
        delivery.call.uncollected_bytes += keyed.bytes_there()
        delivery.add(answer, keyed.results)

    async def _submit(
        self,
        delivery: Delivery,
        answer: Answer,
        request: routed.RoutedGradeRequest,
        suite: SuiteEntry,
        keyed: Keyed | None,
        *,
        waits: bool,
    ) -> None:
        """Answers what needs no run, and submits the rest. waits: see `_ask`."""
        pending: deque[tuple[int, bytes]] = deque()
        for index, source in enumerate(request.programs, request.first_index):
            if len(source) > self._max_program_bytes:
                refusal = own_result(index, source, suite.tests, wire.COMPILE_ERROR, too_large(self._max_program_bytes))
                await delivery.add_own(answer, [refusal])
            else:
                pending.append((index, source))
        emit = answer.emit
        if self._cached is not None:
            known = self._cached.of(suite, request.stop_early)
            if not request.fresh:
                pending = await known.answer(delivery, answer, pending)
            emit = partial(known.emit, emit)
        if pending:
            await self._room(delivery, len(pending), waits)
            if keyed is not None and not self._keyed.is_current(keyed):
                raise Superseded("another call has brought the same request since")
            job = Job(
                call=delivery.call,
                suite=suite,
                pending=pending,
                emit=emit,
                fault=partial(_fault, suite),
                stop_early=request.stop_early,
                request_id=request.request_id,
            )
            answer.job = job
            if keyed is not None:
                keyed.job = job
            try:
                self._scheduler.submit(job)
            except BaseException:
                answer.job = None
                if keyed is not None:
                    keyed.job = None
                raise
        if keyed is not None:
            self._keyed.submitted(keyed)


def _digest(request: routed.RoutedGradeRequest, suite: SuiteEntry) -> bytes:
    """Of everything that the answer to a request depends on."""
    digest = hashlib.sha256(suite.key)
    digest.update(b"%d %d %d" % (request.stop_early, request.fresh, request.first_index))
    for source in request.programs:
        digest.update(hashlib.sha256(source).digest())
    return digest.digest()


def _fault(suite: SuiteEntry, index: int, source: bytes, why: str) -> bytes:
    return own_result(index, source, suite.tests, wire.ENGINE_ERROR, why)
