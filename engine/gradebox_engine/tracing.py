"""OpenTelemetry spans of calls, where `otel_endpoint` is set: call → queue → worker.

One span a call, a child of the caller's where its `traceparent` names one; under it one for each request's wait in the
queue and one for each piece of work of a worker, up to MAX_PIECES: bulk work would make a span of everything. Spans
hold ids, counts and codes, no text of programs or tests. They leave in batches, by a thread of OpenTelemetry's own;
what cannot be sent is dropped, and nothing waits for it. Where no endpoint is set, nothing of OpenTelemetry is
imported.
"""

import time
from typing import TYPE_CHECKING, Any

from gradebox_engine.config import EngineConfig
from gradebox_engine.work import Call

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

MAX_PIECES = 200  # spans of the queue, and of workers, a call
END_TIMEOUT_MS = 2000
_EXTRA = "otel_endpoint needs OpenTelemetry: pip install 'gradebox[otel]'"


class CallTrace:
    """The span of one call; a Trace for the scheduler."""

    def __init__(self, tracer: Any, span: Any, context: Any) -> None:
        self._tracer = tracer
        self._span = span
        self._context = context
        self._waits = 0
        self._pieces = 0

    def waited(self, since_s: float, until_s: float) -> None:
        """See work.Trace."""
        self._waits += 1
        if self._waits <= MAX_PIECES:
            self._piece("queue", since_s, until_s, {})

    def worked(self, since_s: float, until_s: float, programs: int) -> None:
        """See work.Trace."""
        self._pieces += 1
        if self._pieces <= MAX_PIECES:
            self._piece("worker", since_s, until_s, {"gradebox.programs": programs})

    def end(self, code: str, call: Call) -> None:
        """The call has ended, with this status code."""
        from opentelemetry.trace import StatusCode

        left_out = max(0, self._waits - MAX_PIECES) + max(0, self._pieces - MAX_PIECES)
        self._span.set_attributes(
            {
                "gradebox.tenant": call.tenant,
                "gradebox.programs": call.answered,
                "gradebox.spans_left_out": left_out,
                "rpc.grpc.status": code,
            }
        )
        if code != "OK":
            self._span.set_status(StatusCode.ERROR, code)
        self._span.end()

    def _piece(self, name: str, since_s: float, until_s: float, attributes: dict[str, int]) -> None:
        now_s, now_ns = time.monotonic(), time.time_ns()
        span = self._tracer.start_span(
            name,
            context=self._context,
            start_time=now_ns - int((now_s - since_s) * 1e9),
            attributes=attributes,
        )
        span.end(end_time=now_ns - int((now_s - until_s) * 1e9))


class Tracing:
    """Makes the spans of calls; `close` sends what is left."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("gradebox")
        self._propagator = TraceContextTextMapPropagator()
        self._kind = SpanKind.SERVER
        self._in_context = set_span_in_context

    def begin(self, method: str, request_id: str, metadata: Any) -> CallTrace:
        """A call begins; metadata: what came with it."""
        carrier = {key: value for key, value in metadata or () if key in ("traceparent", "tracestate")}
        span = self._tracer.start_span(
            method,
            context=self._propagator.extract(carrier),
            kind=self._kind,
            attributes={"rpc.system": "grpc", "rpc.method": method, "gradebox.request_id": request_id},
        )
        return CallTrace(self._tracer, span, self._in_context(span))

    def close(self) -> None:
        """Waits for what is on its way, for END_TIMEOUT_MS at most; for a thread."""
        self._provider.force_flush(END_TIMEOUT_MS)


def open_tracing(config: EngineConfig) -> Tracing | None:
    """What the configuration asks for. Raises RuntimeError where OpenTelemetry is not installed."""
    if config.otel_endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise RuntimeError(_EXTRA) from None
    resource = Resource.create({"service.name": config.otel_service_name})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=config.otel_endpoint)))
    return Tracing(provider)
