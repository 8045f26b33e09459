"""Spreads units of work over engines and gives the answers back in the order of the input.

One thread an engine feeds it and reads its answers; the caller's thread puts them in order. Work
runs at most `ahead` submissions in front of the first one that is not yet answered, so that
neither the input nor finished answers pile up. What an engine had when it failed goes to the
others; when none is left, its error is raised, and everything in order up to there has been
yielded.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
"""Grades units as they come and yields answers in any order; raises when its engine fails."""


class Fanout[Answer]:
    """See the module. `retry` says for an exception whether another engine may do better."""

    def __init__(
        self,
        engines: Sequence[Grade[Answer]],
        units: Iterator[Unit],
        *,
        retry: Callable[[Exception], bool],
        ahead: int = AHEAD,
    ) -> None:
        self._engines = engines
        self._units = units
        self._retry = retry
        self._ahead = ahead
        self._changed = threading.Condition()
        self._returned: deque[Unit] = deque()
        self._exhausted = False
        self._input_error: Exception | None = None
        self._in_flight = 0  # submissions taken and not yet yielded
        self._unanswered = 0  # units taken and not yet answered
        self._stopped = False
        self._answers: queue.SimpleQueue[tuple[Unit, Answer] | Exception | None] = queue.SimpleQueue()

    def answers(self) -> Iterator[tuple[Unit, Answer]]:
        """Yields every unit with its answer, in the order of the input."""
        threads = [threading.Thread(target=self._feed, args=(grade,), daemon=True) for grade in self._engines]
        for thread in threads:
            thread.start()
        waiting: dict[int, tuple[Unit, Answer]] = {}
        upcoming, alive = 0, len(threads)
        try:
            while alive:
                match self._answers.get():
                    case None:
                        alive -= 1
                    case Exception() as error:
                        alive -= 1
                        if not alive or not self._retry(error):
                            raise error
                    case (unit, answer):
                        waiting[unit.number] = unit, answer
                while upcoming in waiting:
                    unit, answer = waiting.pop(upcoming)
                    upcoming += 1
                    with self._changed:
                        self._in_flight -= len(unit.programs)
                        self._changed.notify_all()
                    yield unit, answer
            if self._input_error is not None:
                raise self._input_error
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()

    def _feed(self, grade: Grade[Answer]) -> None:
        taken: dict[int, Unit] = {}
        try:
            while self._wait_for_work():
                # `grade` takes units until there is none to take: it must not wait inside, since
                # it may be the answers to what it has already that make room for more.
                for unit, answer in grade(self._take(taken)):
                    del taken[unit.number]
                    with self._changed:
                        self._unanswered -= 1
                        self._changed.notify_all()
                    self._answers.put((unit, answer))
        except Exception as error:
            with self._changed:
                self._unanswered -= len(taken)
                self._returned.extend(taken.values())
                self._changed.notify_all()
            self._answers.put(error)
        else:
            self._answers.put(None)

    def _wait_for_work(self) -> bool:
        """Returns when there may be units to take, False when there never will be any more."""
        with self._changed:
            while not self._stopped:
                if self._returned or (not self._exhausted and self._in_flight < self._ahead):
                    return True
                if self._exhausted and not self._unanswered:
                    return False
                self._changed.wait()
        return False

    def _next_unit(self) -> Unit | None:
        try:
            unit = next(self._units, None)
        except Exception as error:  # bad input: what stands before it is graded all the same
            self._input_error, unit = error, None
        if unit is None:
            self._exhausted = True
            self._changed.notify_all()
        return unit

    def _take(self, taken: dict[int, Unit]) -> Iterator[Unit]:
        while not self._stopped:
            with self._changed:
                if self._returned:
                    unit = self._returned.popleft()
                elif self._exhausted or self._in_flight >= self._ahead:
                    return
                else:
                    following = self._next_unit()
                    if following is None:
                        return
                    unit = following
                    self._in_flight += len(unit.programs)
                self._unanswered += 1
                taken[unit.number] = unit
            yield unit
