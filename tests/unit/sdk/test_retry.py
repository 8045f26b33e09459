"""How much patience pauses and attempts use up."""

import pytest

from gradebox import Overloaded, Unavailable
from gradebox._deadline import Deadline
from gradebox._retry import FIRST_CONTACT_S, REACHED_S, Patience


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr("gradebox._retry.time.monotonic", lambda: self.now_s)

    def attempts(self, patience: Patience, lasts_s: float, pause_s: float, *, has_answered: bool = True) -> int:
        """How many fail before it is over."""
        for count in range(1, 10_000):
            begun_s = self.now_s
            self.now_s += lasts_s
            try:
                patience.failed(Unavailable("gone"), begun_s, has_answered=has_answered)
            except Unavailable:
                return count
            self.now_s += pause_s
        raise AssertionError("it never ends")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(("lasts_s", "pause_s", "count"), [(0.0, 2.0, 31), (4.0, 2.0, 11), (0.0, 30.0, 3)])
def test_attempts_that_fail_soon(clock: Clock, lasts_s: float, pause_s: float, count: int) -> None:
    assert clock.attempts(Patience(60.0, Deadline(None)), lasts_s, pause_s) == count


def test_attempts_that_had_reached_an_engine_use_up_little(clock: Clock) -> None:
    assert clock.attempts(Patience(60.0, Deadline(None)), 300.0, 0.0) == 1 + 60 / REACHED_S


def test_an_answer_makes_it_whole(clock: Clock) -> None:
    patience = Patience(60.0, Deadline(None))
    for _ in range(100):
        patience.failed(Unavailable("gone"), clock.now_s, has_answered=True)
        clock.now_s += 50.0
        patience.answered()
    assert clock.attempts(patience, 0.0, 2.0) == 31


def test_an_address_that_never_answered(clock: Clock) -> None:
    assert clock.attempts(Patience(60.0, Deadline(None)), 0.0, 1.0, has_answered=False) == 1 + FIRST_CONTACT_S


def test_none_at_all(clock: Clock) -> None:
    assert clock.attempts(Patience(0.0, Deadline(None)), 0.0, 1.0) == 1


def test_an_overloaded_engine_is_waited_for_until_the_deadline(clock: Clock) -> None:
    patience = Patience(1.0, Deadline(1e6))
    for _ in range(100):
        patience.failed(Overloaded("full"), clock.now_s, has_answered=True)
        clock.now_s += 10.0
    with pytest.raises(Overloaded):
        unlimited = Patience(1.0, Deadline(None))
        for _ in range(2):
            unlimited.failed(Overloaded("full"), clock.now_s, has_answered=True)
            clock.now_s += 10.0
