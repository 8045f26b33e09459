"""`==`, ordering and membership of values that may hold handles, as Python has them and at a bounded cost."""

import operator
from collections import deque
from collections.abc import Callable
from typing import Any

from gradebox_engine.judge.frame import Frame, Undecidable
from gradebox_engine.judge.kinds import (
    CONTAINERS,
    EXACT,
    INTEGERS,
    MAPPINGS,
    NUMBERS,
    SCALARS,
    SETS,
    TEXTS,
    VIEWS,
    Items,
    exotic,
    has_opaque,
    is_namedtuple,
    key,
    known,
    small,
)
from gradebox_inside.codec import NO_BASE, Opaque

_MAX_DEPTH = 200
_FREE_CHARS = 1024


def equal(frame: Frame, a: Any, b: Any) -> bool:
    """`a == b`. Handles are equal to themselves, and to plain data that their content is equal to."""
    if type(a) in SCALARS and type(b) in SCALARS:
        frame.spend(1)
        if type(a) is str and len(a) > _FREE_CHARS:
            frame.spend(len(a) // _FREE_CHARS)
        return bool(a == b)
    frame.spend_walk(a)
    if exotic(a) or exotic(b):
        return _deep(frame, a, b, 0)
    return equal_to_constant(frame, a, b)


def equal_to_constant(frame: Frame, a: Any, b: Any) -> bool:
    """`a == b` where one of the two is known to hold no Decimal and no Fraction, so that `==` is cheap."""
    if type(a) is not Opaque and type(b) is not Opaque:
        try:
            same = a == b
        except RecursionError:
            raise Undecidable("depth") from None
        if same is True:
            return True
        if same is False and not has_opaque(frame, a) and not has_opaque(frame, b):
            return False
    return _deep(frame, a, b, 0)


def _deep(frame: Frame, a: Any, b: Any, depth: int) -> bool:
    """Equality step by step, in pure Python."""
    frame.spend(1)
    if a is b and depth:
        return True  # containers ask for identity first: [nan] == [nan] for one and the same nan
    ka, kb = type(a), type(b)
    if ka is Opaque or kb is Opaque:
        return _with_handle(frame, a, b, depth)
    if ka in SCALARS and kb in SCALARS:
        return bool(a == b)
    if ka in EXACT or kb in EXACT:
        if (ka in NUMBERS or ka in EXACT) and (kb in NUMBERS or kb in EXACT):
            return bool(small(a) == small(b))
        known(a), known(b)
        return False
    if depth > _MAX_DEPTH:
        raise Undecidable("depth")
    if _sequence(a) and _sequence(b):
        if _shape(a) is not _shape(b) or len(a) != len(b):
            return False
        return all(_deep(frame, x, y, depth + 1) for x, y in zip(a, b, strict=True))
    if ka in MAPPINGS and kb in MAPPINGS and ka not in _ORDERED and kb not in _ORDERED:
        return _mappings(frame, a, b, depth)
    if has_opaque(frame, a) or has_opaque(frame, b) or exotic(a) or exotic(b):
        raise Undecidable("elements of a set or view that are no plain data")
    return bool(a == b)


def equal_as_json(frame: Frame, answer: Any, expected: Any) -> bool:
    """Whether an answer equals a JSON value, where tuples count as lists at any depth."""
    if type(answer) is Opaque:
        answer = answer.base if answer.base is not NO_BASE else answer
    ka, kb = type(answer), type(expected)
    frame.spend(1)
    if kb is list:
        if (ka is not list and ka is not tuple and not is_namedtuple(answer)) or len(answer) != len(expected):
            return False
        if answer == expected and ka is list:
            return True
        return all(equal_as_json(frame, x, y) for x, y in zip(answer, expected, strict=True))
    if kb is dict:
        if ka not in MAPPINGS or len(answer) != len(expected) or has_opaque(frame, list(answer)):
            return False
        return all(k in answer and equal_as_json(frame, answer[k], v) for k, v in expected.items())
    return equal(frame, answer, expected)


def _with_handle(frame: Frame, a: Any, b: Any, depth: int) -> bool:
    if type(a) is Opaque and type(b) is Opaque:
        if a.handle == b.handle and a.handle >= 0:
            return True
        raise Undecidable("two handles")
    handle, other = (a, b) if type(a) is Opaque else (b, a)
    if handle.base is not NO_BASE:
        return _deep(frame, handle.base, other, depth + 1)
    known(other)
    return False  # only its own __eq__ could say otherwise, and that is the program's word


def _sequence(value: Any) -> bool:
    kind = type(value)
    return kind is list or kind is tuple or kind is deque or is_namedtuple(value)


def _shape(value: Any) -> type:
    return type(value) if type(value) in (list, deque) else tuple


_ORDERED = frozenset(k for k in MAPPINGS if k.__name__ in ("OrderedDict", "Counter"))


def _mappings(frame: Frame, a: Any, b: Any, depth: int) -> bool:
    if len(a) != len(b):
        return False
    for k, value in a.items():
        key(frame, k)
        if k not in b or not _deep(frame, value, b[k], depth + 1):
            if any(has_opaque(frame, x) for x in b):
                raise Undecidable("key")
            return False
    return True


def order(compare: Callable[[Any, Any], Any]) -> Callable[[Frame, Any, Any], Any]:
    """A guarded form of <, <=, > or >=."""

    def guarded(frame: Frame, a: Any, b: Any) -> Any:
        frame.spend(1)
        if type(a) in SCALARS and type(b) in SCALARS:
            return compare(a, b)  # raises TypeError where Python does
        frame.spend_walk(a)
        for value in (a, b):
            if type(value) in EXACT:
                small(value)
            elif type(value) in CONTAINERS or is_namedtuple(value):
                if has_opaque(frame, value) or exotic(value):
                    raise Undecidable("order of elements")
            elif type(value) is int:
                small(value)
            else:
                known(value)
        return compare(a, b)

    return guarded


less = order(operator.lt)


def identical(frame: Frame, a: Any, b: Any) -> bool:
    """`a is b`, where one of the two is a singleton, a type, or something that is never the same object."""
    if type(a) is Opaque and type(b) is Opaque:
        return bool(a is b or a.handle == b.handle >= 0)
    return a is b


def contains(frame: Frame, container: Any, item: Any) -> bool:
    """`item in container`."""
    kind = type(container)
    if kind is Opaque or type(item) is Opaque or kind is Items:
        raise Undecidable("membership")
    if kind in TEXTS:
        frame.spend_items(len(container))
        known(item)
        return bool(item in container)
    if kind is range:
        if type(item) in INTEGERS:
            return bool(item in container)
        frame.spend_items(len(container))  # anything else is looked for one by one
        known(item)
        return bool(item in container)
    if kind in MAPPINGS or kind in SETS or (kind in VIEWS and kind is not _VALUES):
        key(frame, item)
        if item in container:
            return True
        if has_opaque(frame, container):
            raise Undecidable("membership")
        return False
    known(container)
    if kind not in CONTAINERS and not is_namedtuple(container):
        return bool(item in container)  # raises TypeError
    frame.spend_items(len(container))
    if type(item) in SCALARS:
        return any(x is item or equal_to_constant(frame, x, item) for x in container)
    return any(x is item or equal(frame, x, item) for x in container)


_VALUES: type = type({}.values())
