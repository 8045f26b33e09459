"""Work that is answered in any order, given back in the order of the input.

It runs at most `ahead` submissions in front of the first one that is not yet answered, so that neither
the input nor finished answers pile up.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

AHEAD = 4096


@dataclass(frozen=True, slots=True)
class Unit:
    """Programs of one row of a programs file, in order: what is sent to an engine at once.

    Attributes:
        number: place in the order of the input, from 0.
        first_index: index in its row of the first of `programs`.
    """

    number: int
    id: str
    line: int
    first_index: int
    programs: tuple[str, ...]


type Grade[Answer] = Callable[[Iterator[Unit]], Iterator[tuple[Unit, Answer]]]
"""Grades units as they come, which it takes in another thread, and yields answers in any order."""


def in_order[Answer](
    grade: Grade[Answer], units: Iterator[Unit], *, ahead: int = AHEAD
) -> Iterator[tuple[Unit, Answer]]:
    """Yields every unit with its answer, in the order of the input. Raises what `grade` raises."""
    changed = threading.Condition()
    in_flight = 0  # submissions taken and not yet yielded
    stopped = False

    def has_room() -> bool:
        return stopped or in_flight < ahead

    def taken() -> Iterator[Unit]:
        nonlocal in_flight
        for unit in units:
            with changed:
                changed.wait_for(has_room)
                if stopped:
                    return
                in_flight += len(unit.programs)
            yield unit

    waiting: dict[int, tuple[Unit, Answer]] = {}
    upcoming = 0
    try:
        for unit, answer in grade(taken()):
            waiting[unit.number] = unit, answer
            while upcoming in waiting:
                following = waiting.pop(upcoming)
                upcoming += 1
                with changed:
                    in_flight -= len(following[0].programs)
                    changed.notify()
                yield following
    finally:
        with changed:
            stopped = True
            changed.notify()
