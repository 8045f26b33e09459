"""Which values the judge knows. All by exact type: subclasses carry code of their own."""

import array
import datetime
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from types import GeneratorType
from typing import Any, Final

from gradebox_engine.judge.frame import MAX_BITS, Frame, Undecidable
from gradebox_inside.codec import Opaque

INTEGERS: Final = frozenset({int, bool})
REALS: Final = frozenset({int, bool, float})
NUMBERS: Final = frozenset({int, bool, float, complex})
TEXTS: Final = frozenset({str, bytes, bytearray})
SEQUENCES: Final = frozenset({str, bytes, bytearray, list, tuple, range, deque})
MAPPINGS: Final = frozenset({dict, Counter, OrderedDict, defaultdict})
SETS: Final = frozenset({set, frozenset})
VIEWS: Final = frozenset({type({}.keys()), type({}.values()), type({}.items())})
TIMES: Final = frozenset({datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone})
EXACT: Final = frozenset({Decimal, Fraction})
SINGLETONS: Final = frozenset({type(None), type(...), type(NotImplemented)})
CONTAINERS: Final = SEQUENCES | MAPPINGS | SETS | VIEWS
KNOWN: Final = CONTAINERS | NUMBERS | TIMES | EXACT | SINGLETONS | {type, slice, uuid.UUID, array.array}
# Leaves that natively compare and hash at a cost bounded by their own size.
SCALARS: Final = NUMBERS | {str, bytes, type(None)}


class Items(list[Any]):
    """What zip(), map() and the like give: good for one iteration, and for nothing else."""


def is_namedtuple(value: Any) -> bool:
    """Whether this is an instance of a namedtuple class that the codec made."""
    kind = type(value)
    return kind.__mro__[1:] == (tuple, object) and hasattr(kind, "_fields")


def known(value: Any) -> Any:
    """`value` itself; raises Undecidable where it is no plain data (its elements are not looked at)."""
    if type(value) in KNOWN or is_namedtuple(value):
        return value
    raise Undecidable(type(value).__name__)


def small(value: Any) -> Any:
    """`value`; raises Undecidable for exact numbers on which arithmetic may be slow."""
    kind = type(value)
    if kind is int:
        if value.bit_length() > MAX_BITS:
            raise Undecidable("large int")
    elif kind is Decimal:
        if value.is_finite() and (abs(value.adjusted()) > 4096 or len(value.as_tuple().digits) > 4096):
            raise Undecidable("large Decimal")
    elif kind is Fraction and max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise Undecidable("large Fraction")
    return value


def truth(frame: Frame, value: Any) -> bool:
    """`bool(value)`."""
    if value is True or value is False:
        return value
    if type(value) is Opaque:
        if value.truth is not None:
            return bool(value.truth)
        raise Undecidable("truth of a handle")
    if isinstance(value, type):
        return True
    return bool(known(value))


def items(frame: Frame, value: Any) -> Any:
    """The value as something to iterate over that is known to be finite and paid for; TypeError as Python's."""
    kind = type(value)
    if kind in CONTAINERS or kind is Items or is_namedtuple(value) or kind is array.array:
        if kind is range:
            frame.spend_items(_range_length(value))
        else:
            frame.spend_items(len(value))
        return value
    if kind is GeneratorType:
        return value  # a generator expression of the test: answers are never generators
    if kind is Opaque:
        raise Undecidable("iteration over a handle")
    return iter(known(value))  # not iterable: raises TypeError


def ordered(frame: Frame, value: Any) -> Any:
    """`items`, for where the order matters: that of a set is not the same in two processes."""
    if type(value) in SETS and len(value) > 1:
        raise Undecidable("order of a set")
    return items(frame, value)


def _range_length(value: range) -> int:
    try:
        return len(value)
    except OverflowError:
        raise Undecidable("size") from None


def has_opaque(frame: Frame, value: Any) -> bool:
    """Whether a handle, or anything else that is not plain data, is anywhere in the value."""
    stack = [value]
    while stack:
        v = stack.pop()
        kind = type(v)
        if kind in SCALARS or kind is range:
            continue
        if kind in MAPPINGS:
            frame.spend_items(len(v))
            stack.extend(v.keys())
            stack.extend(v.values())
        elif kind in CONTAINERS or kind is Items or is_namedtuple(v):
            frame.spend_items(len(v))
            if kind not in TEXTS:
                stack.extend(v)
        elif kind not in KNOWN and not isinstance(v, type):
            return True
    return False


def exotic(value: Any) -> bool:
    """Whether native `==` on this may be slow against other exact numbers (Decimal and Fraction inside)."""
    stack = [value]
    while stack:
        v = stack.pop()
        kind = type(v)
        if kind in MAPPINGS:
            stack.extend(v.keys())
            stack.extend(v.values())
        elif kind in EXACT:
            return True
        elif (kind in CONTAINERS and kind not in TEXTS and kind is not range) or is_namedtuple(v):
            stack.extend(v)
    return False


def content(value: Any) -> Any:
    """The plain data that a handle says it holds (NO_BASE if none), or the value itself."""
    return value.base if type(value) is Opaque else value


_FREE_COLLISIONS = 64
# From so many keys on, a table of numbers may have been chosen to take quadratic time, whatever their hashes.
_MANY_KEYS = 1 << 14


def hashable(frame: Frame, values: Any) -> Any:
    """`values`, for a set or as keys; raises Undecidable for handles, and where a table of them may be slow."""
    if has_opaque(frame, values) or slow_together(values):
        raise Undecidable("hash of a handle")
    if len(values) <= _FREE_COLLISIONS or {*map(type, values)} <= {str, bytes}:
        return values
    if len(values) > _MANY_KEYS:
        raise Undecidable("many keys")
    frame.spend(len(values) >> 3)
    counts = Counter(map(hash, values))
    crowded: dict[int, list[Any]] = {h: [] for h, n in counts.items() if n > _FREE_COLLISIONS}
    if crowded:
        for value in values:
            different = crowded.get(hash(value))
            if different is not None and value not in different:
                different.append(value)
                if len(different) > _FREE_COLLISIONS:
                    raise Undecidable("colliding hashes")
    return values


def slow_together(*values: Any) -> bool:
    """Whether there are both exact numbers and large ones in these: comparing or adding such takes quadratic time."""
    exact = large = False
    stack = list(values)
    while stack:
        v = stack.pop()
        kind = type(v)
        if kind is int:
            large = large or v.bit_length() > MAX_BITS
        elif kind in EXACT:
            exact = True
            try:
                small(v)
            except Undecidable:
                large = True
        elif kind in MAPPINGS:
            stack.extend(v.keys())
            stack.extend(v.values())
        elif (kind in CONTAINERS and kind not in TEXTS and kind is not range) or kind is Items or is_namedtuple(v):
            stack.extend(v)
    return exact and large


def key(frame: Frame, value: Any) -> Any:
    """`value`, to look up in a set or mapping; raises Undecidable for handles, and numbers that are slow to compare."""
    if type(value) is int:
        return small(value)
    if type(value) not in SCALARS and (has_opaque(frame, value) or exotic(value) or slow_together(value, Decimal(1))):
        raise Undecidable("key")
    return value
