"""Classes that namedtuple() makes: told apart from other classes, and made anew on the other side."""

from __future__ import annotations

import builtins

from gradebox_inside.values import CodecError

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

# What a class made by namedtuple() or by NamedTuple with nothing but fields has in its namespace.
_KEYS = frozenset(
    "__doc__ __slots__ _fields _field_defaults __new__ _make __replace__ _replace __repr__ _asdict __getnewargs__"
    " __match_args__ __module__ __orig_bases__ __annotations__ __annotate__ __qualname__ __static_attributes__"
    " __firstlineno__ __annotate_func__ __annotations_cache__".split()
)
_MADE: dict[tuple[str, tuple[str, ...]], type] = {}
_KEPT = 256  # classes: each lives as long as its values


def namedtuple_fields(kind: type) -> tuple[str, ...] | None:
    """The field names of a namedtuple class that adds nothing of its own, else None."""
    if type(kind) is not type or kind.__mro__[1:] != (tuple, object):
        return None
    names = vars(kind)
    fields = names.get("_fields")
    if type(fields) is not tuple or len(fields) > 255 or not all(type(f) is str for f in fields):
        return None
    return fields if names.keys() <= _KEYS | set(fields) else None


def namedtuple_class(name: str, fields: tuple[str, ...]) -> type:
    """A class of these fields, made by compiling code. Raises CodecError or ValueError for names that are none."""
    kind = _MADE.get((name, fields))
    if kind is None:
        if len(name) > 256 or len(fields) > 255 or not all(type(f) is str and len(f) <= 256 for f in fields):
            raise CodecError("names of a namedtuple")
        if len(_MADE) >= _KEPT:
            _MADE.clear()
        from collections import namedtuple

        # namedtuple() itself refuses names that are not identifiers, keywords and names that start with "_".
        kind = _MADE[name, fields] = namedtuple(name, fields)
    return kind
