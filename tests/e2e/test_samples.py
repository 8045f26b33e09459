"""The sample that ships with the package: what it holds. (That every program gets its verdict: test_cli, the demo.)"""

import collections

import pytest

import gradebox
from gradebox_engine import samples

KINDS = {"right", "partly right", "wrong", "slow", "hostile"}


def test_it_holds_problems_of_all_four_kinds() -> None:
    loaded = samples.load()
    assert len(loaded) >= 40
    assert collections.Counter(s.test_kind for s in loaded).keys() == {
        "assert",
        "stdio",
        "call",
        "unittest",
    }
    for sample in loaded:
        assert {expected.kind for expected in sample.expected} == KINDS, sample.problem["id"]
        assert len(sample.programs) == len(sample.expected)
        assert sample.problem["limits"]["cpu_time_s"] <= 1.0, "the demo is to be quick"


def test_expectations_fit_their_kinds() -> None:
    for sample in samples.load():
        for expected in sample.expected:
            rate = expected.pass_rate
            match expected.kind:
                case "right":
                    assert (expected.verdict, rate) == ("PASSED", 1.0)
                case "partly right":
                    assert rate is not None
                    assert 0 < rate < 1
                case "wrong":
                    assert rate == 0
                case "slow":
                    assert expected.verdict == "TIME_LIMIT"
                case "hostile":
                    assert (expected.verdict, rate) == ("not_passed", None)


@pytest.mark.parametrize("kind", ["assert", "stdio", "call", "unittest"])
def test_right_programs_are_sealed_or_say_why(engine: gradebox.Engine, kind: str) -> None:
    for sample in samples.load():
        if sample.test_kind != kind:
            continue
        problem = gradebox.Problem.from_dict(sample.problem)
        result = engine.grade([sample.programs[0]], problem=problem)[0]
        assert result.verdict is gradebox.Verdict.PASSED, sample.problem["id"]
        unsealed = [test for test in result.tests if test.seal is not gradebox.Seal.SEALED]
        if kind in ("call", "stdio"):
            assert not unsealed, sample.problem["id"]
