"""Order, back-pressure, failing engines, bad input in the middle."""

import random
from collections.abc import Iterator

import pytest

from gradebox_engine.cli.fanout import Fanout, Grade, Unit


def units(count: int, taken: list[int] | None = None) -> Iterator[Unit]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield Unit(number, "p", number + 1, 0, ("x",))


def shuffling(seed: int, fails_after: int | None = None) -> Grade[int]:
    """An engine that answers in bursts and out of order, and may fail at some point."""
    generator = random.Random(seed)
    left = fails_after

    def burst(batch: list[Unit]) -> Iterator[tuple[Unit, int]]:
        nonlocal left
        generator.shuffle(batch)
        for unit in batch:
            if left is not None:
                if left == 0:
                    raise ConnectionError("gone")
                left -= 1
            yield unit, unit.number * 2
        batch.clear()

    def grade(work: Iterator[Unit]) -> Iterator[tuple[Unit, int]]:
        batch: list[Unit] = []
        for unit in work:
            batch.append(unit)
            if len(batch) == 7:
                yield from burst(batch)
        yield from burst(batch)

    return grade


def retry(error: Exception) -> bool:
    return isinstance(error, ConnectionError)


def numbers(fanout: Fanout[int]) -> list[int]:
    found = []
    for unit, answer in fanout.answers():
        assert answer == unit.number * 2
        found.append(unit.number)
    return found


@pytest.mark.parametrize("engines", [1, 3])
def test_answers_come_in_the_order_of_the_input(engines: int) -> None:
    fanout = Fanout([shuffling(seed) for seed in range(engines)], units(500), retry=retry)
    assert numbers(fanout) == list(range(500))


def test_what_a_failed_engine_had_goes_to_the_others() -> None:
    engines = [shuffling(1, fails_after=20), shuffling(2), shuffling(3, fails_after=0)]
    assert numbers(Fanout(engines, units(300), retry=retry)) == list(range(300))


def test_the_last_engine_s_error_is_raised_after_what_is_done() -> None:
    seen = []
    with pytest.raises(ConnectionError):
        for unit, _ in Fanout([shuffling(1, fails_after=50)], units(300), retry=retry).answers():
            seen.append(unit.number)
    assert seen == list(range(len(seen)))
    assert len(seen) > 40


def test_an_error_that_no_engine_mends_ends_all() -> None:
    def refuses(work: Iterator[Unit]) -> Iterator[tuple[Unit, int]]:
        next(work)
        raise ValueError("no such image")
        yield

    with pytest.raises(ValueError, match="no such image"):
        list(Fanout([refuses, shuffling(1)], units(10**6), retry=retry).answers())


def test_bad_input_ends_after_what_stands_before_it() -> None:
    def broken() -> Iterator[Unit]:
        yield from units(20)
        raise ValueError("line 21")

    seen = []
    with pytest.raises(ValueError, match="line 21"):
        for unit, _ in Fanout([shuffling(1)], broken(), retry=retry).answers():
            seen.append(unit.number)
    assert seen == list(range(20))


def test_work_does_not_run_far_ahead() -> None:
    taken: list[int] = []
    fanout = Fanout([shuffling(1)], units(200, taken), retry=retry, ahead=10)
    for done, (unit, _) in enumerate(fanout.answers()):
        assert unit.number == done
        assert len(taken) <= done + 10
    assert len(taken) == 200
