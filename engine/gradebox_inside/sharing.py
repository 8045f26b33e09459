"""Which containers both sides hold, which of them changed, and when one can be forgotten."""

from __future__ import annotations

import builtins
from _operator import is_
from collections import deque
from sys import getrefcount

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gradebox_inside.memo import Memo


def _elements(container: Any) -> Any:
    """The container's elements as they are now: changed in place means that one of them is another object."""
    if isinstance(container, dict):
        return [*dict.keys(container), *dict.values(container)]
    if isinstance(container, bytearray):
        return bytes(container)
    return [*container]


def _same(old: Any, new: Any) -> bool:
    if type(new) is bytes:
        return bool(old == new)
    return len(old) == len(new) and all(map(is_, old, new))


def _own_references() -> int:
    """What getrefcount says in `_outside` of an object that only the memo's table refers to."""
    table = {0: []}  # type: ignore[var-annotated]
    for _, container in table.items():
        return getrefcount(container)
    return 0


_OWN = _own_references()
_KEPT = 256
_NESTING = (list, dict, set, deque)


class Sharing:
    """Follows the containers in a Memo."""

    def __init__(self, memo: Memo) -> None:
        self._memo = memo
        self._seen: dict[int, Any] = {}

    def changed(self) -> list[Any]:
        """The containers that are not what they were when a message last carried them."""
        if not self._memo.objects:
            return []
        seen = self._seen
        return [
            container
            for number, container in self._memo.objects.items()
            if not _same(seen.get(number, ()), _elements(container))
        ]

    def sent(self) -> list[int]:
        """After writing a message: remembers what it carried. Returns the numbers of forgotten containers.

        What the message itself still refers to is kept, and forgotten with a later one.
        """
        if not self._memo.objects:
            return []
        self._remember()
        return self._forget()

    def failed(self) -> None:
        """The message could not be written: what it would have introduced was not."""
        for number in self._memo.visits:
            if number not in self._seen:
                self._memo.drop(number)

    def received(self, forgotten: list[int]) -> None:
        """After reading a message, with the numbers that the other side has forgotten."""
        if self._memo.objects:
            self._remember()
            for number in forgotten:
                self._memo.drop(number)
                self._seen.pop(number, None)

    def _remember(self) -> None:
        objects = self._memo.objects
        for number in self._memo.visits:
            container = objects.get(number)
            if container is not None:
                self._seen[number] = _elements(container)

    def _forget(self) -> list[int]:
        """Drops what nothing but the messages refers to, unless something that is kept contains it."""
        numbers = self._memo.numbers
        inside: dict[int, int] = {}
        children: dict[int, list[int]] = {}
        for number, elements in self._seen.items():
            if type(elements) is bytes:
                continue
            found = _mutable_inside(elements, numbers)
            if found:
                children[number] = [n for n, _ in found]
                for child, references in found:
                    inside[child] = inside.get(child, 0) + references
        kept: set[int] = set()
        for number, container in self._memo.objects.items():
            if getrefcount(container) > _OWN + inside.get(number, 0):
                kept.add(number)
        stack = list(kept)
        while stack:
            for child in children.get(stack.pop(), ()):
                if child not in kept:
                    kept.add(child)
                    stack.append(child)
        if len(kept) > _KEPT:  # every message looks at all of them: the oldest become copies
            recent = {*list(self._memo.objects)[-_KEPT:], *self._memo.visits}
            kept &= recent
        forgotten = [number for number in self._memo.objects if number not in kept]
        for number in forgotten:
            self._memo.drop(number)
            self._seen.pop(number, None)
        return forgotten


def _mutable_inside(elements: list[Any], numbers: dict[int, int]) -> list[tuple[int, int]]:
    """(number, references) of the shared containers among the elements: in the container and in our copy of it."""
    found = []
    for element in elements:
        if isinstance(element, tuple):
            found += [(n, 1) for n, _ in _mutable_inside(list(element), numbers)]
        elif isinstance(element, _NESTING):
            number = numbers.get(id(element))
            if number is not None:
                found.append((number, 2))
    return found
