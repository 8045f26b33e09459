"""What the worker makes of a sandboxed process's bytes before anything is believed: no jail is started here."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradebox_engine import images
from gradebox_engine.jail.launch import Exited, Jail, JailDied, _checked
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.limits import Limits
from gradebox_engine.worker.session import Answer
from gradebox_engine.worker.watch import OomWatch, cause_of_death
from gradebox_inside.calls import answer_head
from gradebox_inside.codec import encode


@pytest.fixture(scope="module")
def jail() -> Iterator[Jail]:
    made = Jail(images.host_python(), 0)
    yield made
    made.close()


def process(jail: Jail) -> SandboxedProcess:
    """One that is not started: it has read nothing yet."""
    return SandboxedProcess(jail, Limits(), "program", False)


@pytest.mark.parametrize(
    "message",
    [
        None,
        1,
        "answer",
        [],
        ["answer", 1],
        (),
        (1,),
        (None, "answer"),
        (("answer",),),
        (Decimal("sNaN"),),
        {"answer": 1},
    ],
)
def test_only_a_tuple_that_starts_with_text_is_a_message(jail: Jail, message: Any) -> None:
    seen = process(jail)
    assert seen.read(encode(message)) is None
    assert seen.closed


@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"t\1\0\0\0", b"t\xff\xff\xff\xff", b"l\1\0\0\0" * 200, encode(("a",)) + b"N"]
)
def test_what_cannot_be_read_closes_the_channel(jail: Jail, payload: bytes) -> None:
    seen = process(jail)
    assert seen.read(payload) is None
    assert seen.closed


@given(st.binary(max_size=60))
@settings(deadline=None)
def test_any_payload_is_a_message_or_closes_the_channel(payload: bytes) -> None:
    jail = Jail(images.host_python(), 0)
    try:
        seen = process(jail)
        message = seen.read(payload)
        if message is None:
            assert seen.closed
        else:
            assert type(message) is tuple
            assert type(message[0]) is str
    finally:
        jail.close()


def test_a_message_is_read(jail: Jail) -> None:
    seen = process(jail)
    assert seen.read(encode(("loaded", []))) == ("loaded", [])
    assert not seen.closed


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"t",
        encode(("answer", Decimal("sNaN"), 1, 1, ("value", 1))),
        encode(("answer", True, 1, 1, ("value", 1))),
        encode(("answer", 0, 1.0, 1, ("value", 1))),
        encode(("answer", 0, 1, 1)),
        encode(("tested", 0, 1, 1, ("value", 1))),
        encode([("answer", 0, 1, 1, ("value", 1))]),
        encode(("answer", 10**6000, 1, 1, "x")[:4]),
    ],
)
def test_what_is_no_answer_has_no_index(payload: bytes) -> None:
    assert Answer(payload).index == -1


def test_an_answer_whose_value_cannot_be_read_has_no_value() -> None:
    answer = Answer(answer_head(3, 1, 1) + b"\xff\xff")
    assert answer.index == 3
    assert answer.outcome() == ("over_budget",)


def test_times_that_a_program_claims_are_bounded() -> None:
    answer = Answer(encode(("answer", 0, 10**30, -5, ("value", 1))))
    assert (answer.cpu_time_s, answer.wall_time_s) == (1e6, 0.0)


@pytest.mark.parametrize(
    "answer",
    [
        ("spawned",),
        ("spawned", "7"),
        ("spawned", 7, 7),
        ("spawned", True),
        ("spawned", None),
        ("ready", 7),
        (Decimal("sNaN"), 7),
    ],
)
def test_a_fork_server_that_answers_otherwise_is_a_dead_jail(answer: tuple[Any, ...]) -> None:
    with pytest.raises(JailDied):
        _checked(answer, "spawned", int)


class _NeverOom(OomWatch):
    def __init__(self) -> None:
        """There is no jail whose kills could be counted."""

    def fired(self) -> bool:
        return False


@pytest.mark.parametrize("number", range(1, 65))
def test_every_signal_has_a_name(number: int) -> None:
    fault = cause_of_death(Exited(number, 0.0, 0), _NeverOom(), Limits(), 0.0)
    assert fault.message.startswith("killed by ")
