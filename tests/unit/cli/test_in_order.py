"""Order, back-pressure, a failing engine, bad input in the middle."""

import random
import threading
from collections.abc import Iterator

import pytest

from gradebox_command.in_order import Grade, Unit, in_order


def units(count: int, taken: list[int] | None = None) -> Iterator[Unit]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield Unit(number, "p", number + 1, 0, ("x",))


def shuffling(seed: int, fails_after: int | None = None) -> Grade[int]:
    """An engine that answers in bursts and out of order, and may fail at some point."""
    generator = random.Random(seed)

    def grade(work: Iterator[Unit]) -> Iterator[tuple[Unit, int]]:
        answered = 0
        batch: list[Unit] = []
        for unit in work:
            batch.append(unit)
            if len(batch) < 7:
                continue
            generator.shuffle(batch)
            while batch:
                if answered == fails_after:
                    raise ConnectionError("gone")
                answered += 1
                unit = batch.pop()
                yield unit, unit.number * 2
        for unit in batch:
            yield unit, unit.number * 2

    return grade


def in_a_thread(work: Iterator[Unit]) -> Iterator[tuple[Unit, int]]:
    """An engine that takes all it can get, as the client does, before it answers the first."""
    taken: list[Unit] = []
    changed = threading.Condition()
    ended = False

    def take() -> None:
        nonlocal ended
        for unit in work:
            with changed:
                taken.append(unit)
                changed.notify()
        with changed:
            ended = True
            changed.notify()

    threading.Thread(target=take, daemon=True).start()
    while True:
        with changed:
            changed.wait_for(lambda: bool(taken) or ended)
            if not taken:
                return
            unit = taken.pop(0)
        yield unit, unit.number * 2


@pytest.mark.parametrize("grade", [shuffling(1), shuffling(2), in_a_thread])
def test_answers_come_in_the_order_of_the_input(grade: Grade[int]) -> None:
    answers = list(in_order(grade, units(500)))
    assert [(unit.number, answer) for unit, answer in answers] == [(n, n * 2) for n in range(500)]


def test_an_error_comes_after_what_is_done() -> None:
    seen = []
    with pytest.raises(ConnectionError):
        for unit, _ in in_order(shuffling(1, fails_after=50), units(300)):
            seen.append(unit.number)
    assert seen == list(range(len(seen)))
    assert len(seen) > 40


def test_work_does_not_run_far_ahead() -> None:
    taken: list[int] = []
    for done, (unit, _) in enumerate(in_order(in_a_thread, units(200, taken), ahead=10)):
        assert unit.number == done
        assert len(taken) <= done + 1 + 10
    assert len(taken) == 200


def test_who_waits_for_room_ends_with_the_rest() -> None:
    before = threading.active_count()
    answers = in_order(in_a_thread, units(100), ahead=3)
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate()[before:]:
        thread.join(10)
        assert not thread.is_alive()
