"""The builtin functions that a check may call."""

import datetime
from collections.abc import Callable
from typing import Any, Final

from gradebox_engine.judge.callables import CONSTRUCTORS, Function, Run, call, checked, text_of
from gradebox_engine.judge.frame import Frame, Undecidable
from gradebox_engine.judge.kinds import (
    EXACT,
    INTEGERS,
    NUMBERS,
    REALS,
    SCALARS,
    SETS,
    Items,
    has_opaque,
    is_namedtuple,
    items,
    known,
    ordered,
    slow_together,
    small,
    truth,
)
from gradebox_engine.judge.operators import power
from gradebox_inside.codec import NO_BASE, Opaque


def _length(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) == 1 and type(args[0]) in (Opaque, Items):
        raise Undecidable("length")
    for value in args:
        known(value)
    return len(*args, **kwargs)


def _sorted(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) != 1 or kwargs.keys() - {"key", "reverse"}:
        raise Undecidable("sorted")
    elements = list(items(frame, args[0]))
    key = kwargs.get("key")
    keys = elements if key is None else [call(frame, key, [x], {}) for x in elements]
    _orderable(frame, keys)
    reverse = truth(frame, kwargs.get("reverse", False))
    if key is None:
        return sorted(elements, reverse=reverse)
    order = sorted(range(len(keys)), key=keys.__getitem__, reverse=reverse)
    return [elements[i] for i in order]


def _orderable(frame: Frame, values: list[Any]) -> None:
    """Pays for comparing these among each other, and refuses handles and slow numbers."""
    frame.spend(len(values) >> 3)
    if all(type(x) in SCALARS for x in values):
        return
    if has_opaque(frame, values):
        raise Undecidable("order of handles")
    if slow_together(values):
        raise Undecidable("order of large numbers")
    for x in values:
        if type(x) in EXACT:
            small(x)
        frame.spend_walk(x)


def _extreme(function: Callable[..., Any], name: str) -> Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if kwargs.keys() - {"key", "default"} or not args:
            raise Undecidable(name)
        elements = list(items(frame, args[0])) if len(args) == 1 else args
        if not elements:
            return function((), **{k: v for k, v in kwargs.items() if k == "default"})
        key = kwargs.get("key")
        keys = elements if key is None else [call(frame, key, [x], {}) for x in elements]
        _orderable(frame, keys)
        return elements[function(range(len(keys)), key=keys.__getitem__)]

    return run


def _sum(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    values = list(items(frame, args[0])) if args else []
    start = [*args[1:], *kwargs.values()]
    if not args or len(start) > 1 or kwargs.keys() - {"start"}:
        raise Undecidable("sum")
    bits = 0
    for x in (*values, *start):
        if type(x) in INTEGERS:
            bits = max(bits, x.bit_length())
        elif type(x) in EXACT or type(x) is datetime.timedelta:
            small(x)
        elif type(x) is float and type(args[0]) in SETS:
            raise Undecidable("order of a set")
        elif type(x) not in NUMBERS:
            if type(x) in (str, list, tuple, type(None), dict) and not start:
                return sum([0, x])  # raises TypeError
            raise Undecidable("sum")
    if slow_together(values, start):
        raise Undecidable("sum of large numbers")
    frame.spend(len(values) * (1 + (bits >> 10)) >> 3)
    return sum(values, *start)


def _any_all(stop: bool) -> Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) != 1 or kwargs:
            raise Undecidable("any, all")
        for x in items(frame, args[0]):
            frame.spend(1)
            if truth(frame, x) is stop:
                return stop
        return not stop

    return run


def _zip(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if kwargs:
        raise Undecidable("zip")
    columns = [ordered(frame, x) for x in args]
    return Items(zip(*columns, strict=False))


def _enumerate(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) + len(kwargs) > 2 or not args or any(type(x) is not int for x in args[1:]):
        raise Undecidable("enumerate")
    return Items(enumerate(ordered(frame, args[0]), *args[1:], **kwargs))


def _reversed(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) != 1 or kwargs or type(args[0]) not in (list, tuple, str, range, dict):
        raise Undecidable("reversed")
    return Items(list(items(frame, args[0]))[::-1])


def _map(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) < 2 or kwargs:
        raise Undecidable("map")
    columns = [ordered(frame, x) for x in args[1:]]
    return Items(call(frame, args[0], list(row), {}) for row in zip(*columns, strict=False))


def _filter(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) != 2 or kwargs:
        raise Undecidable("filter")
    kept = ordered(frame, args[1])
    if args[0] is None:
        return Items(x for x in kept if truth(frame, x))
    return Items(x for x in kept if truth(frame, call(frame, args[0], [x], {})))


def _isinstance(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) != 2 or kwargs:
        raise Undecidable("isinstance")
    value, classes = args
    asked = classes if type(classes) is tuple else (classes,)
    if not all(c in CONSTRUCTORS or c in (type(None), object, Exception) for c in asked):
        raise Undecidable("isinstance of an unknown class")
    if type(value) is Opaque:
        if value.base is NO_BASE:
            raise Undecidable("isinstance of a handle")
        return isinstance(value.base, classes)
    return isinstance(_honest(value), classes)


def _honest(value: Any) -> Any:
    """A value whose class is the one that it has in the program."""
    if is_namedtuple(value):
        return tuple(value)
    return known(value)


def _type(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) != 1 or kwargs or is_namedtuple(args[0]):
        raise Undecidable("type")
    return type(known(args[0]))


def _round(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    digits = [*args[1:], *kwargs.values()]
    if not args or (type(args[0]) not in REALS and type(args[0]) not in EXACT):
        if args and type(args[0]) in (str, list, tuple, dict, set, type(None), complex):
            return round(args[0])  # raises TypeError
        raise Undecidable("round")
    if any(type(d) is int and abs(d) > 4000 for d in digits):
        raise Undecidable("round")
    small(args[0])
    return round(*args, **kwargs)


def _power(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) == 2 and not kwargs:
        return power(frame, *args)
    if len(args) == 3 and all(type(x) is int and x.bit_length() <= 4096 for x in args):
        return pow(*args)
    raise Undecidable("pow")


_FUNCTIONS: dict[str, Run] = {
    "abs": checked(abs),
    "all": _any_all(False),
    "any": _any_all(True),
    "ascii": text_of(ascii),
    "bin": checked(bin),
    "chr": checked(chr),
    "divmod": checked(divmod),
    "enumerate": _enumerate,
    "filter": _filter,
    "hex": checked(hex),
    "isinstance": _isinstance,
    "len": _length,
    "map": _map,
    "max": _extreme(max, "max"),
    "min": _extreme(min, "min"),
    "oct": checked(oct),
    "ord": checked(ord),
    "pow": _power,
    "repr": text_of(repr),
    "reversed": _reversed,
    "round": _round,
    "sorted": _sorted,
    "sum": _sum,
    "type": _type,
    "zip": _zip,
}

BUILTINS: Final[dict[str, Any]] = {name: Function(name, run) for name, run in _FUNCTIONS.items()} | {
    kind.__name__: kind
    for kind in (int, float, complex, bool, str, bytes, bytearray, list, tuple, set, frozenset, dict, range, object)
}
BUILTINS["Ellipsis"] = ...
BUILTINS["NotImplemented"] = NotImplemented
BUILTINS["Exception"] = Exception
