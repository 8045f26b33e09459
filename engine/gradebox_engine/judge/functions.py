"""Functions that a check may call: builtins, and what it can import from the standard library."""

import cmath
import collections
import datetime
import decimal
import fractions
import math
import string
import sys
from collections.abc import Callable
from typing import Any, Final

from gradebox_engine.judge.frame import MAX_BITS, MAX_ITEMS, Frame, Undecidable
from gradebox_engine.judge.kinds import (
    CONTAINERS,
    EXACT,
    INTEGERS,
    MAPPINGS,
    NUMBERS,
    REALS,
    SCALARS,
    SETS,
    TEXTS,
    Items,
    has_opaque,
    is_namedtuple,
    items,
    known,
    ordered,
    small,
    truth,
)
from gradebox_engine.judge.operators import power
from gradebox_inside.codec import NO_BASE, Opaque


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


type _Run = Callable[[Frame, list[Any], dict[str, Any]], Any]


def _hashable(frame: Frame, value: Any) -> Any:
    """Elements for a set or keys: no handles, whose hash only the program knows."""
    elements = items(frame, value)
    if type(value) not in TEXTS and has_opaque(frame, value):
        raise Undecidable("hash of a handle")
    return elements


def _checked(function: Callable[..., Any]) -> _Run:
    """A function that is cheap on numbers up to MAX_BITS, and on nothing else."""

    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        for value in (*args, *kwargs.values()):
            if type(value) not in NUMBERS and type(value) not in EXACT and value is not None:
                if type(value) is not str or len(value) > 1000:
                    raise Undecidable("argument")
            small(value)
        return function(*args, **kwargs)

    return run


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
    for x in values:
        if type(x) in EXACT:
            small(x)
        frame.spend_walk(x)


def _extreme(function: Callable[..., Any], name: str) -> _Run:
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
    frame.spend(len(values) * (1 + (bits >> 10)) >> 3)
    return sum(values, *start)


def _any_all(stop: bool) -> _Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) != 1 or kwargs:
            raise Undecidable("any, all")
        for x in items(frame, args[0]):
            frame.spend(1)
            if truth(frame, x) is stop:
                return stop
        return not stop

    return run


def _range(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    for value in args:
        if type(value) not in INTEGERS:
            known(value)
    return range(*args, **kwargs)


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


def _text_of(function: Callable[[Any], str]) -> _Run:
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


def _number(kind: type) -> _Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        for value in args:
            if type(value) in TEXTS and len(value) > 4000:
                raise Undecidable("number")
            small(known(value))
        return kind(*args, **kwargs)

    return run


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


def _collection(kind: type, hashed: bool) -> _Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) > 1 or kwargs:
            raise Undecidable(kind.__name__)
        return kind(*[(_hashable if hashed else ordered)(frame, x) for x in args])

    return run


def _mapping(kind: type) -> _Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) > 1:
            raise Undecidable(kind.__name__)
        return kind(*[_hashable(frame, x) for x in args], **kwargs)

    return run


def _defaultdict(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if not args or args[0] not in (None, int, str, list, dict, set, float, tuple) or len(args) > 2:
        raise Undecidable("defaultdict")
    return collections.defaultdict(args[0], *[_hashable(frame, x) for x in args[1:]], **kwargs)


def _bytes(kind: type) -> _Run:
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


def _power(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if len(args) == 2 and not kwargs:
        return power(frame, *args)
    if len(args) == 3 and all(type(x) is int and x.bit_length() <= 4096 for x in args):
        return pow(*args)
    raise Undecidable("pow")


def _bounded(function: Callable[..., int], most: int) -> _Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if not all(type(x) in REALS and abs(x) <= most for x in args) or kwargs:
            raise Undecidable("size")
        return function(*args)

    return run


def _over_numbers(function: Callable[..., Any]) -> _Run:
    """A function over one or two iterables of numbers (math.fsum, math.prod, math.dist)."""

    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        bits = 0
        for value in (*args, *kwargs.values()):
            for x in items(frame, value) if type(value) not in NUMBERS else [value]:
                if type(x) not in REALS:
                    raise Undecidable("numbers")
                bits += x.bit_length() if type(x) is int else 0
        if bits > MAX_BITS:
            raise Undecidable("size")
        return function(*args, **kwargs)

    return run



CONSTRUCTORS: Final[dict[Any, _Run]] = {
    int: _int,
    float: _number(float),
    complex: _number(complex),
    bool: _bool,
    str: _text_of(str),
    bytes: _bytes(bytes),
    bytearray: _bytes(bytearray),
    list: _collection(list, False),
    tuple: _collection(tuple, False),
    set: _collection(set, True),
    frozenset: _collection(frozenset, True),
    dict: _mapping(dict),
    range: _range,
    collections.Counter: _mapping(collections.Counter),
    collections.OrderedDict: _mapping(collections.OrderedDict),
    collections.defaultdict: _defaultdict,
    collections.deque: _collection(collections.deque, False),
    decimal.Decimal: _checked(decimal.Decimal),
    fractions.Fraction: _fraction,
    datetime.datetime: _checked(datetime.datetime),
    datetime.date: _checked(datetime.date),
    datetime.time: _checked(datetime.time),
    datetime.timedelta: _checked(datetime.timedelta),
}

_FUNCTIONS: dict[str, _Run] = {
    "abs": _checked(abs),
    "all": _any_all(False),
    "any": _any_all(True),
    "ascii": _text_of(ascii),
    "bin": _checked(bin),
    "chr": _checked(chr),
    "divmod": _checked(divmod),
    "enumerate": _enumerate,
    "filter": _filter,
    "hex": _checked(hex),
    "isinstance": _isinstance,
    "len": _length,
    "map": _map,
    "max": _extreme(max, "max"),
    "min": _extreme(min, "min"),
    "oct": _checked(oct),
    "ord": _checked(ord),
    "pow": _power,
    "repr": _text_of(repr),
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

_MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh degrees erf erfc exp exp2 expm1 fabs floor"
    " fmod frexp gamma gcd hypot isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf"
    " nextafter pow radians remainder sin sinh sqrt tan tanh trunc ulp"
).split()
_CMATH = "exp isclose isfinite isinf isnan log phase polar rect sqrt".split()

MODULES: Final[dict[str, dict[str, Any]]] = {
    "math": {name: Function(name, _checked(getattr(math, name))) for name in _MATH}
    | {name: getattr(math, name) for name in "e inf nan pi tau".split()}
    | {
        "comb": Function("comb", _bounded(math.comb, 2000)),
        "perm": Function("perm", _bounded(math.perm, 2000)),
        "factorial": Function("factorial", _bounded(math.factorial, 2000)),
        "dist": Function("dist", _over_numbers(math.dist)),
        "fsum": Function("fsum", _over_numbers(math.fsum)),
        "prod": Function("prod", _over_numbers(math.prod)),
    },
    "cmath": {name: Function(name, _checked(getattr(cmath, name))) for name in _CMATH}
    | {name: getattr(cmath, name) for name in "e inf nan pi tau infj nanj".split()},
    "collections": {
        name: getattr(collections, name) for name in "Counter OrderedDict defaultdict deque".split()
    },
    "datetime": {name: getattr(datetime, name) for name in "date datetime time timedelta".split()},
    "decimal": {"Decimal": decimal.Decimal},
    "fractions": {"Fraction": fractions.Fraction},
    "string": {
        name: getattr(string, name)
        for name in "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits punctuation whitespace".split()
    },
    "sys": {"maxsize": sys.maxsize},
}
