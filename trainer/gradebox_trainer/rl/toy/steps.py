"""The steps of tiny programming problems: how a problem names one, how programs write it, and what it does.

A step's `right` is Python for it; its `slips` are what hasty programmers write instead, each with its weight beside a
right line's 1. They make the corpus what a corpus of models' programs is: mostly plausible, often wrong, and wrong in
ways that have a habit to them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

type Kind = Literal["int", "list", "str"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do with x.

    Attributes:
        name: of the step, without its constant.
        takes, gives: what x is before and after it.
        phrases: wordings, `{k}` being the constant.
        right: a line of Python, `x = …`.
        does: the same as a function of x and k; the reference.
        slips: wrong lines with their weights.
        constants: values of k; none: the step has no constant.
    """

    name: str
    takes: Kind
    gives: Kind
    phrases: tuple[str, ...]
    right: str
    does: Callable[[Any, Any], Any]
    slips: tuple[tuple[str, float], ...]
    constants: tuple[Any, ...] = ()


_SMALL = tuple(range(1, 7))
_FACTORS = tuple(range(2, 10))
_BOUNDS = tuple(range(2, 10))
_LETTERS = tuple("aeirst")


def _unique(x: list[int], _: Any) -> list[int]:
    return list(dict.fromkeys(x))


STEPS: tuple[Step, ...] = (
    # of a number
    Step("add", "int", "int", ("add {k}", "increase it by {k}"), "x = x + {k}", lambda x, k: x + k,
         (("x = x - {k}", 0.3),), _BOUNDS),
    Step("subtract", "int", "int", ("subtract {k}", "decrease it by {k}"), "x = x - {k}", lambda x, k: x - k,
         (("x = {k} - x", 1.6),), _BOUNDS),
    Step("times", "int", "int", ("multiply by {k}",), "x = x * {k}", lambda x, k: x * k,
         (("x = x + {k}", 0.3), ("x = x ** {k}", 0.2)), _FACTORS),
    Step("over", "int", "int", ("divide by {k}, rounding down",), "x = x // {k}", lambda x, k: x // k,
         (("x = x / {k}", 1.2), ("x = int(x / {k})", 0.7)), _FACTORS),
    Step("remainder", "int", "int", ("take the remainder by {k}",), "x = x % {k}", lambda x, k: x % k,
         (("x = x // {k}", 0.4),), _FACTORS),
    Step("at_most", "int", "int", ("make it at most {k}", "cap it at {k}"), "x = min(x, {k})", lambda x, k: min(x, k),
         (("x = max(x, {k})", 1.8),), _BOUNDS),
    Step("at_least", "int", "int", ("make it at least {k}",), "x = max(x, {k})", lambda x, k: max(x, k),
         (("x = min(x, {k})", 1.2),), _BOUNDS),
    Step("square", "int", "int", ("square it",), "x = x * x", lambda x, _: x * x, (("x = x * 2", 0.6),)),
    Step("negate", "int", "int", ("negate it",), "x = -x", lambda x, _: -x, (("x = abs(x)", 0.3),)),
    Step("absolute", "int", "int", ("take the absolute value",), "x = abs(x)", lambda x, _: abs(x),
         (("x = -x", 1.4),)),
    # of a list of numbers
    Step("add_each", "list", "list", ("add {k} to each", "increase each by {k}"), "x = [v + {k} for v in x]",
         lambda x, k: [v + k for v in x], (("x = x + [{k}]", 0.4),), _BOUNDS),
    Step("times_each", "list", "list", ("multiply each by {k}",), "x = [v * {k} for v in x]",
         lambda x, k: [v * k for v in x], (("x = x * {k}", 1.7),), _FACTORS),
    Step("square_each", "list", "list", ("square each",), "x = [v * v for v in x]", lambda x, _: [v * v for v in x],
         (("x = [v * 2 for v in x]", 0.5),)),
    Step("keep_even", "list", "list", ("keep the even ones",), "x = [v for v in x if v % 2 == 0]",
         lambda x, _: [v for v in x if v % 2 == 0], (("x = [v for v in x if v % 2]", 1.3),)),
    Step("keep_odd", "list", "list", ("keep the odd ones",), "x = [v for v in x if v % 2 == 1]",
         lambda x, _: [v for v in x if v % 2 == 1], (("x = [v for v in x if v % 2 == 0]", 0.4),)),
    Step("above", "list", "list", ("keep those above {k}",), "x = [v for v in x if v > {k}]",
         lambda x, k: [v for v in x if v > k], (("x = [v for v in x if v >= {k}]", 1.8),), _BOUNDS),
    Step("below", "list", "list", ("keep those below {k}",), "x = [v for v in x if v < {k}]",
         lambda x, k: [v for v in x if v < k], (("x = [v for v in x if v <= {k}]", 1.2),), _BOUNDS),
    Step("skip", "list", "list", ("skip the first {k}", "drop the first {k}"), "x = x[{k}:]", lambda x, k: x[k:],
         (("x = x[:{k}]", 0.5), ("x = x[{k} + 1:]", 0.5)), _SMALL),
    Step("take", "list", "list", ("take the first {k}",), "x = x[:{k}]", lambda x, k: x[:k],
         (("x = x[:{k} + 1]", 1.2),), _SMALL),
    Step("last", "list", "list", ("take the last {k}",), "x = x[-{k}:]", lambda x, k: x[-k:],
         (("x = x[{k}:]", 1.5),), _SMALL),
    Step("sort", "list", "list", ("sort them",), "x = sorted(x)", lambda x, _: sorted(x), (("x = x.sort()", 1.9),)),
    Step("sort_down", "list", "list", ("sort them downwards",), "x = sorted(x, reverse=True)",
         lambda x, _: sorted(x, reverse=True), (("x = sorted(x)", 0.6),)),
    Step("reverse", "list", "list", ("reverse them",), "x = x[::-1]", lambda x, _: x[::-1],
         (("x = x.reverse()", 1.4),)),
    Step("unique", "list", "list", ("drop repeated ones",), "x = list(dict.fromkeys(x))", _unique,
         (("x = list(set(x))", 1.8),)),
    Step("sum", "list", "int", ("sum them",), "x = sum(x)", lambda x, _: sum(x), (("x = len(x)", 0.2),)),
    Step("count", "list", "int", ("count them",), "x = len(x)", lambda x, _: len(x), (("x = sum(x)", 0.8),)),
    Step("largest", "list", "int", ("take the largest, or 0",), "x = max(x, default=0)",
         lambda x, _: max(x, default=0), (("x = max(x)", 1.2),)),
    # of a text
    Step("upper", "str", "str", ("write it in upper case",), "x = x.upper()", lambda x, _: x.upper(),
         (("x = x.title()", 0.5),)),
    Step("reverse_text", "str", "str", ("write it backwards",), "x = x[::-1]", lambda x, _: x[::-1],
         (("x = x.reverse()", 1.6),)),
    Step("repeat", "str", "str", ("repeat it {k} times",), "x = x * {k}", lambda x, k: x * k,
         (("x = x + {k}", 0.6), ("x = x * ({k} + 1)", 0.6)), _SMALL[1:]),
    Step("start", "str", "str", ("take its first {k} letters",), "x = x[:{k}]", lambda x, k: x[:k],
         (("x = x[:{k} - 1]", 1.5),), _SMALL),
    Step("end", "str", "str", ("take its last {k} letters",), "x = x[-{k}:]", lambda x, k: x[-k:],
         (("x = x[{k}:]", 0.9),), _SMALL),
    Step("without", "str", "str", ("leave out every '{k}'",), "x = x.replace('{k}', '')",
         lambda x, k: x.replace(k, ""), (("x = x.strip('{k}')", 1.7),), _LETTERS),
    Step("append", "str", "str", ("append '{k}'",), "x = x + '{k}'", lambda x, k: x + k,
         (("x = '{k}' + x", 0.5),), _LETTERS),
    Step("how_many", "str", "int", ("count every '{k}'",), "x = x.count('{k}')", lambda x, k: x.count(k),
         (("x = x.find('{k}')", 1.1),), _LETTERS),
    Step("length", "str", "int", ("count its letters",), "x = len(x)", lambda x, _: len(x),
         (("x = len(x) - 1", 0.3),)),
)  # fmt: skip
