"""Sets and dictionaries made of keys that a hostile process may have chosen so that they collide."""

from __future__ import annotations

import builtins
from _operator import eq
from time import thread_time

from gradebox_inside.values import CodecError, OverBudget

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_COLLISIONS_FROM = 32  # below this many keys, colliding hashes cannot cost anything that matters
# Pairs of keys with equal hashes are compared: so many in all, and for each key.
_FREE_PAIRS, _PAIRS_A_KEY = 1024, 32
# Keys with different hashes can still be chosen so that a table looks at all of them for each. Python's hashes of
# numbers are no secret, those of text are. Honest keys take a tenth of the time that is given here.
_UNWATCHED_KEYS = 4096
_WATCH_STEP = 64
_TABLE_S, _TABLE_S_A_KEY = 1.0, 2e-6
_TEXTS = frozenset({str, bytes})


def _is_watched(keys: list[Any], costly: bool) -> bool:
    """Whether to watch the time that a table of these keys takes. Raises CodecError where too many would be compared.

    costly: there are keys among them of which comparing one with another may take quadratic time: OverBudget.
    Honest keys are seldom refused: it takes many of one hash, such as the powers of two beyond the 60th.
    """
    if costly:
        raise OverBudget("keys beside a Decimal and a large int")
    n = len(keys)
    if n <= _COLLISIONS_FROM or {*map(type, keys)} <= _TEXTS:
        return False
    hashes = sorted(map(hash, keys))  # sorted, not counted: a table of them would have the same collisions
    if any(map(eq, hashes, hashes[1:])):
        pairs = run = 0
        for same in map(eq, hashes, hashes[1:]):
            run = run + 1 if same else 0
            pairs += run
        if pairs > _FREE_PAIRS + _PAIRS_A_KEY * n:
            raise CodecError("colliding keys")
    return n > _UNWATCHED_KEYS


def _fill(table: Any, n: int, part: Callable[[int, int], Any]) -> Any:
    """Adds `part(start, end)` of n elements to a set or a dictionary until it takes too long."""
    end_s = thread_time() + _TABLE_S + _TABLE_S_A_KEY * n
    for at in range(0, n, _WATCH_STEP):
        table.update(part(at, at + _WATCH_STEP))
        if thread_time() > end_s:
            raise CodecError("colliding keys")
    return table


def make_dict(keys: list[Any], values: list[Any], costly: bool) -> dict[Any, Any]:
    """The dictionary of these keys and values.

    Raises CodecError where its keys collide, or take too long; OverBudget where they are `costly`.
    """
    if _is_watched(keys, costly):
        made: dict[Any, Any] = _fill({}, len(keys), lambda at, to: zip(keys[at:to], values[at:to], strict=True))
        return made
    return dict(zip(keys, values, strict=True))


def elements(items: list[Any], costly: bool) -> Any:
    """The items, or a set of them where making one has to be watched. Raises as `make_dict` does."""
    return _fill(set(), len(items), lambda at, to: items[at:to]) if _is_watched(items, costly) else items
