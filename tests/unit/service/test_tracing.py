"""Spans of calls, queue and workers; and that nothing of OpenTelemetry is there where no endpoint is set."""

import subprocess
import sys
import threading
from concurrent import futures
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import gradebox
from gradebox_engine import tracing
from gradebox_engine.calls import REQUEST_ID_KEY
from gradebox_engine.config import load_config
from gradebox_engine.tracing import Tracing, open_tracing
from gradebox_engine.work import Call
from gradebox_proto.v1 import grading_pb2 as wire

from .conftest import StartFront

SECRET = "secret-of-a-program"
PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def in_memory(exporter: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


def named(spans: tuple[ReadableSpan, ...], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


async def test_a_call_has_its_queue_and_its_workers_below_it(
    start_front: StartFront, exporter: InMemorySpanExporter, in_memory: Tracing
) -> None:
    front = await start_front(tracing=in_memory)
    metadata = (("traceparent", f"00-{PARENT[0]}-{PARENT[1]}-01"), (REQUEST_ID_KEY, "job-7"))
    async with grpc.aio.insecure_channel(front.target) as channel:
        await channel.unary_unary(
            "/gradebox.v1.Grading/Run",
            request_serializer=wire.RunRequest.SerializeToString,
            response_deserializer=wire.RunResponse.FromString,
        )(wire.RunRequest(source=SECRET.encode()), metadata=metadata)
    await front.server.stop(5)
    spans = exporter.get_finished_spans()
    (call,), (queue,), (worker,) = named(spans, "Run"), named(spans, "queue"), named(spans, "worker")
    assert call.parent is not None and f"{call.parent.span_id:016x}" == PARENT[1]
    for span in (call, queue, worker):
        assert f"{span.context.trace_id:032x}" == PARENT[0]
        assert span.start_time is not None and span.end_time is not None and span.start_time <= span.end_time
    for span in (queue, worker):
        assert span.parent is not None and span.parent.span_id == call.context.span_id
    assert call.attributes is not None
    assert call.attributes["gradebox.request_id"] == "job-7"
    assert (call.attributes["gradebox.programs"], call.attributes["rpc.grpc.status"]) == (1, "OK")
    assert SECRET not in "".join(span.to_json() for span in spans)


async def test_bulk_work_has_no_end_of_spans(
    start_front: StartFront, exporter: InMemorySpanExporter, in_memory: Tracing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "MAX_PIECES", 5)
    front = await start_front(tracing=in_memory)
    async with gradebox.AsyncClient(front.target) as client:
        items = [gradebox.GradeItem(gradebox.Problem([f"t{key}"]), ["a"], key) for key in range(40)]
        assert len([graded async for graded in client.grade_many(items)]) == 40
        with pytest.raises(gradebox.InvalidRequest):
            await client.run("program", language="cobol")
    await front.server.stop(5)
    spans = exporter.get_finished_spans()
    (stream,) = named(spans, "GradeStream")
    assert (len(named(spans, "queue")), len(named(spans, "worker"))) == (5, 5)
    assert stream.attributes is not None
    assert int(str(stream.attributes["gradebox.spans_left_out"])) >= 35
    (refused,) = named(spans, "Run")
    assert not refused.status.is_ok and refused.status.description == "INVALID_ARGUMENT"


def test_spans_reach_a_collector() -> None:
    received: list[Any] = []
    came = threading.Event()

    def export(request: Any, context: Any) -> Any:
        received.append(request)
        came.set()
        return otlp.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    handler = grpc.unary_unary_rpc_method_handler(
        export, otlp.ExportTraceServiceRequest.FromString, otlp.ExportTraceServiceResponse.SerializeToString
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        config = load_config({"otel_endpoint": f"http://127.0.0.1:{port}", "otel_service_name": "graders"})
        opened = open_tracing(config)
        assert opened is not None
        opened.begin("Grade", "job-7", ()).end("OK", Call(tenant="team"))
        opened.close()
        assert came.wait(30)
    finally:
        server.stop(0)
    (resource,) = received[0].resource_spans
    assert {item.key: item.value.string_value for item in resource.resource.attributes}["service.name"] == "graders"
    assert resource.scope_spans[0].spans[0].name == "Grade"


@pytest.mark.parametrize("name", ["GRADEBOX_OTEL_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_the_endpoint_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert load_config({}).otel_endpoint is None
    monkeypatch.setenv(name, "http://collector:4317")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "graders")
    config = load_config({})
    assert (config.otel_endpoint, config.otel_service_name) == ("http://collector:4317", "graders")
    assert load_config({"otel_endpoint": "http://other:4317"}).otel_endpoint == "http://other:4317"


def test_nothing_is_imported_for_who_does_not_ask() -> None:
    code = (
        "import sys\n"
        "from gradebox_engine.config import load_config\n"
        "from gradebox_engine import fronts, server, tracing\n"
        "assert tracing.open_tracing(load_config({})) is None\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'opentelemetry', 'uvicorn', 'starlette'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
