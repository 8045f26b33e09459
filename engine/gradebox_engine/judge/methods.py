"""Methods and attributes of plain data that a check may use. None of them changes its object."""

import datetime
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from gradebox_engine.judge.equality import equal
from gradebox_engine.judge.frame import MAX_ITEMS, Frame, Undecidable
from gradebox_engine.judge.kinds import (
    INTEGERS,
    MAPPINGS,
    SEQUENCES,
    SETS,
    TEXTS,
    Items,
    has_opaque,
    hashable,
    is_namedtuple,
    items,
    key,
    known,
    ordered,
    slow_together,
    small,
)

_MAX_SEARCH: Final = 1 << 28

type _Method = Callable[[Frame, Any, list[Any], dict[str, Any]], Any]


def _native(name: str) -> _Method:
    """A method whose cost and result are linear in its object and plain arguments."""

    def run(frame: Frame, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        tables = False
        for x in (value, *args, *kwargs.values()):
            if type(x) in SETS or type(x) in MAPPINGS:
                tables = hashable(frame, items(frame, x)) is not None
            elif type(x) in SEQUENCES:
                items(frame, x)
                if type(x) not in TEXTS and has_opaque(frame, x):
                    raise Undecidable("handles")
                if type(x) is type(value) and len(x) * len(value) > _MAX_SEARCH and x is not value:
                    raise Undecidable("size")  # rfind and strip may look at each for each
                if type(value) in SETS and type(x) not in TEXTS:
                    hashable(frame, x if type(x) is list else list(x))
            else:
                small(known(x))
        if tables and slow_together(value, *args, *kwargs.values()):
            raise Undecidable("large numbers")
        return getattr(value, name)(*args, **kwargs)

    return run


def _pad(name: str) -> _Method:
    def run(frame: Frame, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        for x in args:
            if type(x) in INTEGERS and x > MAX_ITEMS:
                raise Undecidable("size")
        return _native(name)(frame, value, args, kwargs)

    return run


def _replace(frame: Frame, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) >= 2 and all(type(x) is type(value) for x in args[:2]):
        if (len(value) + 1) * (1 + len(args[1])) > 4 * MAX_ITEMS:
            raise Undecidable("size")
    return _native("replace")(frame, value, args, kwargs)


def _join(frame: Frame, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) != 1 or kwargs:
        raise Undecidable("join")
    parts = list(ordered(frame, args[0]))
    size = 0
    for part in parts:
        size += len(value) + (len(part) if type(part) is type(value) else 0)
        known(part)
    frame.spend_items(size)
    return value.join(parts)


def _search(name: str) -> _Method:
    """`index` and `count` of sequences that are no text."""

    def run(frame: Frame, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) != 1 or kwargs:
            raise Undecidable(name)
        found = [i for i, x in enumerate(items(frame, value)) if x is args[0] or equal(frame, x, args[0])]
        if name == "count":
            return len(found)
        if not found:
            raise ValueError(f"not in {type(value).__name__}")
        return found[0]

    return run


def _get(frame: Frame, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if not 1 <= len(args) <= 2 or kwargs:
        raise Undecidable("get")
    key(frame, args[0])
    if args[0] not in value and has_opaque(frame, list(value)):
        raise Undecidable("get")
    return value.get(*args)


def _view(name: str) -> _Method:
    def run(frame: Frame, value: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return getattr(value, name)(*args, **kwargs)

    return run


def _each(make: Callable[[str], _Method], *names: str) -> dict[str, _Method]:
    return {name: make(name) for name in names}


def _text(*names: str) -> dict[str, _Method]:
    return _each(_native, *names)


_BOTH: Final = _text(
    *"capitalize count endswith find index isalnum isalpha isascii isdigit islower isspace istitle".split(),
    *"isupper lower lstrip partition removeprefix removesuffix rfind rindex".split(),
    *"rpartition rsplit rstrip split splitlines startswith strip swapcase title upper".split(),
) | {
    "center": _pad("center"),
    "join": _join,
    "ljust": _pad("ljust"),
    "replace": _replace,
    "rjust": _pad("rjust"),
    "zfill": _pad("zfill"),
}
_SET: Final = _text(
    *"difference intersection isdisjoint issubset issuperset symmetric_difference union".split(),
)
_DICT: Final[dict[str, _Method]] = {
    "get": _get,
    "items": _view("items"),
    "keys": _view("keys"),
    "values": _view("values"),
    "copy": _view("copy"),
}
_LIST: Final = {"count": _search("count"), "index": _search("index"), "copy": _view("copy")}

METHODS: Final[dict[type, dict[str, _Method]]] = {
    str: _BOTH | _text(*"casefold isdecimal isidentifier isnumeric isprintable".split()),
    bytes: _BOTH | _text("hex", "decode"),
    list: _LIST,
    tuple: {name: _LIST[name] for name in ("count", "index")},
    deque: {name: _LIST[name] for name in ("count", "copy")},
    range: _text("count", "index"),
    dict: _DICT,
    OrderedDict: _DICT,
    defaultdict: _DICT,
    Counter: _DICT | _text("most_common", "total"),
    set: _SET,
    frozenset: _SET,
    int: _text("bit_length", "bit_count", "conjugate", "is_integer"),
    bool: _text("bit_length", "bit_count", "conjugate"),
    float: _text("is_integer", "conjugate", "hex", "as_integer_ratio"),
    complex: _text("conjugate"),
    datetime.datetime: _text("date", "isoformat", "time", "weekday", "isoweekday"),
    datetime.date: _text("isoformat", "weekday", "isoweekday"),
    datetime.time: _text("isoformat"),
    datetime.timedelta: _text("total_seconds"),
    Decimal: _text("is_nan", "is_zero"),
    Fraction: {},
}
METHOD_NAMES: Final = frozenset(name for methods in METHODS.values() for name in methods)

_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    int: ("real", "imag", "numerator", "denominator"),
    bool: ("real", "imag", "numerator", "denominator"),
    float: ("real", "imag"),
    complex: ("real", "imag"),
    Fraction: ("numerator", "denominator"),
    datetime.datetime: ("year", "month", "day", "hour", "minute", "second", "microsecond", "tzinfo"),
    datetime.date: ("year", "month", "day"),
    datetime.time: ("hour", "minute", "second", "microsecond", "tzinfo"),
    datetime.timedelta: ("days", "seconds", "microseconds"),
    range: ("start", "stop", "step"),
    slice: ("start", "stop", "step"),
}


def call_method(frame: Frame, value: Any, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """`value.name(*args, **kwargs)`; AttributeError where plain data has no such method."""
    frame.spend(1)
    method = METHODS.get(type(value), {}).get(name)
    if method is None:
        return _lacking(value, name)
    return method(frame, value, args, kwargs)


def attribute(frame: Frame, value: Any, name: str) -> Any:
    """`value.name`, not called."""
    frame.spend(1)
    if is_namedtuple(value) and name in type(value)._fields:
        return getattr(value, name)
    if name in _FIELDS.get(type(value), ()):
        return getattr(value, name)
    if isinstance(value, type) and name == "__name__":
        return value.__name__
    return _lacking(value, name)


def _lacking(value: Any, name: str) -> Any:
    if type(value) is Items or is_namedtuple(value) or isinstance(value, type) or hasattr(known(value), name):
        raise Undecidable(name)  # it is there, only not known to be cheap
    raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")
