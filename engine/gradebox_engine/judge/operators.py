"""Arithmetic, with a guard wherever a small expression can make a large result.

Each function has the operator's own meaning on the values that it takes: it raises what Python raises,
and Undecidable for what it does not take.
"""

import ast
import operator
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from gradebox_engine.judge.equality import contains, equal, identical, order
from gradebox_engine.judge.frame import MAX_BITS, MAX_ITEMS, Frame, Undecidable
from gradebox_engine.judge.kinds import (
    CONTAINERS,
    EXACT,
    INTEGERS,
    MAPPINGS,
    NUMBERS,
    SEQUENCES,
    SETS,
    TEXTS,
    TIMES,
    VIEWS,
    has_opaque,
    hashable,
    known,
    slow_together,
    small,
    truth,
)
from gradebox_engine.judge.kinds import key as checked_key

type Operation = Callable[[Frame, Any, Any], Any]

_REPEATABLE = SEQUENCES - {range}


def _check(frame: Frame, a: Any, b: Any) -> None:
    """Refuses what is not plain data, large exact numbers, and elements that only handles know how to hash."""
    frame.spend(1)
    tables = False
    for value in (a, b):
        kind = type(value)
        if kind in EXACT or kind is int:
            small(value)
        elif kind in CONTAINERS:
            frame.spend_items(len(value))
            if kind in SETS or kind in MAPPINGS or kind in VIEWS:
                hashable(frame, value)
                tables = True
        else:
            known(value)
    if tables and slow_together(a, b):
        raise Undecidable("large numbers in a set")


def _add(frame: Frame, a: Any, b: Any) -> Any:
    if type(a) in INTEGERS and type(b) in INTEGERS:
        frame.spend(1 + (a.bit_length() >> 13))
        return a + b
    _check(frame, a, b)
    return a + b


def _subtract(frame: Frame, a: Any, b: Any) -> Any:
    if type(a) in INTEGERS and type(b) in INTEGERS:
        frame.spend(1 + (a.bit_length() >> 13))
        return a - b
    _check(frame, a, b)
    return a - b


def _multiply(frame: Frame, a: Any, b: Any) -> Any:
    for sequence, count in ((a, b), (b, a)):
        if type(sequence) in _REPEATABLE and type(count) in INTEGERS:
            if count > MAX_ITEMS or len(sequence) * max(count, 0) > MAX_ITEMS:
                raise Undecidable("size")
            frame.spend_items(len(sequence) * max(count, 0))
            return a * b
    _check(frame, a, b)
    return a * b


def _divide(symbol: Callable[[Any, Any], Any]) -> Operation:
    def divide(frame: Frame, a: Any, b: Any) -> Any:
        if type(a) in TEXTS:
            raise Undecidable("formatting")
        _check(frame, a, b)
        return symbol(a, b)

    return divide


def power(frame: Frame, a: Any, b: Any) -> Any:
    """`a ** b`."""
    frame.spend(1)
    if type(a) in INTEGERS and type(b) in INTEGERS:
        if b >= 0 and a.bit_length() * b > MAX_BITS:
            raise Undecidable("size")
        return small(a) ** small(b)
    if type(a) in NUMBERS and type(b) in NUMBERS:
        return small(a) ** small(b)
    if type(a) in EXACT or type(b) in EXACT:
        raise Undecidable("power of exact numbers")
    _check(frame, a, b)
    return a**b  # raises TypeError


def _shift_left(frame: Frame, a: Any, b: Any) -> Any:
    _check(frame, a, b)
    if type(a) in INTEGERS and type(b) in INTEGERS and b > MAX_BITS:
        raise Undecidable("size")
    return a << b


def _plain(symbol: Callable[[Any, Any], Any]) -> Operation:
    def operate(frame: Frame, a: Any, b: Any) -> Any:
        _check(frame, a, b)
        return symbol(a, b)

    return operate


BINARY: dict[type[ast.operator], Operation] = {
    ast.Add: _add,
    ast.Sub: _subtract,
    ast.Mult: _multiply,
    ast.Div: _divide(operator.truediv),
    ast.FloorDiv: _divide(operator.floordiv),
    ast.Mod: _divide(operator.mod),
    ast.Pow: power,
    ast.LShift: _shift_left,
    ast.RShift: _plain(operator.rshift),
    ast.BitAnd: _plain(operator.and_),
    ast.BitOr: _plain(operator.or_),
    ast.BitXor: _plain(operator.xor),
}

COMPARISONS: dict[type[ast.cmpop], Operation] = {
    ast.Eq: equal,
    ast.NotEq: lambda frame, a, b: not equal(frame, a, b),
    ast.Lt: order(operator.lt),
    ast.LtE: order(operator.le),
    ast.Gt: order(operator.gt),
    ast.GtE: order(operator.ge),
    ast.Is: identical,
    ast.IsNot: lambda frame, a, b: not identical(frame, a, b),
    ast.In: lambda frame, a, b: contains(frame, b, a),
    ast.NotIn: lambda frame, a, b: not contains(frame, b, a),
}


def _sign(symbol: Callable[[Any], Any]) -> Callable[[Frame, Any], Any]:
    def operate(frame: Frame, a: Any) -> Any:
        frame.spend(1)
        if type(a) in NUMBERS or type(a) in EXACT or type(a) is timedelta:
            return symbol(small(a))
        if type(a) in TIMES or type(a) in CONTAINERS - MAPPINGS or a is None:
            return symbol(a)  # raises TypeError
        raise Undecidable("sign")

    return operate


def _invert(frame: Frame, a: Any) -> Any:
    if type(a) is bool:
        return ~int(a)  # the same value, without the warning
    return _sign(operator.invert)(frame, a)


UNARY: dict[type[ast.unaryop], Callable[[Frame, Any], Any]] = {
    ast.UAdd: _sign(operator.pos),
    ast.USub: _sign(operator.neg),
    ast.Invert: _invert,
    ast.Not: lambda frame, a: not truth(frame, a),
}


def subscript(frame: Frame, value: Any, key: Any) -> Any:
    """`value[key]`."""
    kind = type(value)
    if kind in MAPPINGS:
        checked_key(frame, key)
        if key not in value and has_opaque(frame, list(value)):
            raise Undecidable("key")
        if key not in value and hasattr(value, "__missing__"):
            return _missing(value, key)
        return value[key]
    if type(key) is slice:
        if kind in CONTAINERS:
            frame.spend_items(len(value))
    else:
        known(key)
        if type(key) in CONTAINERS and has_opaque(frame, key):
            raise Undecidable("key")
    frame.spend(1)
    if isinstance(value, type):
        raise Undecidable("generic type")
    return known(value)[key]


def _missing(value: Any, key: Any) -> Any:
    """What a Counter or defaultdict has for a key that it lacks; the mapping is not changed."""
    hash(key)
    factory = getattr(value, "default_factory", int)
    if factory is None:
        raise KeyError(key)
    return factory()
