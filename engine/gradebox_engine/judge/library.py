"""What a check may import from the standard library."""

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

from gradebox_engine.judge.callables import Function, Run, checked
from gradebox_engine.judge.frame import MAX_BITS, Frame, Undecidable
from gradebox_engine.judge.kinds import (
    NUMBERS,
    REALS,
    items,
)


def _bounded(function: Callable[..., int], most: int) -> Run:
    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if not all(type(x) in REALS and abs(x) <= most for x in args) or kwargs:
            raise Undecidable("size")
        return function(*args)

    return run


def _over_numbers(function: Callable[..., Any]) -> Run:
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


_MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh degrees erf erfc exp exp2 expm1 fabs floor"
    " fmod frexp gamma gcd hypot isclose isfinite isinf isnan isqrt lcm ldexp lgamma log log10 log1p log2 modf"
    " nextafter pow radians remainder sin sinh sqrt tan tanh trunc ulp"
).split()
_CMATH = "exp isclose isfinite isinf isnan log phase polar rect sqrt".split()

MODULES: Final[dict[str, dict[str, Any]]] = {
    "math": {name: Function(name, checked(getattr(math, name))) for name in _MATH}
    | {name: getattr(math, name) for name in "e inf nan pi tau".split()}
    | {
        "comb": Function("comb", _bounded(math.comb, 2000)),
        "perm": Function("perm", _bounded(math.perm, 2000)),
        "factorial": Function("factorial", _bounded(math.factorial, 2000)),
        "dist": Function("dist", _over_numbers(math.dist)),
        "fsum": Function("fsum", _over_numbers(math.fsum)),
        "prod": Function("prod", _over_numbers(math.prod)),
    },
    "cmath": {name: Function(name, checked(getattr(cmath, name))) for name in _CMATH}
    | {name: getattr(cmath, name) for name in "e inf nan pi tau infj nanj".split()},
    "collections": {name: getattr(collections, name) for name in "Counter OrderedDict defaultdict deque".split()},
    "datetime": {name: getattr(datetime, name) for name in "date datetime time timedelta".split()},
    "decimal": {"Decimal": decimal.Decimal},
    "fractions": {"Fraction": fractions.Fraction},
    "string": {
        name: getattr(string, name)
        for name in "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits punctuation whitespace".split()
    },
    "sys": {"maxsize": sys.maxsize},
}
