"""Problems as callers write them, and what they become on the wire."""

from typing import Any

import pytest

from gradebox import (
    CallTest,
    Checker,
    CodeTest,
    InvalidRequest,
    Limits,
    Problem,
    Seal,
    StdioTest,
    UnittestTest,
)
from gradebox._problems import encode_programs
from gradebox_proto.v1 import grading_pb2 as wire


def sent(problem: Problem) -> wire.Suite:
    return wire.Suite.FromString(problem.suite.data)


def test_tests_as_mappings_and_as_types_are_the_same() -> None:
    mappings: list[Any] = [
        "assert f(1) == 2",
        {"stdin": "1\n", "expected_stdout": "2\n"},
        {"stdin": "", "expected_stdout": "0.5", "checker": {"kind": "float", "abs_tol": 0.1}},
        {"call": {"args": [1, [2]], "kwargs": {"a": None}}, "expected": None},
        {"call": {"args": [1]}, "expected": {"a": 1}},
        {"unittest": "def test(): pass"},
    ]
    types: list[Any] = [
        CodeTest("assert f(1) == 2"),
        StdioTest("1\n", "2\n"),
        StdioTest("", "0.5", Checker("float", abs_tol=0.1)),
        CallTest([1, [2]], None, {"a": None}),
        CallTest([1], {"a": 1}),
        UnittestTest("def test(): pass"),
    ]
    assert sent(Problem(mappings)) == sent(Problem(types))
    assert Problem(mappings).suite.sha256 == Problem(types).suite.sha256


def test_what_is_sent() -> None:
    row = {
        "id": "p/1",
        "entry_point": "f",
        "image": None,
        "test_setup": "import math",
        "tests": ["assert f(1) == 2"],
        "limits": {"cpu_time_s": 2, "isolate": True},
        "prompt": "ignored",
        "meta": {"x": 1},
    }
    suite = sent(Problem.from_dict(row))
    assert (suite.problem_id, suite.entry_point, suite.language) == ("p/1", "f", "python")
    assert suite.test_setup == b"import math"
    assert suite.limits == wire.Limits(cpu_time_s=2, isolate=True)
    assert suite.min_seal == wire.SEAL_UNSPECIFIED
    assert sent(Problem(["t"], min_seal="sealed")).min_seal == wire.SEALED
    assert sent(Problem(["t"], min_seal=Seal.COMPARED)).min_seal == wire.COMPARED


def test_lone_surrogates_and_null_bytes_travel() -> None:
    assert encode_programs(["\ud800\x00", b"\xff"]) == [b"\xed\xa0\x80\x00", b"\xff"]
    assert sent(Problem(["assert f('\udfff')"])).tests[0].code == b"assert f('\xed\xbf\xbf')"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tests": []}, "tests"),
        ({"tests": "assert f(1) == 2"}, "tests"),
        ({"tests": [3]}, "tests[0]"),
        ({"tests": ["t", {}]}, "tests[1]"),
        ({"tests": ["t", {"stdin": "1"}]}, "tests[1].expected_stdout"),
        ({"tests": [{"stdin": 1, "expected_stdout": ""}]}, "tests[0].stdin"),
        ({"tests": [{"call": [1], "expected": 1}]}, "tests[0].call"),
        ({"tests": [{"call": {"args": 1}, "expected": 1}]}, "tests[0].call.args"),
        ({"tests": [{"call": {"args": [1]}}]}, "tests[0].expected"),
        ({"tests": [{"call": {"args": [{1}]}, "expected": 1}]}, "tests[0].call.args"),
        (
            {"tests": [{"stdin": "", "expected_stdout": "", "checker": {"kinds": "x"}}]},
            "tests[0].checker.kinds",
        ),
        (
            {"tests": [{"stdin": "", "expected_stdout": "", "checker": "exact"}]},
            "tests[0].checker",
        ),
        ({"tests": ["t"], "entry_point": 3}, "entry_point"),
        ({"tests": ["t"], "entry_point": "\ud800"}, "entry_point"),
        ({"tests": ["t"], "test_setup": 3}, "test_setup"),
        ({"tests": ["t"], "limits": {"cpu": 1}}, "limits.cpu"),
        ({"tests": ["t"], "limits": {"cpu_time_s": "1"}}, "limits.cpu_time_s"),
        ({"tests": ["t"], "limits": {"cpu_time_s": float("nan")}}, "limits.cpu_time_s"),
        ({"tests": ["t"], "limits": {"memory_bytes": 1.5}}, "limits.memory_bytes"),
        ({"tests": ["t"], "limits": {"memory_bytes": 10**400}}, "limits.memory_bytes"),
        ({"tests": ["t"], "limits": {"processes": True}}, "limits.processes"),
        ({"tests": ["t"], "limits": {"isolate": 1}}, "limits.isolate"),
        ({"tests": ["t"], "limits": 3}, "limits"),
        ({"tests": ["t"], "min_seal": "wax"}, "min_seal"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Problem(**fields).suite  # noqa: B018
    assert caught.value.field == field


def test_missing_tests_in_a_row() -> None:
    with pytest.raises(InvalidRequest, match="tests: missing"):
        Problem.from_dict({"id": "x"})


@pytest.mark.parametrize("programs", ["def f(): pass", 3, {"a": 1}])
def test_programs_are_a_list(programs: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode_programs(programs)
    assert caught.value.field == "programs"


def test_a_problem_is_prepared_once() -> None:
    problem = Problem(["t"], limits=Limits(cpu_time_s=1))
    assert problem.suite is problem.suite
