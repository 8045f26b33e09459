"""What can be said of a value without running any code of its class: its kind, its plain base, its exception info.

Everything is read through the C accessors of `type` and of the plain types, so that a class that overrides
`__class__`, `__iter__` or `__eq__` has no part in what is said of it.
"""

from __future__ import annotations

import builtins
import sys

from gradebox_inside.values import (
    AWAITABLE,
    BUILTIN_TYPE_NAMES,
    CALLABLE,
    CLASS,
    EXCEPTION,
    ITERABLE,
    ITERATOR,
    MODULE,
    NO_BASE,
    SIZED,
    Opaque,
    type_key,
)

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MESSAGE_CHARS = 500
PROGRAM_FILE = "/tmp/program.py"
TEST_FILE = "/tmp/test_program.py"

mro: Callable[[type], tuple[type, ...]] = vars(type)["__mro__"].__get__
_namespace: Callable[[type], Any] = vars(type)["__dict__"].__get__
_real: Callable[[complex], float] = vars(complex)["real"].__get__
_imag: Callable[[complex], float] = vars(complex)["imag"].__get__
_ALL = slice(None)
_READ: dict[type, Callable[[Any], Any]] = {
    int: int.__int__,
    float: float.__float__,
    complex: lambda v: complex(_real(v), _imag(v)),
    str: str.__str__,
    bytes: lambda v: bytes.__getitem__(v, _ALL),
    bytearray: lambda v: bytearray.__getitem__(v, _ALL),
    list: lambda v: list.__getitem__(v, _ALL),
    tuple: lambda v: tuple.__getitem__(v, _ALL),
    dict: lambda v: {k: x for k, x in dict.items(v)},
    set: lambda v: {*set.__iter__(v)},
    frozenset: lambda v: frozenset([*frozenset.__iter__(v)]),
}
_FLAGS = {
    "__iter__": ITERABLE,
    "__call__": CALLABLE,
    "__len__": SIZED,
    "__next__": ITERATOR,
    "__await__": AWAITABLE,
}
_MODULE_TYPE = type(sys)


def find(kind: type, name: str) -> Any:
    """What a class's instances inherit under a name, or None; no descriptor or metaclass is asked."""
    for cls in mro(kind):
        found = _namespace(cls).get(name)
        if found is not None:
            return found
    return None


def plain_base(value: Any) -> Any:
    """The content of an instance of a subclass of a plain type, as that exact type; else NO_BASE."""
    for cls in mro(type(value)):
        read = _READ.get(cls)
        if read is not None:
            return read(value)
        # Their content is not in the dict that they inherit from, or not all of it.
        if cls.__module__ == "collections" and cls.__name__ == "OrderedDict":
            return dict(_call_of(cls, "items")(value))
        if cls.__module__ == "collections" and cls.__name__ == "deque":
            return cls(_call_of(cls, "__iter__")(value), _call_of(cls, "maxlen").__get__(value))
    return NO_BASE


def _call_of(cls: type, name: str) -> Any:
    """What the class itself has under a name."""
    return type.__getattribute__(cls, name)


def flags_of(value: Any) -> int:
    """The bits of `Opaque.flags` that describe the value."""
    kind = type(value)
    flags = 0
    for name, bit in _FLAGS.items():
        if find(kind, name) is not None:
            flags |= bit
    bases = mro(kind)
    if type in bases:
        flags |= CLASS
    elif BaseException in bases:
        flags |= EXCEPTION
    elif _MODULE_TYPE in bases:
        flags |= MODULE
    return flags


def stand_in(value: Any, handle: int = -1) -> Opaque:
    """The Opaque that stands for a value that is not plain."""
    kind = type(value)
    base = plain_base(value)
    truth: bool | None = True
    if base is not NO_BASE:
        truth = bool(base)
    elif find(kind, "__bool__") is not None or find(kind, "__len__") is not None:
        truth = None
    return Opaque(handle, type_key(kind)[1], truth, base, flags_of(value))


def text_of(error: BaseException) -> str:
    """str(error), whatever its class does instead, cut to MESSAGE_CHARS."""
    try:
        text = str(error)
        return str.__str__(text)[:MESSAGE_CHARS]
    except BaseException as second:
        return f"<{type_key(type(second))[1]} in str()>"


def builtin_bases(kind: type) -> list[str]:
    """The names of the builtin exceptions that a class inherits from, nearest first."""
    return [BUILTIN_TYPE_NAMES[c] for c in mro(kind) if c in BUILTIN_TYPE_NAMES and c is not object]


def error_info(error: BaseException, filename: str = PROGRAM_FILE) -> dict[str, Any]:
    """Plain data about an exception; `line` is the deepest line of `filename` that it went through."""
    kind = type(error)
    info: dict[str, Any] = {
        "type": type_key(kind)[1],
        "mro": builtin_bases(kind),
        "message": text_of(error),
        "line": None,
        "exit_code": None,
    }
    try:
        if isinstance(error, SystemExit):
            info["exit_code"] = exit_code(error)
        trace = error.__traceback__
        steps = 0
        while trace is not None and steps < 100_000:
            if trace.tb_frame.f_code.co_filename == filename:
                info["line"] = trace.tb_lineno
            trace = trace.tb_next
            steps += 1
        if info["line"] is None and type(error) in (SyntaxError, IndentationError, TabError):
            lineno = error.lineno  # type: ignore[attr-defined]
            info["line"] = lineno if type(lineno) is int else None
    except Exception:  # an exception class with lying attributes: the rest of the info stands
        pass
    return info


def exit_code(error: SystemExit) -> int:
    """The exit status that the interpreter would end with."""
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return int.__int__(code) & 0xFF
    return 1
