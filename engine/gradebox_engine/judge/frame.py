"""What a check runs in: the program's answers, local names of helpers, and a budget of work."""

from collections.abc import Callable
from typing import Any, Final

# One unit is about one step of the evaluator, or 64 elements moved at C speed: about a second in all.
FUEL: Final = 2_000_000
MAX_ITEMS: Final = 1_000_000  # elements of any container or text that a check makes
MAX_BITS: Final = 1 << 16  # size of integers that go into or come out of superlinear arithmetic
_FREE_WALKS: Final = 64


class Undecidable(Exception):
    """The judge does not decide this: too costly, not plain data, or not known to it. The oracle will."""


class Unsupported(Exception):
    """The test's text has something that the fast path has no meaning for. Raised while planning only."""


class Incomplete(Exception):
    """The check needs an answer that has not come."""


class ProgramRaised(Exception):
    """A call into the program raised; `info` is what its process says about that (hostile)."""

    def __init__(self, info: Any) -> None:
        super().__init__()
        self.info = info


class Frame:
    """One evaluation of one check."""

    __slots__ = ("depth", "fuel", "locals", "outcomes", "walks")

    def __init__(self, outcomes: list[Any], fuel: int = FUEL) -> None:
        self.outcomes = outcomes
        self.locals: dict[str, Any] = {}
        self.fuel = fuel
        self.depth = 0
        self.walks = 0

    def spend(self, units: int) -> None:
        """Pays for work; raises Undecidable when the budget is used up."""
        self.fuel -= units
        if self.fuel < 0:
            raise Undecidable("budget")

    def spend_items(self, count: int) -> None:
        """Pays for moving `count` elements, and refuses more than MAX_ITEMS at once."""
        if count > MAX_ITEMS:
            raise Undecidable("size")
        self.fuel -= 1 + (count >> 6)
        if self.fuel < 0:
            raise Undecidable("budget")

    def spend_walk(self, value: Any) -> None:
        """Pays for going through a whole value. The first times are free: only loops can make that many."""
        self.walks += 1
        if self.walks <= _FREE_WALKS:
            return
        stack = [value]
        while stack:
            v = stack.pop()
            if type(v) in (list, tuple, set, frozenset, dict):
                self.spend(1 + len(v))
                stack.extend(v.values() if type(v) is dict else v)
            elif type(v) in (str, bytes, int):
                self.spend(1 + v.__sizeof__() // 1024)


type Code = Callable[[Frame], Any]


def answer(frame: Frame, index: int) -> Any:
    """The program's answer to one call. Raises ProgramRaised, Incomplete, Undecidable."""
    if index >= len(frame.outcomes):
        raise Incomplete
    outcome = frame.outcomes[index]
    if outcome[0] == "value":
        return outcome[1]
    if outcome[0] == "raised":
        raise ProgramRaised(outcome[1])
    raise Undecidable("over budget")
