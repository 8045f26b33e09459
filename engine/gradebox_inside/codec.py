"""The codec: plain data ↔ bytes, the same on both sides of the boundary.

Every value is a one-byte tag and its contents; lengths and counts are u32, little-endian.

    N T F ~ !   None, True, False, Ellipsis, NotImplemented
    i J f c     int64; larger int (length, two's complement); float64; complex
    s b B       str (UTF-8 with surrogatepass), bytes, bytearray: length, bytes
    l t d       list, tuple, dict: count, elements (key, value, key, value, …)
    P p         list, tuple of 3 or more elements, packed: I int64s, D floats, S strings
    e z         set, frozenset: a list in canonical order
    r : k v w   range, slice, dict views (keys, values, items)
    . / u a U   Decimal, Fraction, UUID, array.array, path (class name, text)
    C R G Q V   Counter, OrderedDict, defaultdict, deque, namedtuple
    A M H L W   date, datetime, time, timedelta, timezone
    Y n         a type by name, a numpy array or scalar
    O           an Opaque: i64 handle, u16 flags, u8 truth, name, base or "-", extra
    m @         shared container, reference to one (only with a memo, between peers)

Only exact types are plain: a program's subclass of a plain type is an Opaque whose `base` holds the content.
Equal bytes mean equal values, unless a NaN is inside.
"""

from __future__ import annotations

import builtins

from gradebox_inside.decode import decode
from gradebox_inside.encode import encode
from gradebox_inside.values import (
    AWAITABLE,
    CALLABLE,
    CLASS,
    EXCEPTION,
    ITERABLE,
    ITERATOR,
    MODULE,
    NO_BASE,
    RECEIVERS,
    SIZED,
    Budget,
    CodecError,
    NotPlain,
    Opaque,
    OverBudget,
)

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "AWAITABLE",
    "CALLABLE",
    "CLASS",
    "EXCEPTION",
    "ITERABLE",
    "ITERATOR",
    "MODULE",
    "NO_BASE",
    "RECEIVERS",
    "SIZED",
    "Budget",
    "CodecError",
    "NotPlain",
    "Opaque",
    "OverBudget",
    "decode",
    "encode",
    "has_nan",
]


def has_nan(value: Any) -> bool:
    """Whether a NaN (float, complex or Decimal) is anywhere in a plain value: equal bytes then prove nothing."""
    stack = [value]
    while stack:
        v = stack.pop()
        kind = type(v)
        if kind is float or kind is complex:
            if v != v:
                return True
        elif kind is str or kind is int or kind is bytes or kind is bool:
            continue
        elif isinstance(v, dict):
            stack.extend(v.keys())
            stack.extend(v.values())
        elif isinstance(v, slice):
            stack += (v.start, v.stop, v.step)
        elif kind is Opaque or kind.__name__ in ("ndarray", "array") or kind.__module__ == "numpy":
            return True  # not looked into: say so on the safe side
        elif kind.__name__ == "Decimal":
            if v.is_nan():
                return True
        elif hasattr(v, "__iter__") and not isinstance(v, range | bytearray | type):
            stack.extend(v)
    return False
