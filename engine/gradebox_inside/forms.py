"""Values of the standard library's types, taken apart into plain parts and put together again.

The codec writes a form's tag and then its parts. What is put together may come from a hostile process: each part is
of the type that its form names, and whatever the type's own constructor refuses is an error of the message.
"""

from __future__ import annotations

import builtins

from gradebox_inside.values import (
    BUILTIN_TYPE_NAMES,
    BUILTIN_TYPES,
    DEQUE_NODES,
    EXACT_BITS,
    LIBRARY_NODES,
    PATH_CHARS,
    PATH_NODES,
    CodecError,
    NotPlain,
    OverBudget,
    library_type,
    type_key,
)

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    type Apart = Callable[[Any], tuple[Any, ...]]


class Form:
    """How values of a type travel.

    types: the (module, name) of each type that travels so. parts: for each part, the types that it may have; a list or
    a dictionary is written as one that nothing else holds. nodes: what a value costs beside its parts. shared: mutable,
    so that peers tell whether two are the same one.
    """

    __slots__ = ("apart", "nodes", "parts", "shared", "tag", "together", "types")

    def __init__(
        self,
        tag: str,
        types: tuple[tuple[str, str], ...],
        parts: tuple[tuple[type, ...], ...],
        apart: Apart,
        together: Callable[..., Any],
        *,
        nodes: int = LIBRARY_NODES,
        shared: bool = False,
    ) -> None:
        self.tag = ord(tag)
        self.types = types
        self.parts = parts
        self.apart = apart
        self.together = together
        self.nodes = nodes
        self.shared = shared


def _class(module: str, name: str) -> Callable[..., Any]:
    """The class, imported when a value of it comes."""
    return lambda *parts, **named: getattr(__import__(module), name)(*parts, **named)


def _itself(v: Any) -> tuple[Any, ...]:
    return (v,)


def _fields(*names: str) -> Apart:
    return lambda v: tuple([getattr(v, name) for name in names])


def _fraction_apart(v: Any) -> tuple[Any, ...]:
    if type(v.numerator) is not int or type(v.denominator) is not int:
        raise NotPlain("Fraction")
    _check_exact(v.numerator, v.denominator)
    return v.numerator, v.denominator


def _fraction(top: int, bottom: int) -> Any:
    _check_exact(top, bottom)
    return _class("fractions", "Fraction")(top, bottom)


def _check_exact(top: int, bottom: int) -> None:
    if max(top.bit_length(), bottom.bit_length()) > EXACT_BITS:
        raise OverBudget("bits of a Fraction")


_PATHS = ("PosixPath", "PurePosixPath", "PureWindowsPath")


def _path_apart(v: Any) -> tuple[Any, ...]:
    text = v.__str__()
    if len(text) > PATH_CHARS:
        raise NotPlain("path")
    return type_key(type(v))[1], text


def _path(kind: str, text: str) -> Any:
    if kind not in _PATHS or len(text) > PATH_CHARS:
        raise CodecError("path")
    return _class("pathlib", kind)(text)


def _defaultdict_apart(v: Any) -> tuple[Any, ...]:
    factory = v.default_factory
    return BUILTIN_TYPE_NAMES.get(factory, "") if isinstance(factory, type) else "", v


def _timezone_apart(v: Any) -> tuple[Any, ...]:
    offset, *name = v.__getinitargs__()
    return offset.days, offset.seconds, offset.microseconds, name[0] if name else None


def _timezone(days: int, seconds: int, microseconds: int, name: str | None) -> Any:
    offset = _class("datetime", "timedelta")(days, seconds, microseconds)
    return _class("datetime", "timezone")(*((offset,) if name is None else (offset, name)))


def _zoned_apart(*names: str) -> Apart:
    def apart(v: Any) -> tuple[Any, ...]:
        zone = v.tzinfo
        if zone is not None and type(zone) is not library_type("datetime", "timezone"):
            raise NotPlain("tzinfo")
        return *[getattr(v, name) for name in names], zone

    return apart


def _zoned(name: str) -> Callable[..., Any]:
    def together(*parts: Any) -> Any:
        *moment, fold, zone = parts
        return _class("datetime", name)(*moment, tzinfo=zone, fold=fold)

    return together


_DATE = ("year", "month", "day")
_TIME = ("hour", "minute", "second", "microsecond")
_STR, _INT, LIST, _DICT = (str,), (int,), (list,), (dict,)
_NONE = type(None)
ANY = ()  # a time zone, or None: the constructor refuses what is neither
FORMS = (
    Form(".", (("decimal", "Decimal"),), (_STR,), lambda v: (v.__str__(),), _class("decimal", "Decimal")),
    Form("/", (("fractions", "Fraction"),), (_INT, _INT), _fraction_apart, _fraction),
    Form("u", (("uuid", "UUID"),), (_INT,), _fields("int"), lambda number: _class("uuid", "UUID")(int=number)),
    Form("a", (("array", "array"),), (_STR, LIST), lambda v: (v.typecode, v.tolist()), _class("array", "array")),
    Form("U", tuple([("pathlib", name) for name in _PATHS]), (_STR, _STR), _path_apart, _path, nodes=PATH_NODES),
    Form("C", (("collections", "Counter"),), (_DICT,), _itself, _class("collections", "Counter"), shared=True),
    Form("R", (("collections", "OrderedDict"),), (_DICT,), _itself, _class("collections", "OrderedDict"), shared=True),
    Form(
        "G",
        (("collections", "defaultdict"),),
        (_STR, _DICT),
        _defaultdict_apart,
        lambda factory, items: _class("collections", "defaultdict")(BUILTIN_TYPES.get(factory), items),
        shared=True,
    ),
    Form(
        "Q",
        (("collections", "deque"),),
        ((int, _NONE), LIST),
        lambda v: (v.maxlen, [*v]),
        lambda maxlen, items: _class("collections", "deque")(items, maxlen),
        nodes=DEQUE_NODES,
        shared=True,
    ),
    Form(
        "L",
        (("datetime", "timedelta"),),
        (_INT, _INT, _INT),
        _fields("days", "seconds", "microseconds"),
        _class("datetime", "timedelta"),
    ),
    Form("W", (("datetime", "timezone"),), (_INT, _INT, _INT, (str, _NONE)), _timezone_apart, _timezone),
    Form("A", (("datetime", "date"),), (_INT,) * 3, _fields(*_DATE), _class("datetime", "date")),
    Form(
        "M",
        (("datetime", "datetime"),),
        (*(_INT,) * 8, ANY),
        _zoned_apart(*_DATE, *_TIME, "fold"),
        _zoned("datetime"),
    ),
    Form("H", (("datetime", "time"),), (*(_INT,) * 5, ANY), _zoned_apart(*_TIME, "fold"), _zoned("time")),
)
DECIMAL = FORMS[0]
