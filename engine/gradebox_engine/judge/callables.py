"""What a check may call: the type Function, and the constructors of plain types."""

import collections
import datetime
import decimal
import fractions
from collections.abc import Callable
from typing import Any, Final

from gradebox_engine.judge.frame import MAX_BITS, MAX_ITEMS, Frame, Undecidable
from gradebox_engine.judge.kinds import (
    CONTAINERS,
    EXACT,
    INTEGERS,
    MAPPINGS,
    NUMBERS,
    SETS,
    TEXTS,
    Items,
    has_opaque,
    hashable,
    items,
    known,
    ordered,
    small,
    truth,
)


class Function:
    """Something that a check may call: `run(frame, args, kwargs)`."""

    __slots__ = ("name", "run")

    def __init__(self, name: str, run: Callable[[Frame, list[Any], dict[str, Any]], Any]) -> None:
        self.name = name
        self.run = run


def call(frame: Frame, function: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """`function(*args, **kwargs)` for a Function or one of the types that CONSTRUCTORS knows."""
    frame.spend(1)
    if type(function) is Function:
        return function.run(frame, args, kwargs)
    constructor = CONSTRUCTORS.get(function) if isinstance(function, type) else None
    if constructor is None:
        raise Undecidable("call")
    return constructor(frame, args, kwargs)


type Run = Callable[[Frame, list[Any], dict[str, Any]], Any]


def _hashable(frame: Frame, value: Any) -> Any:
    """The elements of a value, for a set or a Counter."""
    if type(value) in TEXTS:
        return items(frame, value)
    if type(value) in SETS or type(value) in MAPPINGS:
        return hashable(frame, items(frame, value))
    return hashable(frame, list(items(frame, value)))


def _pairs(frame: Frame, value: Any) -> Any:
    """A mapping, or pairs of keys and values, for a dict."""
    if type(value) in MAPPINGS:
        return hashable(frame, items(frame, value))
    pairs = list(ordered(frame, value))
    if not all(type(p) in (tuple, list) and len(p) == 2 for p in pairs):
        raise Undecidable("pairs")
    hashable(frame, [p[0] for p in pairs])
    return pairs


def checked(function: Callable[..., Any]) -> Run:
    """A function that is cheap on numbers up to MAX_BITS, and on nothing else."""

    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        bits = 0
        for value in (*args, *kwargs.values()):
            if type(value) not in NUMBERS and type(value) not in EXACT and value is not None:
                if type(value) is not str or len(value) > 1000:
                    raise Undecidable("argument")
            bits += small(value).bit_length() if type(value) is int else 0
        if bits > 4 * MAX_BITS:  # of many arguments, as in lcm(*numbers)
            raise Undecidable("size")
        return function(*args, **kwargs)

    return run


def _range(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    for value in args:
        if type(value) not in INTEGERS:
            known(value)
    return range(*args, **kwargs)


def text_of(function: Callable[[Any], str]) -> Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if not args:
            return function("") if function is str else function(*args)
        if len(args) != 1 or kwargs:
            raise Undecidable("str")
        value = args[0]
        if isinstance(value, type) or type(value) is Items or has_opaque(frame, value):
            raise Undecidable("text of a handle")
        frame.spend_walk(value)
        return function(_small_inside(value))

    return run


def _small_inside(value: Any) -> Any:
    """Refuses integers whose decimal form is costly."""
    stack = [value]
    while stack:
        v = stack.pop()
        if type(v) in EXACT or type(v) is int:
            small(v)
        elif type(v) in MAPPINGS:
            stack.extend(v.keys())
            stack.extend(v.values())
        elif type(v) in SETS and len(v) > 1:
            raise Undecidable("order of a set")
        elif type(v) in CONTAINERS and type(v) not in TEXTS and type(v) is not range:
            stack.extend(v)
    return value


def _int(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    for value in args:
        if type(value) in TEXTS:
            if len(value) > 8000:
                raise Undecidable("int")
        elif type(value) in EXACT:
            small(value)
        else:
            known(value)
    return int(*args, **kwargs)


def _number(kind: type) -> Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        for value in args:
            if type(value) in TEXTS and len(value) > 4000:
                raise Undecidable("number")
            small(known(value))
        return kind(*args, **kwargs)

    return run


def _collection(kind: type, hashed: bool) -> Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) > 1 or kwargs:
            raise Undecidable(kind.__name__)
        return kind(*[(_hashable if hashed else ordered)(frame, x) for x in args])

    return run


def _mapping(kind: type, read: Callable[[Frame, Any], Any]) -> Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) > 1:
            raise Undecidable(kind.__name__)
        return kind(*[_hashable(frame, x) for x in args], **kwargs)

    return run


def _defaultdict(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if not args or args[0] not in (None, int, str, list, dict, set, float, tuple) or len(args) > 2:
        raise Undecidable("defaultdict")
    return collections.defaultdict(args[0], *[_pairs(frame, x) for x in args[1:]], **kwargs)


def _bytes(kind: type) -> Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        for value in args:
            if type(value) in INTEGERS:
                if value > MAX_ITEMS:
                    raise Undecidable("size")
            elif type(value) is not str:
                items(frame, value)
        return kind(*args, **kwargs)

    return run


def _fraction(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    for value in args:
        if type(value) is str and (len(value) > 200 or "e" in value.lower()):
            raise Undecidable("Fraction")
        small(known(value))
    return fractions.Fraction(*args, **kwargs)


def _bool(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    return truth(frame, args[0]) if len(args) == 1 and not kwargs else bool(*args, **kwargs)


CONSTRUCTORS: Final[dict[Any, Run]] = {
    int: _int,
    float: _number(float),
    complex: _number(complex),
    bool: _bool,
    str: text_of(str),
    bytes: _bytes(bytes),
    bytearray: _bytes(bytearray),
    list: _collection(list, False),
    tuple: _collection(tuple, False),
    set: _collection(set, True),
    frozenset: _collection(frozenset, True),
    dict: _mapping(dict, _pairs),
    range: _range,
    collections.Counter: _mapping(collections.Counter, _hashable),
    collections.OrderedDict: _mapping(collections.OrderedDict, _pairs),
    collections.defaultdict: _defaultdict,
    collections.deque: _collection(collections.deque, False),
    decimal.Decimal: checked(decimal.Decimal),
    fractions.Fraction: _fraction,
    datetime.datetime: checked(datetime.datetime),
    datetime.date: checked(datetime.date),
    datetime.time: checked(datetime.time),
    datetime.timedelta: checked(datetime.timedelta),
}
