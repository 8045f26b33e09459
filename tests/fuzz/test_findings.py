"""What fuzzing and reading found in the judge, kept: evidence that made it raise, or work for hours."""

from __future__ import annotations

import sys
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from gradebox_engine.judge.evaluate import NEEDS_GENERAL, PASSED, Decision, decide, raised_decision
from gradebox_engine.judge.fast import FastTest
from gradebox_engine.judge.plan import plan
from gradebox_engine.judge.suite import CodeTest, Suite, Verdict

LARGE = 3**2_000_000  # an int of 400 kB: one multiplication with an exact number takes seconds
MODULUS = sys.hash_info.modulus


def decided(source: str, *values: Any) -> Any:
    """What the judge says of an assert, given the answers to its calls."""
    (test,) = plan(Suite(tests=(CodeTest(source),))).tests
    assert isinstance(test, FastTest)
    return decide(test, [("value", value) for value in values])


@pytest.mark.parametrize("key", [10**6000, (10**6000,), -(10**6000)], ids=range(3))
def test_a_key_whose_text_cannot_be_made(key: Any) -> None:
    found = decided("assert {1: 2}[f(1)] == 2", key)
    assert found is NEEDS_GENERAL or found.verdict is Verdict.RUNTIME_ERROR


def test_an_error_whose_text_cannot_be_made() -> None:
    found = decided("assert f(1)['a'] == 2", {10**6000: 1})
    assert isinstance(found, Decision)
    assert found.verdict is Verdict.RUNTIME_ERROR


@pytest.mark.parametrize("name", [[], {}, {1}, 10**6000, None, Decimal("sNaN"), [[]]], ids=range(7))
def test_reports_with_anything_for_a_name(name: Any) -> None:
    for info in ({"type": name}, {"mro": name}, {"type": "E", "mro": [name]}, {"message": name, "line": name}):
        assert raised_decision(info).verdict is Verdict.RUNTIME_ERROR


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("assert sum(f(1)) == 3", [[Decimal(1), LARGE]]),
        ("assert sum(f(1)) == 3", [[Fraction(1, 3), LARGE]]),
        ("assert max(f(1)) == 3", [[Decimal(1), LARGE]]),
        ("assert sorted(f(1)) == [3]", [[(Decimal(1),), (LARGE,)]]),
        ("assert set(f(1)) == {3}", [[Decimal(5), 5 + MODULUS * 2**2_000_000]]),
        ("assert f(1) | f(2) == {3}", [{Decimal(5)}, {5 + MODULUS * 2**2_000_000}]),
        ("assert f(1).union(f(2)) == {3}", [{Decimal(5)}, [5 + MODULUS * 2**2_000_000]]),
        ("assert f(1) == f(2)", [{Decimal(5): 1, 7: 2}, {5 + MODULUS * 2**2_000_000: 1, 8: 2}]),
        ("assert f(1) in {1, 2}", [LARGE]),
        ("assert f(1).total() == 3", [Counter({1: Decimal(1), 2: LARGE})]),
        ("import math\nassert math.lcm(f(1), f(2), f(3), f(4), f(5), f(6)) == 3", [2**60_000 + k for k in range(6)]),
        ("assert f(1).rfind(f(2)) == 3", ["a" * 500_000, "b" + "a" * 250_000]),
        ("assert f(1).strip(f(2)) == 'x'", ["z" * 500_000, "a" * 250_000 + "z"]),
    ],
    ids=range(13),
)
def test_work_that_is_left_to_the_oracle(source: str, values: list[Any]) -> None:
    """Slow on purpose where it is done: the oracle's sandbox has limits, the judge has none but its own care."""
    assert decided(source, *values) is NEEDS_GENERAL


def test_sets_of_many_numbers_are_left_to_the_oracle() -> None:
    many = list(range(20_000))
    assert decided("assert len(set(f(1))) == 20000", many) is NEEDS_GENERAL
    assert decided("assert len(set(f(1))) == 20000", [str(k) for k in many]) is PASSED
    assert decided("assert len(set(f(1))) == 10000", many[:10_000]) is PASSED
    assert decided("assert f(1) == {1, 2}", set(many)).verdict is Verdict.WRONG_ANSWER


def test_half_of_the_keys_collide() -> None:
    keys = [*range(4000), *((k + 5) * MODULUS for k in range(4000))]
    assert decided("assert len(set(f(1))) == 3", keys) is NEEDS_GENERAL
