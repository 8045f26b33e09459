"""The gRPC service: its methods, and how errors are told. What they ask for is in `asking`.

Requests are read as RoutedGradeRequest and results sent as RoutedGradeResponse: suites, programs
and results pass through as bytes. gRPC takes messages up to twice the size that the engine does, since what it says
of larger ones is of no use to a caller.
"""

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, NoReturn

import grpc

from gradebox_engine.asking import Asker, error_detail, parsed, too_large
from gradebox_engine.cache import Cache
from gradebox_engine.cached import CachedGrading
from gradebox_engine.calls import current_call, log_programs
from gradebox_engine.config import EngineConfig
from gradebox_engine.delivery import Delivery, HandedBack
from gradebox_engine.details import STATUS_KEY, status_bytes
from gradebox_engine.idempotency import KeyedRequests
from gradebox_engine.metrics import Meter
from gradebox_engine.quotas import QuotaPassed
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.suites import Images, Suites
from gradebox_engine.tenants import Tenant, Tenants
from gradebox_engine.work import Call, Job, SuiteEntry
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

ERROR_KEY = "gradebox-error-bin"  # trailing metadata: a serialized ErrorDetail


class GradingService:
    """Serves gradebox.v1.Grading. `info` is what Info answers; its stamp goes with every answer."""

    def __init__(
        self,
        config: EngineConfig,
        scheduler: Scheduler,
        images: Images,
        info: wire.InfoResponse,
        cache: Cache | None,
        meter: Meter,
        tenants: Tenants,
    ) -> None:
        self._scheduler = scheduler
        self._max_program_bytes = config.max_program_bytes
        self._max_message_bytes = config.max_message_bytes
        self._tenants = tenants
        self._under_way: set[Callable[[], None]] = set()  # calls, each by what hands it back
        self._idle = asyncio.Event()
        self.suites = Suites(images, config.ceilings)
        self._info = info
        self._stamps = {
            "" if image is images.own else image.full_name: wire.EngineStamp(
                version=info.version, image=image.full_name, protections=info.protections
            )
            for image in images.offered
        }
        stamps = {name: stamp.SerializeToString() for name, stamp in self._stamps.items()}
        self._stamp_bytes = stamps[""]
        self._cache = cache
        self._meter = meter
        self._log_programs = config.log_programs
        cached = CachedGrading(cache, self._stamp_bytes) if cache is not None else None
        self._keyed = KeyedRequests(scheduler, grace_s=config.lost_calls_s)
        self._asker = Asker(scheduler, self.suites, cached, self._keyed, config, stamps)

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to serve this."""
        service = wire.DESCRIPTOR.services_by_name["Grading"]
        batch_out = routed.RoutedGradeBatchResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            service.full_name,
            {  # where programs come, without deserializers: `parsed` has better to say of what cannot be read
                "Grade": grpc.stream_stream_rpc_method_handler(
                    self.grade, None, routed.RoutedGradeResponse.SerializeToString
                ),
                "GradeBatch": grpc.stream_unary_rpc_method_handler(self.grade_batch, None, batch_out),
                "GradeStream": grpc.stream_stream_rpc_method_handler(self.grade_stream, None, batch_out),
                "Run": grpc.unary_unary_rpc_method_handler(self.run, None, wire.RunResponse.SerializeToString),
                "Abandon": grpc.unary_unary_rpc_method_handler(
                    self.abandon, wire.AbandonRequest.FromString, wire.AbandonResponse.SerializeToString
                ),
                "Info": grpc.unary_unary_rpc_method_handler(
                    self.info, wire.InfoRequest.FromString, wire.InfoResponse.SerializeToString
                ),
            },
        )

    async def grade(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """Grade: one request, a stream of answers."""
        async with self._delivery(context) as delivery:
            with _beside(self._asker.one(delivery, context), delivery, context) as asking:
                while responses := await delivery.next():
                    for response in responses:
                        await context.write(response)
                await asking

    async def grade_batch(self, requests: AsyncIterator[bytes], context: Any) -> routed.RoutedGradeBatchResponse:
        """GradeBatch: the answers all at once, in the order of the requests."""
        async with self._delivery(context) as delivery:
            with _beside(self._asker.all(delivery, context), delivery, context) as asking:
                responses = await delivery.all()
                await asking
        return routed.RoutedGradeBatchResponse(responses=responses)

    async def grade_stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        """GradeStream: reads as long as not too much is unanswered, writes as answers come."""
        async with self._delivery(context) as delivery:
            with _beside(self._asker.stream(delivery, requests), delivery, context) as asking:
                while responses := await delivery.next():
                    await context.write(routed.RoutedGradeBatchResponse(responses=responses))
                await asking

    async def run(self, message: bytes, context: Any) -> wire.RunResponse:
        """Run: one program, its output."""
        async with self._aborting(context):
            tenant, call = self._caller(context)
            tenant.quotas.request()
            request = parsed(wire.RunRequest, message, self._max_message_bytes)
            if len(request.source) > self._max_program_bytes:
                return wire.RunResponse(
                    verdict=wire.COMPILE_ERROR, message=too_large(self._max_program_bytes), engine=self._stamps[""]
                )
            suite, data = self.suites.run_request(request)
            response = await self._run(request, suite, data, tenant, call, context)
        response.engine.CopyFrom(self._stamps[suite.image])
        self._meter.run(call, response)
        return response

    async def _run(
        self, request: wire.RunRequest, suite: SuiteEntry, data: bytes, tenant: Tenant, call: Call, context: Any
    ) -> wire.RunResponse:
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def emit(results: list[bytes]) -> None:
            if not answered.done():  # a caller that has just gone: its job is cancelled in a moment
                answered.set_result(results[0])

        def hand_back() -> None:
            if not answered.done():
                answered.set_exception(HandedBack())

        keyed = job = None
        if self._log_programs:
            log_programs(0, [request.source])
        key = request.idempotency_key
        left_s = None
        try:
            if key:
                keyed = self._keyed.open(call.tenant, key, hashlib.sha256(data).digest())
                self._keyed.join(keyed, answered, call, emit)
                if keyed.results:
                    emit(keyed.results)
            if keyed is None or not keyed.is_submitted:
                tenant.quotas.programs(1)
                job = Job(
                    call=call,
                    suite=suite,
                    pending=deque([(0, data)]),
                    emit=emit if keyed is None else partial(self._keyed.record, keyed),
                    fault=lambda _index, _source, why: _run_fault(why),
                    run=True,
                )
                self._scheduler.submit(job)
                if keyed is not None:
                    keyed.job = job
                    self._keyed.submitted(keyed)
            with self._counted(hand_back):
                return wire.RunResponse.FromString(await answered)
        except asyncio.CancelledError:
            left_s = context.time_remaining()
            raise
        finally:
            if keyed is not None:
                self._keyed.leave(keyed, answered, left_s)
            elif job is not None:
                self._scheduler.cancel(job)

    async def abandon(self, request: wire.AbandonRequest, context: Any) -> wire.AbandonResponse:
        """Abandon: what nobody waits for is not run."""
        async with self._aborting(context):
            _, call = self._caller(context)
        self._keyed.abandon(call.tenant, list(request.idempotency_keys))
        return wire.AbandonResponse()

    async def info(self, request: wire.InfoRequest, context: Any) -> wire.InfoResponse:
        """Info: what this engine is and offers."""
        async with self._aborting(context):
            self._caller(context)
        if self._cache is None:
            return self._info
        info = wire.InfoResponse(cache=self._cache.info())
        info.MergeFrom(self._info)
        return info

    async def drain(self, seconds: float) -> None:
        """Waits until no call is under way, for `seconds` at most; hands back what is then not answered."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._under_way:
                    self._idle.clear()
                    await self._idle.wait()
        for hand_back in list(self._under_way):
            hand_back()

    def _caller(self, context: Any) -> tuple[Tenant, Call]:
        """Who calls, and the call as theirs. Raises Unauthenticated."""
        tenant = self._tenants.of(context.invocation_metadata() or ())
        call = current_call()
        call.tenant, call.share = tenant.name, tenant.share
        return tenant, call

    @contextlib.asynccontextmanager
    async def _delivery(self, context: Any) -> AsyncIterator[Delivery]:
        """The delivery of a call, which counts as under way; errors end the call."""
        async with self._aborting(context):
            tenant, call = self._caller(context)
            delivery = Delivery(self._scheduler, self._stamp_bytes, self._meter, call, tenant.quotas)
            with self._counted(delivery.hand_back):
                yield delivery

    @contextlib.contextmanager
    def _counted(self, hand_back: Callable[[], None]) -> Iterator[None]:
        self._under_way.add(hand_back)
        try:
            yield
        finally:
            self._under_way.discard(hand_back)
            self._idle.set()

    @contextlib.asynccontextmanager
    async def _aborting(self, context: Any) -> AsyncIterator[None]:
        """Errors end the call, with all that is known of them."""
        try:
            yield
        except Exception as error:
            await _abort(context, error)


def _run_fault(why: str) -> bytes:
    return wire.RunResponse(verdict=wire.ENGINE_ERROR, message=why).SerializeToString()


@contextlib.contextmanager
def _beside(work: Coroutine[Any, Any, None], delivery: Delivery, context: Any) -> Iterator["asyncio.Task[None]"]:
    """What asks for a call, as a task, while the call is told the answers; both end together."""
    asking = asyncio.create_task(work)
    asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # a call that is gone asks for neither
    try:
        yield asking
    finally:
        asking.cancel()
        delivery.drop(context.time_remaining())


async def _abort(context: Any, error: Exception) -> NoReturn:
    detail = error_detail(error)
    status = next(code for code in grpc.StatusCode if code.value[0] == detail.code)
    text = f"{detail.field}: {detail.message}" if detail.field else detail.message
    standard = status_bytes(detail, error.quota if isinstance(error, QuotaPassed) else None)
    told = ((ERROR_KEY, detail.SerializeToString()), (STATUS_KEY, standard))
    await context.abort(status, text, (*context.trailing_metadata(), *told))
    raise AssertionError("abort raises")
