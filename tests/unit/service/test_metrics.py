"""What is counted of calls, results, workers and the cache."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

import gradebox
from gradebox_engine.families import Family, by, exposition, lasting, merged, total
from gradebox_engine.metrics import MAX_TENANTS, OTHER_TENANT, Meter
from gradebox_engine.work import Call
from gradebox_proto.v1 import grading_pb2 as wire

from .conftest import StartFront


def result(verdict: "wire.Verdict", cpu_time_s: float = 0.0, *, cached: bool = False) -> bytes:
    return wire.SubmissionResult(verdict=verdict, cpu_time_s=cpu_time_s, cached=cached).SerializeToString()


def test_results_are_counted_by_verdict_and_tenant() -> None:
    meter = Meter()
    team, nobody = Call(tenant="team"), Call()
    meter.results(team, [result(wire.PASSED, 0.5), result(wire.PASSED, 0.25), result(wire.TIME_LIMIT, 2.0)])
    meter.results(team, [result(wire.PASSED, 7.0, cached=True)])
    meter.results(nobody, [result(wire.WRONG_ANSWER, 0.125)])
    meter.run(nobody, wire.RunResponse(verdict=wire.PASSED, cpu_time_s=0.5))
    families = meter.families()
    assert by(families, "gradebox_submissions_total", "tenant", "verdict") == {
        ("team", "PASSED"): 3,
        ("team", "TIME_LIMIT"): 1,
        ("", "WRONG_ANSWER"): 1,
        ("", "PASSED"): 1,
    }
    # What was kept costs nothing again.
    assert by(families, "gradebox_program_cpu_seconds_total", "tenant") == {("team",): 2.75, ("",): 0.625}
    assert (team.answered, nobody.answered) == (4, 2)


def test_there_are_only_so_many_tenants() -> None:
    meter = Meter()
    for number in range(MAX_TENANTS + 50):
        meter.results(Call(tenant=f"tenant-{number}"), [result(wire.PASSED)])
    counted = by(meter.families(), "gradebox_submissions_total", "tenant")
    assert len(counted) == MAX_TENANTS + 1
    assert counted[OTHER_TENANT,] == 50


def test_the_metrics_of_fronts_add_up_and_outlive_them() -> None:
    def front(graded: float, waiting: float, on_disk: float) -> list[Family]:
        return [
            Family("gradebox_submissions", "t", "counter", [("gradebox_submissions_total", (("v", "P"),), graded)]),
            Family("gradebox_queue_programs", "t", "gauge", [("gradebox_queue_programs", (), waiting)]),
            Family("gradebox_cache_disk_bytes", "t", "gauge", [("gradebox_cache_disk_bytes", (), on_disk)]),
        ]

    both = merged([front(3, 10, 500), front(4, 20, 600)])
    assert total(both, "gradebox_submissions_total") == 7
    assert total(both, "gradebox_queue_programs") == 30
    assert total(both, "gradebox_cache_disk_bytes") == 600  # the same file
    after = merged([lasting(front(3, 10, 500)), front(4, 20, 600)])
    assert total(after, "gradebox_submissions_total", v="P") == 7
    assert total(after, "gradebox_queue_programs") == 20
    parsed = {family.name: family for family in text_string_to_metric_families(exposition(both).decode())}
    assert parsed["gradebox_submissions"].type == "counter"
    assert parsed["gradebox_submissions"].samples[0].value == 7


async def test_what_calls_and_stages_add_to_the_metrics(start_front: StartFront) -> None:
    front = await start_front()
    async with gradebox.AsyncClient(front.target) as client:
        await client.grade(["a", "b", "error"], tests=["t"])
        await client.run("program", stdin="x")
        with pytest.raises(gradebox.InvalidRequest):
            await client.run("program", language="cobol")
    families = front.meter.families()
    assert by(families, "gradebox_submissions_total", "verdict") == {("PASSED",): 3, ("ENGINE_ERROR",): 1}
    counted = by(families, "gradebox_grpc_calls_total", "method", "code")
    assert counted["GradeBatch", "OK"] == 1
    assert (counted["Run", "OK"], counted["Run", "INVALID_ARGUMENT"]) == (1, 1)
    assert total(families, "gradebox_queue_wait_seconds_count") == 2
    assert total(families, "gradebox_worker_chunk_seconds_count") >= 2
    assert total(families, "gradebox_worker_seconds_total") > 0
    assert total(families, "gradebox_grpc_call_seconds_count", method="Run") == 2
    assert total(families, "gradebox_workers") == 2
    assert total(families, "gradebox_in_flight_programs") == 0
    assert total(families, "gradebox_queue_programs") == 0


async def test_hits_misses_and_restarts_are_shown(start_front: StartFront) -> None:
    front = await start_front(cache_bytes=1 << 20)
    async with gradebox.AsyncClient(front.target) as client:
        await client.grade(["a", "b"], tests=["t"])
        await client.grade(["a", "c"], tests=["t"])
        families = front.meter.families()
        assert (total(families, "gradebox_cache_hits_total"), total(families, "gradebox_cache_misses_total")) == (1, 3)
        assert total(families, "gradebox_cache_entries") == 3

        failed = await client.grade(["fault", "die"], tests=["t"])
        assert {result.verdict for result in failed} == {gradebox.Verdict.ENGINE_ERROR}
        families = front.meter.families()
        assert total(families, "gradebox_jail_restarts_total") >= 1
        assert total(families, "gradebox_worker_restarts_total") >= 1
    assert sum(place.graded for place in front.pool.view()) >= 3
