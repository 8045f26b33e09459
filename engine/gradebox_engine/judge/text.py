"""Reading source text, and writing short text, without being hurt by either."""

import ast
import contextlib
import symtable
import warnings
from collections.abc import Callable, Iterator
from typing import Any

# Longer tests are not parsed here: they go to the oracle, where a bomb hurts only its own job.
MAX_SOURCE_CHARS = 256 << 10
MAX_MESSAGE_CHARS = 300
_VALUE_CHARS = 80


def parse(source: str) -> ast.Module | None:
    """The syntax tree of `source`, or None where it is too long, too deep or no Python.

    CPython's parser bounds nesting by itself and says so with one of several exceptions. It may warn: see
    `without_warnings`, which costs as much as parsing a small test.
    """
    return _read(source, ast.parse)


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """What is parsed meanwhile says nothing of invalid escapes and the like, which run all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def scopes(source: str) -> symtable.SymbolTable | None:
    """Python's own analysis of which names of `source` are local to what, or None as for `parse`."""
    return _read(source, lambda text: symtable.symtable(text, "test", "exec"))


def _read[T](source: str, reader: Callable[[str], T]) -> T | None:
    if len(source) > MAX_SOURCE_CHARS:
        return None
    try:
        return reader(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def shorten(text: str, limit: int = MAX_MESSAGE_CHARS) -> str:
    """`text` cut to `limit` characters, and free of what cannot be sent as UTF-8 or would upset a terminal."""
    text = text[: limit + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " if c.isspace() else "�" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def brief(value: Any, limit: int = _VALUE_CHARS) -> str:
    """Something like `repr(value)` of at most `limit` characters, at a cost that does not grow with the value.

    Takes plain data only; other things show as their type's name.
    """
    parts: list[str] = []
    _write(value, parts, [limit], 6)
    return shorten("".join(parts), limit)


def _write(value: Any, parts: list[str], room: list[int], depth: int) -> None:
    """Appends the text of `value` to `parts` until `room[0]` characters are spent."""
    kind = type(value)
    if kind is str or kind is bytes:
        text = repr(value[: room[0] + 1])
    elif kind is int:
        text = str(value) if value.bit_length() < 512 else f"<int of {value.bit_length()} bits>"
    elif value is None or kind in (bool, float, complex) or (kind in (set, frozenset) and not value):
        text = repr(value)
    elif kind in _BRACKETS and depth:
        opening, closing = _BRACKETS[kind]
        _put(opening, parts, room)
        first = True
        for item in value.items() if kind is dict else value:
            if room[0] <= 0:
                break
            if not first:
                _put(", ", parts, room)
            first = False
            if kind is dict:
                _write(item[0], parts, room, depth - 1)
                _put(": ", parts, room)
                _write(item[1], parts, room, depth - 1)
            else:
                _write(item, parts, room, depth - 1)
        if kind is tuple and len(value) == 1:
            closing = ",)"
        text = closing
    elif isinstance(value, type):
        text = value.__name__
    else:
        text = f"<{getattr(value, 'type_name', None) or kind.__name__}>"
    _put(text, parts, room)


_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    dict: ("{", "}"),
}


def _put(text: str, parts: list[str], room: list[int]) -> None:
    parts.append(text)
    room[0] -= len(text)
