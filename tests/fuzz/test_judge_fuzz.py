"""The judge on hostile evidence: no exception, no long work, and PASSED only where the answer is in it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.profiles import FUZZ
from tests.fuzz.strategies import hostile, noise, text
from tests.fuzz.targets import check_answer, check_judge, check_message, check_report

from gradebox_inside.calls import answer_head, split_answer
from gradebox_inside.codec import encode

_words = st.sampled_from(
    ["value", "raised", "over_budget", "passed", "failed", "type", "mro", "message", "line", "outcome", "ran", "info",
     "AssertionError", "MemoryError", "SystemExit", "program_gone"]
)  # fmt: skip
_fields = st.dictionaries(_words, st.one_of(hostile, _words, st.lists(_words, max_size=3)), max_size=5)
_outcomes = st.one_of(
    hostile,
    hostile.map(lambda value: ("value", value)),
    _fields.map(lambda info: ("raised", info)),
    st.tuples(_words, hostile),
    st.tuples(hostile),
)


@given(st.lists(_outcomes, max_size=3))
@FUZZ
def test_decide_on_any_outcomes(outcomes: list[Any]) -> None:
    check_judge(outcomes)


@given(st.one_of(hostile, _fields, st.fixed_dictionaries({"outcome": _words, "info": _fields, "ran": hostile})))
@FUZZ
def test_reports_of_any_kind(report: Any) -> None:
    check_report(report)


@given(noise)
@FUZZ
def test_messages_of_any_bytes(data: bytes) -> None:
    check_message(data)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**40), st.integers(0, 2**40), st.one_of(noise, hostile.map(encode)))
@FUZZ
def test_the_head_of_an_answer(index: int, cpu_us: int, wall_us: int, rest: bytes) -> None:
    index &= 2**31 - 1
    payload = answer_head(index, cpu_us, wall_us) + rest
    parts = split_answer(payload)
    if not rest:
        assert parts is None
    else:
        assert parts is not None
        assert (parts[0], parts[3]) == (index, rest)
    check_answer(payload)


@given(_words, st.lists(hostile, max_size=5), text)
@FUZZ
def test_messages_of_any_shape(tag: str, parts: list[Any], name: str) -> None:
    for first in (tag, name, "answer", "tested", "failed", "loaded"):
        check_message(encode((first, *parts)))
