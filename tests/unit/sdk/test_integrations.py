"""What adapters read: settings, problems as data sets spell them, completions; and how verdicts become rewards."""

import json
import subprocess
import sys
from typing import Any

import pytest

from gradebox import EngineStamp, InvalidRequest, Seal, SubmissionResult, TestResult, Verdict
from gradebox.integrations._grader import _outcome
from gradebox.integrations._settings import Settings
from gradebox.integrations._tasks import problem_of, text_of
from gradebox.integrations.openrlhf import responses


def test_arguments_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENGINE", "TOKEN", "CA_FILE", "CERT_FILE", "KEY_FILE", "REWARD", "REWARD_TIMEOUT_S", "MIN_SEAL"):
        monkeypatch.delenv(f"GRADEBOX_{name}", raising=False)
    assert Settings.of() == Settings()
    monkeypatch.setenv("GRADEBOX_ENGINE", "a:1, b:2")
    monkeypatch.setenv("GRADEBOX_TOKEN", "t")
    monkeypatch.setenv("GRADEBOX_REWARD_TIMEOUT_S", "7.5")
    monkeypatch.setenv("GRADEBOX_REWARD", "all_passed")
    monkeypatch.setenv("GRADEBOX_MIN_SEAL", "SEALED")
    found = Settings.of()
    assert found.engines == ("a:1", "b:2")
    assert found.access == (("token", "t"),)
    assert (found.timeout_s, found.reward, found.min_seal) == (7.5, "all_passed", "SEALED")
    given = Settings.of(engine=["c:3"], token="u", ca_file="ca", tls=False, timeout_s=1, reward="pass_rate")
    assert given.engines == ("c:3",)
    assert given.access == (("token", "u"), ("ca_file", "ca"), ("tls", False))
    assert (given.timeout_s, given.reward, Settings.of(min_seal=Seal.COMPARED).min_seal) == (1, "pass_rate", "COMPARED")
    assert "'t'" not in repr(found)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("reward", "best"), ("timeout_s", 0), ("timeout_s", "x"), ("timeout_s", float("inf")), ("tokn", "x")],
)
def test_settings_that_make_no_sense(setting: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=setting):
        Settings.of(**{setting: value})


class Array:
    """What numpy's arrays and scalars have in common here."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def tolist(self) -> Any:
        """Plain Python."""
        return self._value


TESTS = ["assert f(1) == 2"]
STDIO = [{"stdin": "1\n", "expected_stdout": "2\n"}]
CALLS = [{"call": {"args": [1, [2]]}, "expected": {"a": 3}}, {"call": {"args": [4]}, "expected": "x y"}]


@pytest.mark.parametrize(
    ("task", "tests"),
    [
        (TESTS, TESTS),
        (tuple(TESTS), TESTS),
        (TESTS[0], TESTS),
        (json.dumps(TESTS), TESTS),
        (Array(TESTS), TESTS),
        ({"tests": TESTS, "meta": 1, "limits": None}, TESTS),
        ({"tests": json.dumps(TESTS)}, TESTS),
        ({"tests": TESTS[0]}, TESTS),
        ({"tests": Array([Array(TESTS[0])])}, TESTS),
        (STDIO[0], STDIO),
        ({"tests": STDIO[0]}, STDIO),
        (STDIO, STDIO),
        ({"inputs": ["1\n"], "outputs": ["2\n"]}, STDIO),
        (json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]}), STDIO),
        ({"tests": {"inputs": [1], "outputs": [["2", "3"]]}}, [{"stdin": "1", "expected_stdout": "2\n3"}]),
        ({"inputs": ["1\n[2]", "4"], "outputs": ['{"a": 3}', "x y"], "fn_name": "f"}, CALLS),
        ({"inputs": [[1, [2]], [4]], "outputs": [{"a": 3}, "x y"], "fn_name": "f"}, CALLS),
        ({"assert_case": TESTS, "inputs": [""], "outputs": [None]}, TESTS),
    ],
)
def test_spellings_of_problems(task: Any, tests: list[Any]) -> None:
    problem = problem_of(task)
    assert problem.tests == tests
    assert problem_of(task) is problem


def test_what_stands_beside_the_tests() -> None:
    row = {"tests": TESTS, "entry_point": "f", "limits": {"cpu_time_s": 2.0, "disk_bytes": None}, "image": None}
    problem = problem_of(row, entry_point="g", test_setup="import math", min_seal="SEALED")
    assert (problem.entry_point, problem.test_setup, problem.min_seal) == ("f", "import math", "SEALED")
    assert problem.limits == {"cpu_time_s": 2.0}
    assert problem_of({"inputs": ["1"], "outputs": ["2"], "fn_name": "f"}).entry_point == "f"
    assert problem_of(TESTS, limits='{"cpu_time_s": 3}').limits == {"cpu_time_s": 3}


@pytest.mark.parametrize(
    "task",
    [
        None, 3, "", "72", [], {}, {"tests": None}, {"tests": []}, {"tests": ""}, '{"tests": [', "[", '["assert',
        {"ground_truth": "4"}, {"inputs": ["1"], "outputs": []}, {"inputs": "1", "outputs": "2"}, {"tests": [3]},
        {"tests": TESTS, "limits": {"x": 1}}, {"inputs": ["x"], "outputs": ["1"], "fn_name": "f"},
        {"tests": [object()]}, {"tests": TESTS, "min_seal": "x"},
    ],
)  # fmt: skip
def test_problems_that_make_no_sense_are_errors_and_no_rewards(task: Any) -> None:
    with pytest.raises(InvalidRequest):
        problem_of(task)


@pytest.mark.parametrize(
    "completion",
    [
        "x",
        {"role": "assistant", "content": "x"},
        [{"role": "assistant", "content": "x"}],
        [
            {"role": "assistant", "content": "a"},
            {"role": "tool", "content": "b"},
            {"role": "assistant", "content": "x"},
        ],
        [{"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "image"}]}],
    ],
)
def test_completions(completion: Any) -> None:
    assert text_of(completion) == "x"


def test_completions_of_which_nothing_can_be_read() -> None:
    assert text_of([{"role": "user", "content": "x"}]) == text_of([]) == text_of({"role": "assistant"}) == ""
    with pytest.raises(InvalidRequest):
        text_of(None)


def test_responses_are_what_follows_the_prompt() -> None:
    assert responses(["<s>ab c", "c", "c"], ["ab", "", "z"]) == [" c", "c", "c"]
    with pytest.raises(InvalidRequest):
        responses(["a"], [])


P, W, S, E, T = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.SKIPPED, Verdict.ENGINE_ERROR, Verdict.TIME_LIMIT


@pytest.mark.parametrize(
    ("verdicts", "pass_rate", "all_passed"),
    [
        ([P, P], 1.0, 1.0),
        ([P, W], 0.5, 0.0),
        ([S, P], 0.5, 0.0),  # its seal would be too weak
        ([W, S], 0.0, 0.0),
        ([P, E], 1.0, None),
        ([E, S], 0.0, None),  # not run, since the engine failed before
        ([E, T], 0.0, 0.0),  # it cannot have passed all, whatever the engine did
        ([E, E], None, None),
    ],
)
def test_an_engines_error_is_never_a_failure(
    verdicts: list[Verdict], pass_rate: float | None, all_passed: float | None
) -> None:
    first = next((verdict for verdict in verdicts if verdict is not P), P)
    tests = tuple(TestResult(verdict, None, 0, 0, 0) for verdict in verdicts)
    result = SubmissionResult(0, "", "", first, pass_rate, tests, EngineStamp("", "", ()))
    assert _outcome("x", result, "pass_rate").reward == pass_rate
    outcome = _outcome("x", result, "all_passed")
    assert outcome.reward == all_passed
    assert (outcome.error is None) == (all_passed is not None)


def test_importing_an_adapter_pulls_in_no_framework() -> None:
    modules = ", ".join(f"gradebox.integrations.{name}" for name in ("trl", "verl", "openrlhf", "slime"))
    heavy = ("torch", "transformers", "trl", "verl", "openrlhf", "slime", "verifiers", "ray", "numpy", "pydantic")
    code = f"import sys, {modules}\nprint([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
