"""The gRPC service: its methods, and how errors are told. What they ask for is in `asking`.

Requests are read as RoutedGradeRequest and results sent as RoutedGradeResponse: suites, programs
and results pass through as bytes.
"""

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from functools import partial
from typing import Any, NoReturn

import grpc

from gradebox_engine.asking import Asker, error_detail, too_large
from gradebox_engine.cache import Cache
from gradebox_engine.cached import CachedGrading
from gradebox_engine.calls import current_call, log_programs
from gradebox_engine.config import EngineConfig
from gradebox_engine.delivery import Delivery
from gradebox_engine.idempotency import KeyedRequests
from gradebox_engine.metrics import Meter
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.suites import Image, Suites
from gradebox_engine.work import Job
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

ERROR_KEY = "gradebox-error-bin"  # trailing metadata: a serialized ErrorDetail


class GradingService:
    """Serves gradebox.v1.Grading. `info` is what Info answers; its stamp goes with every answer."""

    def __init__(
        self,
        config: EngineConfig,
        scheduler: Scheduler,
        image: Image,
        info: wire.InfoResponse,
        cache: Cache | None,
        meter: Meter,
    ) -> None:
        self._scheduler = scheduler
        self._max_program_bytes = config.max_program_bytes
        self._suites = Suites(image, config.ceilings)
        self._info = info
        self._stamp = wire.EngineStamp(
            version=info.version,
            image=f"{image.name}@{image.digest}",
            protections=info.protections,
        )
        self._stamp_bytes = self._stamp.SerializeToString()
        self._cache = cache
        self._meter = meter
        self._log_programs = config.log_programs
        cached = CachedGrading(cache, self._stamp_bytes) if cache is not None else None
        self._keyed = KeyedRequests(scheduler)
        self._asker = Asker(scheduler, self._suites, cached, self._keyed, config)

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
                "Abandon": grpc.unary_unary_rpc_method_handler(
                    self.abandon, wire.AbandonRequest.FromString, wire.AbandonResponse.SerializeToString
                ),
                "Info": grpc.unary_unary_rpc_method_handler(
                    self.info, wire.InfoRequest.FromString, wire.InfoResponse.SerializeToString
                ),
            },
        )

    async def grade(self, requests: AsyncIterator[routed.RoutedGradeRequest], context: Any) -> None:
        """Grade: one request, a stream of answers."""
        delivery = Delivery(self._scheduler, self._stamp_bytes, self._meter)
        with _beside(self._asker.one(delivery, context), delivery, context) as asking:
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
        delivery = Delivery(self._scheduler, self._stamp_bytes, self._meter)
        with _beside(self._asker.all(delivery, context), delivery, context) as asking:
            responses = await delivery.all()
            try:
                await asking
            except Exception as error:
                await _abort(context, error)
            return routed.RoutedGradeBatchResponse(responses=responses)

    async def grade_stream(self, requests: AsyncIterator[routed.RoutedGradeBatchRequest], context: Any) -> None:
        """GradeStream: reads as long as not too much is unanswered, writes as answers come."""
        delivery = Delivery(self._scheduler, self._stamp_bytes, self._meter)
        with _beside(self._asker.stream(delivery, requests), delivery, context) as asking:
            while responses := await delivery.next():
                await context.write(routed.RoutedGradeBatchResponse(responses=responses))
            await asking

    async def run(self, request: wire.RunRequest, context: Any) -> wire.RunResponse:
        """Run: one program, its output."""
        if len(request.source) > self._max_program_bytes:
            return wire.RunResponse(
                verdict=wire.COMPILE_ERROR, message=too_large(self._max_program_bytes), engine=self._stamp
            )
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def emit(results: list[bytes]) -> None:
            if not answered.done():  # a caller that has just gone: its job is cancelled in a moment
                answered.set_result(results[0])

        call, keyed = current_call(), None
        if self._log_programs:
            log_programs(0, [request.source])
        try:
            key, request.idempotency_key = request.idempotency_key, ""
            suite, data = self._suites.run_request(request)
            if key:
                keyed = self._keyed.open(call.tenant, key, hashlib.sha256(data).digest())
                self._keyed.join(keyed, answered, call, emit)
                if keyed.results:
                    emit(keyed.results)
            job = Job(
                call=call,
                suite=suite,
                pending=deque([(0, data)]),
                emit=emit if keyed is None else partial(self._keyed.record, keyed),
                fault=lambda _index, _source, why: _run_fault(why),
                run=True,
            )
            if keyed is None or not keyed.is_submitted:
                self._scheduler.submit(job)
                if keyed is not None:
                    keyed.job = job
                    self._keyed.submitted(keyed)
        except Exception as error:
            if keyed is not None:
                self._keyed.leave(keyed, answered)
            await _abort(context, error)
        try:
            response = wire.RunResponse.FromString(await answered)
        finally:
            if keyed is None:
                self._scheduler.cancel(job)
            else:
                self._keyed.leave(keyed, answered, context.time_remaining())
        response.engine.CopyFrom(self._stamp)
        self._meter.run(job.call, response)
        return response

    async def abandon(self, request: wire.AbandonRequest, context: Any) -> wire.AbandonResponse:
        """Abandon: what nobody waits for is not run."""
        self._keyed.abandon(current_call().tenant, list(request.idempotency_keys))
        return wire.AbandonResponse()

    async def info(self, request: wire.InfoRequest, context: Any) -> wire.InfoResponse:
        """Info: what this engine is and offers."""
        if self._cache is None:
            return self._info
        info = wire.InfoResponse(cache=self._cache.info())
        info.MergeFrom(self._info)
        return info


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
    await context.abort(status, text, (*context.trailing_metadata(), (ERROR_KEY, detail.SerializeToString())))
    raise AssertionError("abort raises")
