"""Who decides a comparison. The two sides have different rules: see the two classes."""

from __future__ import annotations

import builtins

from gradebox_inside.proxies import _MUTABLE, _type_get, is_remote, state_of
from gradebox_inside.specials import CONVERSIONS
from gradebox_inside.values import NO_BASE

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NO = NotImplemented
# Methods of plain types that are verdicts when an object of the program's own class answers them.
_VERDICTS = frozenset(
    "startswith endswith issubset issuperset isdisjoint isdigit isalpha isalnum isupper islower isspace istitle"
    " isnumeric isdecimal isidentifier isprintable isascii is_integer __eq__ __ne__ __lt__ __le__ __gt__ __ge__"
    " __contains__".split()
)
_COMPARE: dict[str, Any] = {
    "__lt__": lambda a, b: a < b,
    "__le__": lambda a, b: a <= b,
    "__gt__": lambda a, b: a > b,
    "__ge__": lambda a, b: a >= b,
}


def _specials(proxy: Any) -> frozenset[str]:
    found: frozenset[str] = _type_get(type(proxy), "_gradebox_specials")
    return found


def content(proxy: Any) -> Any:
    """The plain content of a proxy, up to date, or NO_BASE."""
    state = state_of(proxy)
    if isinstance(state.base, _MUTABLE):
        state.base = state.peer.request("base", state.handle)
    return state.base


class Judgement:
    """The program's side: objects of the test answer for themselves, as they would in one process."""

    def ask(self, proxy: Any, name: str, *arguments: Any) -> Any:
        """The answer of the object's own special method."""
        state = state_of(proxy)
        return state.peer.request("special", state.handle, name, arguments)

    def equal(self, proxy: Any, other: Any) -> Any:
        """`proxy == other`."""
        if proxy is other:
            return True
        return self.ask(proxy, "__eq__", other) if "__eq__" in _specials(proxy) else _NO

    def compare(self, proxy: Any, name: str, other: Any) -> Any:
        """`proxy < other` and the like."""
        return self.ask(proxy, name, other) if name in _specials(proxy) else _NO

    def contains(self, proxy: Any, value: Any) -> Any:
        """`value in proxy`."""
        return self.ask(proxy, "__contains__", value)

    def operate(self, proxy: Any, name: str, other: Any, *more: Any) -> Any:
        """`proxy + other` and the like, also reflected and in place."""
        return self.ask(proxy, name, other, *more)

    def special(self, proxy: Any, name: str, arguments: tuple[Any, ...]) -> Any:
        """Any other special method."""
        return self.ask(proxy, name, *arguments)

    def check_attribute(self, proxy: Any, name: str) -> None:
        """May the attribute be asked for?"""


class OracleJudgement(Judgement):
    """The oracle's side: an answer of the program must not decide whether it is the right one.

    - equality and order with plain data are decided from the content, if any; operands of comparisons never
      reach the program;
    - two objects of the program are compared by its code only where the test says so (`compared`), else they are
      equal when they are the same object;
    - `in` asks an object's `__contains__` only if the test names its class, else its elements are compared here;
    - arithmetic with a plain operand reaches only objects whose class the test names, and its result, if it is
      an object, must not be turned into plain data by an operator: `abs(f(x) - 0.5) < 1e-6` would let an
      object decide.
    """

    def __init__(self) -> None:
        self.compared = False
        self.named: set[type] = set()

    def _is_named(self, proxy: Any) -> bool:
        return any(cls in self.named for cls in type(proxy).__mro__)

    def equal(self, proxy: Any, other: Any) -> Any:
        if proxy is other:
            return True
        if is_remote(other):
            mine, theirs = state_of(proxy), state_of(other)
            if mine.handle == theirs.handle:
                return True
            if self.compared and "__eq__" in _specials(proxy):
                return self.ask(proxy, "__eq__", other)
            if mine.base is NO_BASE or theirs.base is NO_BASE:
                return _NO
            return content(proxy) == content(other)
        base = content(proxy)
        return _NO if base is NO_BASE else base == other

    def compare(self, proxy: Any, name: str, other: Any) -> Any:
        base = content(proxy)
        other_base = content(other) if is_remote(other) else other
        if base is not NO_BASE and other_base is not NO_BASE:
            return _COMPARE[name](base, other_base)
        if self.compared and name in _specials(proxy):
            return self.ask(proxy, name, other)
        return _NO

    def contains(self, proxy: Any, value: Any) -> Any:
        base = content(proxy)
        if base is not NO_BASE:
            return value in base
        if is_remote(value) or self._is_named(proxy):
            return self.ask(proxy, "__contains__", value)
        return any(item is value or item == value for item in proxy)

    def operate(self, proxy: Any, name: str, other: Any, *more: Any) -> Any:
        if is_remote(other):
            result = self.ask(proxy, name, other, *more)
            tainted = state_of(proxy).tainted or state_of(other).tainted
        else:
            base = content(proxy)
            if base is not NO_BASE:
                method = getattr(type(base), name, None)
                return _NO if method is None else method(base, other, *more)
            if not self._is_named(proxy):
                return _NO
            result = self.ask(proxy, name, other, *more)
            tainted = True
        return self._tainted(proxy, name, result) if tainted else result

    def _tainted(self, proxy: Any, name: str, result: Any) -> Any:
        if is_remote(result):
            state_of(result).tainted = result is not proxy or state_of(proxy).tainted
            return result
        if result is _NO:
            return result
        raise TypeError(f"{type(proxy).__name__}.{name} with a plain operand gave plain data: not trusted")

    def special(self, proxy: Any, name: str, arguments: tuple[Any, ...]) -> Any:
        result = self.ask(proxy, name, *arguments)
        if name in CONVERSIONS and state_of(proxy).tainted and name not in ("__str__", "__repr__", "__format__"):
            return self._tainted(proxy, name, result)
        return result

    def check_attribute(self, proxy: Any, name: str) -> None:
        if name in _VERDICTS and state_of(proxy).base is NO_BASE and not self._is_named(proxy):
            raise AttributeError(f"{type(proxy).__name__!r} object has no attribute {name!r}")
