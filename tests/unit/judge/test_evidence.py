"""Evidence as a program's process reports it: hostile, so only the known names count."""

from typing import Any

import pytest

from gradebox_engine.judge.evaluate import leaves_early
from gradebox_engine.judge.evidence import Evidence, said_by_process
from gradebox_proto.v1 import grading_pb2 as wire


def test_the_numbers_are_the_wires() -> None:
    assert {e.name: int(e) for e in Evidence} == {k: v for k, v in wire.Evidence.items() if v}


@pytest.mark.parametrize(
    "said", [None, "PATCHED_BUILTINS", {}, [[]], [None, 3], ["X"] * 100, ("PATCHED_BUILTINS",), b""]
)
def test_what_is_no_list_of_names_is_nothing(said: Any) -> None:
    assert said_by_process(said) == set()


def test_a_process_tells_only_what_it_can_know() -> None:
    assert said_by_process([e.name for e in Evidence]) == {Evidence.SWALLOWED_EXCEPTION, Evidence.PATCHED_BUILTINS}


@pytest.mark.parametrize(
    ("info", "early"),
    [
        ({"type": "SystemExit"}, True),
        ({"type": "Mine", "mro": ["SystemExit", "BaseException"]}, True),
        ({"type": "ValueError", "mro": ("Exception",)}, False),
        ({"type": 3, "mro": 4}, False),
        (None, False),
    ],
)
def test_exceptions_that_end_an_interpreter(info: Any, early: bool) -> None:
    assert leaves_early(info) is early
