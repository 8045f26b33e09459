"""Numbers for mutable containers that two processes both hold, so that aliasing and changes can be told.

Used by the peers of the general path; the fast path has no memo. A container's first place in a message is
written as `m`, number, contents; later places in the same message as `@`, number. Whoever decodes creates the
container under that number, or brings the one it has up to date in place.
"""

from __future__ import annotations

import builtins
from struct import Struct

from gradebox_inside.values import CodecError

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_mark = Struct("<cI").pack


class Memo:
    """The containers of one peer: `objects` by number, `numbers` by id(). Numbers given here step by two.

    The two peers count from 0 and from 1, so that they never give the same number to two containers.
    """

    __slots__ = ("next", "numbers", "objects", "visits")

    def __init__(self, first: int) -> None:
        self.next = first
        self.objects: dict[int, Any] = {}
        self.numbers: dict[int, int] = {}
        self.visits: dict[int, int] = {}

    def begin(self) -> None:
        """A new message: every container is written out again at its first place."""
        self.visits = {}

    def enter(self, container: Any, out: bytearray) -> bool:
        """Writes the mark; True when the contents are in this message already."""
        number = self.numbers.get(id(container))
        if number is None:
            number = self.next
            self.next += 2
            self.objects[number] = container
            self.numbers[id(container)] = number
        seen = self.visits.get(number, 0)
        self.visits[number] = seen + 1
        out += _mark(b"@" if seen else b"m", number)
        return seen > 0

    def recall(self, number: int) -> Any:
        """The container that a message refers to."""
        try:
            return self.objects[number]
        except KeyError:
            raise CodecError("reference to nothing") from None

    def place(self, number: int, container: Any) -> None:
        """Registers a container that a message defines."""
        self.objects[number] = container
        self.numbers[id(container)] = number

    def drop(self, number: int) -> None:
        """Forgets a container; its number is never given again."""
        container = self.objects.pop(number, None)
        if container is not None:
            self.numbers.pop(id(container), None)


def bring_up_to_date(held: Any, value: Any) -> None:
    """Gives a container new contents in place; one that somebody iterates over is left alone where it can be."""
    if isinstance(held, dict):
        if len(held) != len(value) or any(a is not b and a != b for a, b in zip(held, value, strict=True)):
            held.clear()
        for key, item in value.items():
            held[key] = item
    elif isinstance(held, set):
        if held != value or len(held) != len(value):
            held.clear()
            held |= value
    elif isinstance(held, list | bytearray):
        held[:] = value
    else:  # a deque
        held.clear()
        held.extend(value)
