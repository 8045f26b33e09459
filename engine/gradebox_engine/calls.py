"""What is told of every gRPC call when it ends: one line in the log, one count, and a span where calls are traced.

An interceptor, the outermost, so that refusals of others are told of, too. A call's id is its `x-request-id`, or made
here where there is none that can be used; it stands in every line of the log that the call causes, and in the
trailing metadata of its answer.

A stream of bulk work is one call, so one line; but a caller that makes a call for each small batch makes thousands a
second. So at level info no more than LINES_PER_S are written, and the next one says how many were not; calls that only
ask what the engine is, or whether it is well, are told of at level debug, at which all lines are written.
"""

import asyncio
import contextlib
import inspect
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc
import structlog

from gradebox_engine.metrics import Meter
from gradebox_engine.tracing import Tracing
from gradebox_engine.work import Call

REQUEST_ID_KEY = "x-request-id"
LINES_PER_S = 20
LOGGED_PROGRAM_BYTES = 64 << 10
_REQUEST_ID = re.compile(r"[\w.:/=+@-]{1,128}", re.ASCII)
_OWN = "/gradebox.v1.Grading/"
_QUIET = ("Info", "grpc.")  # how the names of such methods begin
_log = structlog.get_logger("calls")


@dataclass(slots=True, eq=False)
class Told:
    """What is known of a call that is under way."""

    request_id: str
    method: str
    call: Call = field(default_factory=Call)


_current: ContextVar[Told | None] = ContextVar("call", default=None)


def current_call() -> Call:
    """The call that this code works for: who it is for is set here, once known, and its programs are counted here."""
    told = _current.get()
    return told.call if told is not None else Call()


def log_programs(index: int, sources: list[bytes]) -> None:
    """Writes programs into the log: for those who have asked for it (`log_programs`)."""
    for offset, source in enumerate(sources):
        text = source[:LOGGED_PROGRAM_BYTES].decode("utf-8", "backslashreplace")
        _log.info("program", index=index + offset, size_bytes=len(source), source=text)


class CallObserver(grpc.aio.ServerInterceptor):
    """See the module's text."""

    def __init__(self, meter: Meter, tracing: Tracing | None = None, *, all_lines: bool = False) -> None:
        self._meter = meter
        self._tracing = tracing
        self._lines = _Lines(all_lines)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """Wraps what handles the method."""
        handler = await continuation(details)
        if handler is None:
            self._meter.called("", "unknown", "UNIMPLEMENTED", 0.0)
            return None
        method = details.method.removeprefix(_OWN).removeprefix("/")
        told = Told(_request_id(details.invocation_metadata), method)
        inner = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        behaviour = self._generating(inner, told, details) if inspect.isasyncgenfunction(inner) else None
        behaviour = behaviour or self._awaiting(inner, told, details)
        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        return make(behaviour, handler.request_deserializer, handler.response_serializer)

    def _awaiting(self, inner: Any, told: Told, details: grpc.HandlerCallDetails) -> Any:
        async def behaviour(request: Any, context: Any) -> Any:
            with self._observed(told, details, context):
                return await inner(request, context)

        return behaviour

    def _generating(self, inner: Any, told: Told, details: grpc.HandlerCallDetails) -> Any:
        async def behaviour(request: Any, context: Any) -> AsyncIterator[Any]:
            with self._observed(told, details, context):
                async for response in inner(request, context):
                    yield response

        return behaviour

    @contextlib.contextmanager
    def _observed(self, told: Told, details: grpc.HandlerCallDetails, context: Any) -> Iterator[None]:
        begun_s = time.monotonic()
        _current.set(told)
        structlog.contextvars.bind_contextvars(request_id=told.request_id)
        context.set_trailing_metadata(((REQUEST_ID_KEY, told.request_id),))
        trace = None
        if self._tracing is not None:
            trace = told.call.trace = self._tracing.begin(told.method, told.request_id, details.invocation_metadata)
        self._meter.began(told.call)
        code = grpc.StatusCode.OK
        try:
            yield
            code = _code(context) or grpc.StatusCode.OK
        except (asyncio.CancelledError, GeneratorExit):
            left_s = context.time_remaining()
            is_late = left_s is not None and left_s <= 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
            raise
        except BaseException:
            code = _code(context) or grpc.StatusCode.UNKNOWN
            raise
        finally:
            seconds = time.monotonic() - begun_s
            self._meter.ended(told.call)
            self._meter.called(told.call.tenant, told.method, code.name, seconds)
            if trace is not None:
                trace.end(code.name, told.call)
            self._lines.write(told, code.name, seconds)


class _Lines:
    """The lines of the log, not too many."""

    def __init__(self, all_lines: bool) -> None:
        self._all = all_lines
        self._second = 0
        self._written = 0
        self._left_out = 0

    def write(self, told: Told, code: str, seconds: float) -> None:
        line: dict[str, Any] = {
            "method": told.method,
            "request_id": told.request_id,
            "tenant": told.call.tenant,
            "programs": told.call.answered,
            "duration_s": round(seconds, 4),
            "code": code,
        }
        if told.method.startswith(_QUIET) and code == "OK":
            _log.debug("call", **line)
            return
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._written = second, 0
        if self._written >= LINES_PER_S and not self._all:
            self._left_out += 1
            return
        self._written += 1
        if self._left_out:
            line["calls_not_logged"] = self._left_out
            self._left_out = 0
        _log.info("call", **line)


def _request_id(metadata: Any) -> str:
    for key, value in metadata or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex


def _code(context: Any) -> grpc.StatusCode | None:
    """What a handler has set, or aborted with; gRPC tells it as a number or as a StatusCode, 0 for none."""
    code = context.code()
    if not code:
        return None
    if isinstance(code, grpc.StatusCode):
        return code if code is not grpc.StatusCode.OK else None
    return next((known for known in grpc.StatusCode if known.value[0] == code), grpc.StatusCode.UNKNOWN)
