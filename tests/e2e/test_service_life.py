"""A server as a service: health, reflection, deadlines, drain, what is too much for it, and who is served first."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tests.e2e import footprint
from tests.e2e.service_calls import ENDLESS, GOOD, TESTS, Caller, refusal, tenant
from tests.e2e.serving import Server, send
from tests.waiting import wait_until

import gradebox
from gradebox_proto.v1 import grading_pb2 as wire

pytestmark = pytest.mark.usefixtures("jails")

SLOW = b"import time; time.sleep(1)\n" + GOOD
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
GRADING = "gradebox.v1.Grading"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """One worker, a queue of 100 programs and messages of 1 MiB. Nothing of it may be left after the test."""
    before = footprint.take([], folder / "tmp")
    config = "max_queued_programs = 100\nmax_message_bytes = 1048576\ncanary_s = 1\ndrain_s = 4\n"
    with Server(folder, workers=1, config=config).start() as server:
        yield server
    assert footprint.settled(server.pids, before, server.temporary) == []


def health(caller: Caller, service: str = GRADING) -> int:
    stub: Any = health_pb2_grpc.HealthStub(caller.channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status
    return status


# --- health, reflection -------------------------------------------------------------------------


def test_health_is_that_of_the_jails(server: Server) -> None:
    with Caller(server.target) as caller:
        assert wait_until(lambda: health(caller) == SERVING)
        assert health(caller, "") == SERVING
        with pytest.raises(grpc.RpcError) as caught:
            health(caller, "no.such.Service")
        assert refusal(caught.value).code is grpc.StatusCode.NOT_FOUND
        (worker,) = server.members("worker")
        send(worker, signal.SIGKILL)
        assert wait_until(lambda: server.said("worker ready") == 2)
        assert wait_until(lambda: health(caller) == SERVING)
        assert caller.grade() == [wire.PASSED]


def test_a_server_that_is_busy_is_well(server: Server) -> None:
    with Caller(server.target) as caller, Caller(server.target) as other:
        assert wait_until(lambda: health(caller) == SERVING)
        under_way = other.start(*[SLOW] * 4)
        for _ in range(30):
            assert health(caller) == SERVING
            time.sleep(0.1)
        assert sum(len(answer.results) for answer in under_way) == 4


def test_reflection_names_the_services(server: Server) -> None:
    with Caller(server.target) as caller:
        found = set(ProtoReflectionDescriptorDatabase(caller.channel).get_services())
    assert {GRADING, "grpc.health.v1.Health"} <= found


# --- deadlines, connections ---------------------------------------------------------------------


def test_a_call_past_its_deadline_stops_its_programs(server: Server) -> None:
    with Caller(server.target) as caller:
        with pytest.raises(grpc.RpcError) as caught:
            caller.grade(*[ENDLESS] * 3, timeout_s=1.5, cpu_time_s=200)
        assert refusal(caught.value).code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert wait_until(lambda: not server.members("program"), 5)
        assert caller.grade(timeout_s=20) == [wire.PASSED]


def test_a_call_that_is_cancelled_stops_its_programs(server: Server) -> None:
    with Caller(server.target) as caller:
        call = caller.start(ENDLESS, cpu_time_s=200)
        assert wait_until(lambda: len(server.members("program")) > 0)
        call.cancel()
        assert wait_until(lambda: not server.members("program"), 5)
        assert caller.grade(timeout_s=20) == [wire.PASSED]


def test_a_client_that_pings_too_often_is_sent_away(server: Server) -> None:
    impatient = (("grpc.keepalive_time_ms", 100), ("grpc.http2.max_pings_without_data", 0))
    with Caller(server.target, options=impatient) as caller:
        assert "ping" in caller.refused(ENDLESS, cpu_time_s=60).text.lower()
    with Caller(server.target) as caller:
        assert caller.grade() == [wire.PASSED]


def test_connections_have_an_age_and_calls_are_finished(folder: Path) -> None:
    with Server(folder, workers=1, config="max_connection_age_s = 1\n").start() as server:
        with Caller(server.target) as caller:
            seen: list[grpc.ChannelConnectivity] = []
            caller.channel.subscribe(seen.append)
            assert caller.grade(*[SLOW] * 4) == [wire.PASSED] * 4  # longer than that
            assert wait_until(lambda: grpc.ChannelConnectivity.IDLE in seen[1:])
            assert caller.grade() == [wire.PASSED]


# --- too much -----------------------------------------------------------------------------------


def test_a_message_that_is_too_large_is_told_what_to_do(server: Server) -> None:
    with Caller(server.target) as caller:
        refused = caller.refused(*[b"#" * 100_000 + GOOD] * 15)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "send fewer programs in one message" in refused.text and "1048576" in refused.text
        assert caller.refused(b"#" * 4_000_000).code is grpc.StatusCode.RESOURCE_EXHAUSTED  # gRPC's own limit
        batch = wire.GradeBatchRequest(
            requests=[wire.GradeRequest(suite=wire.Suite(tests=TESTS), programs=[b"#" * 1_500_000])]
        )
        for ask in (lambda: list(caller.stub.GradeStream(iter([batch]))), lambda: caller.stub.GradeBatch(batch)):
            with pytest.raises(grpc.RpcError) as caught:
                ask()
            assert "send fewer programs" in refusal(caught.value).text
        with pytest.raises(grpc.RpcError) as caught:
            run: Any = caller.channel.unary_unary(f"/{GRADING}/Run")
            run(b"\xff\xff")
        assert "not a gradebox.v1.RunRequest" in refusal(caught.value).text
        assert caller.grade() == [wire.PASSED]
    with gradebox.Client(server.target) as client, pytest.raises(gradebox.InvalidRequest, match=r"larger|fewer"):
        client.grade(["#" * 1_500_000], tests=["assert f(1) == 2"])


def test_a_flood_of_programs_is_told_when_to_come_back(server: Server) -> None:
    with Caller(server.target) as caller, Caller(server.target) as other:
        under_way = caller.start(*[b"sum(range(1_000_000))\n" + GOOD] * 200)
        next(under_way)
        refused = other.refused(*[GOOD] * 80)
        assert (refused.code, refused.retry_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 1.0)
        assert "are waiting" in refused.text
        floods = [other.start(*[GOOD] * 80) for _ in range(200)]
        for flood in floods:
            with contextlib.suppress(grpc.RpcError):
                list(flood)
        assert sum(len(answer.results) for answer in under_way) >= 200 - 32  # beside the first message
        assert other.grade(*[GOOD] * 80) == [wire.PASSED] * 80


def test_what_is_wrong_is_told_by_field(server: Server) -> None:
    with Caller(server.target) as caller:
        refused = caller.refused(GOOD, cpu_time_s=-1)
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        (violation,) = refused.has(error_details_pb2.BadRequest).field_violations
        assert violation.field == refused.detail.field == "suite.limits.cpu_time_s"
        assert violation.description in refused.text
        assert caller.grade() == [wire.PASSED]


# --- the end ------------------------------------------------------------------------------------


def test_a_drain_finishes_what_it_can_and_hands_back_the_rest(server: Server) -> None:
    with Caller(server.target) as caller, Caller(server.target) as watcher, Caller(server.target) as other:
        assert wait_until(lambda: health(watcher) == SERVING)
        stub: Any = health_pb2_grpc.HealthStub(watcher.channel)
        watching = stub.Watch(health_pb2.HealthCheckRequest(service=GRADING))
        assert next(watching).status == SERVING
        short = caller.start(SLOW)
        assert wait_until(lambda: len(server.members("program")) > 0)
        long = other.start(ENDLESS, cpu_time_s=200)  # the one worker has the other's program, so this one waits
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        assert next(watching).status == NOT_SERVING
        with Caller(server.target) as late:
            # gRPC itself cancels a call that comes at the very moment (grpc/grpc#41785), and none that comes after it.
            assert wait_until(lambda: late.refused().code is grpc.StatusCode.UNAVAILABLE)
        assert [result.verdict for answer in short for result in answer.results] == [wire.PASSED]
        with pytest.raises(grpc.RpcError) as caught:
            list(long)
        refused = refusal(caught.value)
        assert (refused.code, "ending" in refused.text) == (grpc.StatusCode.UNAVAILABLE, True)
        assert refused.retry_s > 0
        assert server.process.wait(20) == 0


def test_a_second_signal_cuts_the_drain_short(server: Server) -> None:
    with Caller(server.target) as caller:
        call = caller.start(ENDLESS, cpu_time_s=200)
        assert wait_until(lambda: len(server.members("program")) > 0)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        begun_s = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert refusal(caught.value).code is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - begun_s < 3
        assert server.process.wait(20) == 0


def test_a_client_loses_nothing_when_the_server_is_drained_and_started_again(folder: Path) -> None:
    with Server(folder, workers=1, config="drain_s = 1\n").start() as server:
        problem = gradebox.Problem(["assert f(1) == 2"])
        source = "sum(range(300_000))\n" + GOOD.decode()
        with gradebox.Client(server.target) as client:
            seen: list[int] = []
            restarted = None
            for graded in client.grade_many(gradebox.GradeItem(problem, [source], key) for key in range(600)):
                assert graded.results[0].verdict is gradebox.Verdict.PASSED
                seen.append(int(str(graded.key)))
                if len(seen) == 50:
                    restarted = threading.Thread(target=lambda: (server.stop(), server.start()))
                    restarted.start()
            assert restarted is not None
            restarted.join()
    assert sorted(seen) == list(range(600))


# --- fair share ---------------------------------------------------------------------------------


def test_a_small_batch_of_one_tenant_is_not_behind_the_bulk_of_another(folder: Path) -> None:
    bulk, one = tenant("bulk")
    step, two = tenant("step")
    heavy, three = tenant("heavy", weight=20)
    with Server(folder, workers=2, config=one + two + three).start() as server:
        with Caller(server.target, bulk) as large, Caller(server.target, step) as small:
            source = b"sum(range(300_000))\n" + GOOD
            under_way = large.start(*[source] * 3000, timeout_s=600)
            done = [len(next(under_way).results)]

            def read() -> None:
                with contextlib.suppress(grpc.RpcError):  # cancelled below
                    for answer in under_way:
                        done.append(len(answer.results))

            reader = threading.Thread(target=read)
            reader.start()
            before = sum(done)
            assert small.grade(*[source] * 64) == [wire.PASSED] * 64
            between = sum(done) - before
            assert between < 64 * 3 + 64  # as many as the small one's, and those in flight; not thousands
            with Caller(server.target, heavy) as weighty:
                before = sum(done)
                assert weighty.grade(*[source] * 200) == [wire.PASSED] * 200
                assert sum(done) - before < 100
            assert reader.is_alive()
            under_way.cancel()
            reader.join()
