"""Results: from the wire, and as rows of a labels file."""

from typing import cast

import pytest

from gradebox import EngineStamp, Seal, Verdict
from gradebox._results import result_from_wire
from gradebox_proto.v1 import grading_pb2 as wire

STAMP = EngineStamp("1.0", "python@sha256:1", ("seccomp", "cgroup"))


def test_a_label() -> None:
    message = wire.SubmissionResult(
        index=3,
        program_sha256=b"\x01" * 32,
        verdict=wire.WRONG_ANSWER,
        pass_rate=0.5,
        tests=[
            wire.TestResult(
                verdict=wire.PASSED,
                seal=wire.SEALED,
                cpu_time_s=0.25,
                wall_time_s=0.5,
                memory_bytes=7,
            ),
            wire.TestResult(verdict=wire.WRONG_ANSWER, seal=wire.COMPARED, message="no"),
        ],
        evidence=[wire.EARLY_EXIT, cast("wire.Evidence", 99)],  # 99: of an engine that is newer
    )
    result = result_from_wire(message, "p", STAMP)
    assert result.verdict is Verdict.WRONG_ANSWER
    assert result.tests[0].seal is Seal.SEALED
    assert result.to_label() == {
        "id": "p",
        "program_index": 3,
        "program_sha256": "01" * 32,
        "verdict": "WRONG_ANSWER",
        "pass_rate": 0.5,
        "tests": [
            {
                "verdict": "PASSED",
                "seal": "SEALED",
                "cpu_time_s": 0.25,
                "wall_time_s": 0.5,
                "memory_bytes": 7,
            },
            {
                "verdict": "WRONG_ANSWER",
                "seal": "COMPARED",
                "cpu_time_s": 0.0,
                "wall_time_s": 0.0,
                "memory_bytes": 0,
                "message": "no",
            },
        ],
        "evidence": ["EARLY_EXIT"],
        "engine": {
            "version": "1.0",
            "image": "python@sha256:1",
            "protections": ["seccomp", "cgroup"],
        },
    }


def test_no_real_verdict_is_no_pass_rate() -> None:
    message = wire.SubmissionResult(verdict=wire.ENGINE_ERROR)
    assert result_from_wire(message, "p", STAMP).pass_rate is None


@pytest.mark.parametrize("pass_rate", [None, 0.0, 1.0])
@pytest.mark.parametrize("tests", [0, 1, 3])
def test_an_engine_error_is_never_a_pass_rate(pass_rate: float | None, tests: int) -> None:
    message = wire.SubmissionResult(
        verdict=wire.ENGINE_ERROR, pass_rate=pass_rate, tests=[wire.TestResult(verdict=wire.ENGINE_ERROR)] * tests
    )
    assert result_from_wire(message, "p", STAMP).pass_rate is None


def test_a_test_that_the_engine_failed_counts_for_nothing_beside_real_ones() -> None:
    tests = [wire.TestResult(verdict=verdict) for verdict in (wire.ENGINE_ERROR, wire.PASSED, wire.WRONG_ANSWER)]
    message = wire.SubmissionResult(verdict=wire.ENGINE_ERROR, pass_rate=0.5, tests=tests)
    assert result_from_wire(message, "p", STAMP).pass_rate == 0.5
