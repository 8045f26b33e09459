"""Bytes → value. The bytes may come from a hostile process: every length is checked against what is left
before anything is made of it, nothing that the data names is imported or evaluated, and whatever takes more than
linear time (keys that were chosen to collide, large exact numbers, classes) is refused or paid for.
"""

from __future__ import annotations

import builtins
from _operator import eq
from struct import Struct, unpack_from
from time import thread_time

from gradebox_inside.values import (
    BUILTIN_TYPES,
    CALLABLE,
    CLASS,
    DEQUE_NODES,
    EXACT_BITS,
    LIBRARY_NODES,
    LIBRARY_TYPES,
    NAMEDTUPLES_A_MESSAGE,
    NO_BASE,
    PACKED_SHIFT,
    PATH_CHARS,
    PATH_NODES,
    Budget,
    CodecError,
    Opaque,
    OverBudget,
    library_type,
)

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from gradebox_inside.memo import Memo

    type Get = Callable[[bytes, int, int, "_State"], tuple[Any, int]]

_u32 = Struct("<I").unpack_from
_i64 = Struct("<q").unpack_from
_f64 = Struct("<d").unpack_from
_DEFAULT = Budget()
_COLLISIONS_FROM = 32  # below this many keys, colliding hashes cannot cost anything that matters
# Pairs of keys with equal hashes are compared: so many in all, and for each key.
_FREE_PAIRS, _PAIRS_A_KEY = 1024, 32
# Keys with different hashes can still be chosen so that a table looks at all of them for each. Python's hashes of
# numbers are no secret, those of text are. Honest keys take a tenth of the time that is given here.
_UNWATCHED_KEYS = 4096
_WATCH_STEP = 64
_TABLE_S, _TABLE_S_A_KEY = 1.0, 2e-6
_LARGE_INT_BYTES = 1 << 13  # comparing a larger one with a Decimal takes quadratic time
_PACKED_SIZE = 4  # bytes: every element of a packed list takes that much or more, other elements are told as less
_NAMEDTUPLES: dict[tuple[str, tuple[str, ...]], type] = {}
_NAMEDTUPLES_KEPT = 256
_TEXTS = frozenset({str, bytes})


class _State:
    __slots__ = ("classes", "decimals", "large", "memo", "nodes", "opaque")

    def __init__(self, nodes: int, opaque: Callable[[Opaque], Any] | None, memo: Memo | None) -> None:
        self.nodes = nodes
        self.opaque = opaque
        self.memo = memo
        self.classes: set[tuple[str, tuple[str, ...]]] = set()
        self.decimals = False
        self.large = False  # there was an int of more than _LARGE_INT_BYTES

    def spend(self, nodes: int) -> None:
        """Pays for what has elements, or is as large as several."""
        self.nodes -= nodes
        if self.nodes < 0:
            raise OverBudget("nodes")


def decode(
    data: bytes,
    *,
    budget: Budget = _DEFAULT,
    opaque: Callable[[Opaque], Any] | None = None,
    memo: Memo | None = None,
) -> Any:
    """The value that `encode` wrote. `opaque` turns each stand-in into what the caller wants in its place.

    Raises CodecError for anything that `encode` does not write, OverBudget for what is larger than the budget.
    """
    if len(data) > budget.bytes:
        raise OverBudget("bytes")
    state = _State(budget.nodes, opaque, memo)
    try:
        value, end = _GET[data[0]](data, 0, budget.depth, state)
    except (CodecError, OverBudget):
        raise
    except RecursionError:
        raise OverBudget("depth") from None
    except Exception as error:  # truncated numbers, bad UTF-8, impossible dates, unhashable keys, …
        raise CodecError(_said(error)) from None
    if end != len(data):
        raise CodecError("bytes after the value" if end < len(data) else "truncated")
    return value


def _said(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {str(error)[:200]}"
    except Exception:  # an argument that has no text, such as an int with too many digits
        return type(error).__name__


def _bad(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    raise CodecError(f"unknown tag {d[p]:#x}")


def _constant(value: Any) -> Get:
    def get(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
        return value, p + 1

    return get


def _get_int(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    return _i64(d, p + 1)[0], p + 9


def _get_float(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    return _f64(d, p + 1)[0], p + 9


def _get_complex(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    return complex(_f64(d, p + 1)[0], _f64(d, p + 9)[0]), p + 17


def _span(d: bytes, p: int) -> tuple[int, int]:
    """Start and end of a length-prefixed field whose tag stands at p."""
    end = p + 5 + _u32(d, p + 1)[0]
    if end > len(d):
        raise CodecError("length beyond the end")
    return p + 5, end


def _get_big_int(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    start, end = _span(d, p)
    if end - start > _LARGE_INT_BYTES:
        st.large = True
    return int.from_bytes(d[start:end], "little", signed=True), end


def _get_str(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    end = p + 5 + _u32(d, p + 1)[0]
    if end > len(d):
        raise CodecError("length beyond the end")
    return str(d[p + 5 : end], "utf-8", "surrogatepass"), end


def _get_bytes(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    start, end = _span(d, p)
    return d[start:end], end


def _get_bytearray(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    start, end = _span(d, p)
    return bytearray(d[start:end]), end


def _exact(d: bytes, p: int, depth: int, st: _State, kind: type) -> tuple[Any, int]:
    """A part that must be of one type."""
    value, p = _GET[d[p]](d, p, depth, st)
    if type(value) is not kind:
        raise CodecError(f"{kind.__name__} expected")
    return value, p


def _count(d: bytes, p: int, depth: int, st: _State, size: int) -> int:
    """The number of elements of a container, of at least `size` bytes each, whose tag stands at p."""
    n: int = _u32(d, p + 1)[0]
    if n * size > len(d) - p:
        raise CodecError("more elements than bytes")
    st.nodes -= 1 + (n if size < _PACKED_SIZE else n >> PACKED_SHIFT)
    if st.nodes < 0:
        raise OverBudget("nodes")
    if depth <= 0:
        raise OverBudget("depth")
    return n


def _get_items(d: bytes, p: int, depth: int, st: _State) -> tuple[list[Any], int]:
    n = _count(d, p, depth, st, 1)
    p += 5
    depth -= 1
    items: list[Any] = []
    add = items.append
    table = _GET
    for _ in range(n):
        tag = d[p]
        if tag == 105:  # i
            add(_i64(d, p + 1)[0])
            p += 9
        else:
            value, p = table[tag](d, p, depth, st)
            add(value)
    return items, p


def _get_tuple(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _get_items(d, p, depth, st)
    return tuple(items), p


def _get_packed_tuple(d: bytes, p: int, depth: int, st: _State) -> tuple[tuple[Any, ...], int]:
    p += 1
    tag = d[p]
    if tag == 83:  # S: strings, joined, after their lengths in code points
        n = _count(d, p, depth, st, 4)
        size = _u32(d, p + 5)[0]
        lengths = unpack_from(f"<{n}I", d, p + 9)
        p += 9 + 4 * n
        if p + size > len(d):
            raise CodecError("length beyond the end")
        text = str(d[p : p + size], "utf-8", "surrogatepass")
        if sum(lengths) != len(text):
            raise CodecError("lengths of strings")
        parts = []
        at = 0
        for length in lengths:
            parts.append(text[at : at + length])
            at += length
        return tuple(parts), p + size
    if tag != 73 and tag != 68:  # I, D: 64-bit integers, floats
        raise CodecError("packed kind")
    n = _count(d, p, depth, st, 8)
    return unpack_from(f"<{n}q" if tag == 73 else f"<{n}d", d, p + 5), p + 5 + 8 * n


def _get_packed_list(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _get_packed_tuple(d, p, depth, st)
    return list(items), p


def _hashable(keys: list[Any], st: _State) -> bool:
    """Whether to watch the time that a table of these keys takes. Raises CodecError where too many would be compared.

    Honest keys are seldom refused: it takes many of one hash, such as the powers of two beyond the 60th.
    """
    if st.decimals and st.large:
        raise OverBudget("keys beside a Decimal and a large int")
    n = len(keys)
    if n <= _COLLISIONS_FROM or {*map(type, keys)} <= _TEXTS:
        return False
    hashes = sorted(map(hash, keys))  # sorted, not counted: a table of them would have the same collisions
    if any(map(eq, hashes, hashes[1:])):
        pairs = run = 0
        for same in map(eq, hashes, hashes[1:]):
            run = run + 1 if same else 0
            pairs += run
        if pairs > _FREE_PAIRS + _PAIRS_A_KEY * n:
            raise CodecError("colliding keys")
    return n > _UNWATCHED_KEYS


def _fill(table: Any, n: int, part: Callable[[int, int], Any]) -> Any:
    """Adds `part(start, end)` of n elements to a set or a dictionary until it takes too long."""
    end_s = thread_time() + _TABLE_S + _TABLE_S_A_KEY * n
    for at in range(0, n, _WATCH_STEP):
        table.update(part(at, at + _WATCH_STEP))
        if thread_time() > end_s:
            raise CodecError("colliding keys")
    return table


def _make_dict(keys: list[Any], values: list[Any], st: _State) -> dict[Any, Any]:
    if _hashable(keys, st):
        made: dict[Any, Any] = _fill({}, len(keys), lambda at, to: zip(keys[at:to], values[at:to], strict=True))
        return made
    return dict(zip(keys, values, strict=True))


def _elements(items: list[Any], st: _State) -> Any:
    """The items, or a set of them where making one has to be watched."""
    return _fill(set(), len(items), lambda at, to: items[at:to]) if _hashable(items, st) else items


def _get_dict(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    n = _count(d, p, depth, st, 2)
    st.nodes -= n
    p += 5
    depth -= 1
    keys: list[Any] = []
    values: list[Any] = []
    table = _GET
    for _ in range(n):
        key, p = table[d[p]](d, p, depth, st)
        keys.append(key)
        value, p = table[d[p]](d, p, depth, st)
        values.append(value)
    return _make_dict(keys, values, st), p


def _listed(d: bytes, p: int, depth: int, st: _State) -> tuple[list[Any], int]:
    """A list that is part of another value."""
    tag = d[p]
    if tag == 108:  # l
        return _get_items(d, p, depth, st)
    if tag == 80:  # P
        return _get_packed_list(d, p, depth, st)
    raise CodecError("list expected")


def _get_set(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _listed(d, p + 1, depth, st)
    return set(_elements(items, st)), p


def _get_frozenset(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _listed(d, p + 1, depth, st)
    return frozenset(_elements(items, st)), p


def _get_range(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    start, p = _exact(d, p + 1, depth, st, int)
    stop, p = _exact(d, p, depth, st, int)
    step, p = _exact(d, p, depth, st, int)
    if max(start.bit_length(), stop.bit_length(), step.bit_length()) > EXACT_BITS:
        raise OverBudget("bits of a range")
    return range(start, stop, step), p


def _get_slice(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    p += 1
    if depth <= 0:
        raise OverBudget("depth")
    st.spend(4)
    parts = []
    for _ in range(3):
        value, p = _GET[d[p]](d, p, depth - 1, st)
        parts.append(value)
    return slice(*parts), p


def _get_keys(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _listed(d, p + 1, depth - 1, st)
    return _make_dict(items, items, st).keys(), p


def _get_values(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _listed(d, p + 1, depth - 1, st)
    return dict(enumerate(items)).values(), p


def _get_pairs(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _listed(d, p + 1, depth - 1, st)
    if not all(type(pair) is tuple and len(pair) == 2 for pair in items):
        raise CodecError("pairs expected")
    return _make_dict([pair[0] for pair in items], [pair[1] for pair in items], st).items(), p


def _get_decimal(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from decimal import Decimal

    text, p = _exact(d, p + 1, depth, st, str)
    st.decimals = True
    return Decimal(text), p


def _get_fraction(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from fractions import Fraction

    top, p = _exact(d, p + 1, depth, st, int)
    bottom, p = _exact(d, p, depth, st, int)
    if max(top.bit_length(), bottom.bit_length()) > EXACT_BITS:
        raise OverBudget("bits of a Fraction")
    return Fraction(top, bottom), p


def _get_uuid(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from uuid import UUID

    if p + 17 > len(d):
        raise CodecError("truncated")
    return UUID(int=int.from_bytes(d[p + 1 : p + 17], "little")), p + 17


def _get_path(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    import pathlib

    st.spend(PATH_NODES - LIBRARY_NODES)
    kind, p = _exact(d, p + 1, depth, st, str)
    text, p = _exact(d, p, depth, st, str)
    if kind not in ("PosixPath", "PurePosixPath", "PureWindowsPath") or len(text) > PATH_CHARS:
        raise CodecError("path")
    return getattr(pathlib, kind)(text), p


def _get_array(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from array import array

    code, p = _exact(d, p + 1, depth, st, str)
    items, p = _listed(d, p, depth, st)
    return array(code, items), p


def _ints(d: bytes, p: int, depth: int, st: _State, n: int) -> tuple[list[int], int]:
    parts = []
    for _ in range(n):
        value, p = _exact(d, p, depth, st, int)
        parts.append(value)
    return parts, p


def _get_timedelta(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from datetime import timedelta

    parts, p = _ints(d, p + 1, depth, st, 3)
    return timedelta(*parts), p


def _get_timezone(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from datetime import timedelta, timezone

    parts, p = _ints(d, p + 1, depth, st, 3)
    offset = timedelta(*parts)
    if d[p] == 78:  # N: no name
        return timezone(offset), p + 1
    name, p = _exact(d, p, depth, st, str)
    return timezone(offset, name), p


def _zone(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    return (None, p + 1) if d[p] == 78 else _get_timezone(d, p, depth, st)


def _get_date(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from datetime import date

    parts, p = _ints(d, p + 1, depth, st, 3)
    return date(*parts), p


def _get_datetime(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from datetime import datetime

    parts, p = _ints(d, p + 1, depth, st, 8)
    zone, p = _zone(d, p, depth, st)
    return datetime(*parts[:7], tzinfo=zone, fold=parts[7]), p  # type: ignore[misc,arg-type]


def _get_time(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from datetime import time

    parts, p = _ints(d, p + 1, depth, st, 5)
    zone, p = _zone(d, p, depth, st)
    return time(*parts[:4], tzinfo=zone, fold=parts[4]), p  # type: ignore[misc,arg-type]


def _get_counter(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from collections import Counter

    items, p = _exact(d, p + 1, depth, st, dict)
    return Counter(items), p


def _get_ordered(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from collections import OrderedDict

    items, p = _exact(d, p + 1, depth, st, dict)
    return OrderedDict(items), p


def _get_defaultdict(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from collections import defaultdict

    name, p = _exact(d, p + 1, depth, st, str)
    items, p = _exact(d, p, depth, st, dict)
    return defaultdict(BUILTIN_TYPES.get(name), items), p


def _get_deque(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from collections import deque

    st.spend(DEQUE_NODES - LIBRARY_NODES)
    maxlen = None
    if d[p + 1] == 78:  # N: no limit
        p += 2
    else:
        maxlen, p = _exact(d, p + 1, depth, st, int)
    items, p = _listed(d, p, depth, st)
    return deque(items, maxlen), p


def _get_namedtuple(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    name, p = _exact(d, p + 1, depth, st, str)
    fields, p = _exact(d, p, depth, st, tuple)
    values, p = _exact(d, p, depth, st, tuple)
    if len(fields) != len(values):
        raise CodecError("fields of a namedtuple")
    # Each class is made by compiling code, and lives as long as its values.
    st.classes.add((name, fields))
    if len(st.classes) > NAMEDTUPLES_A_MESSAGE:
        raise OverBudget("classes of namedtuples")
    kind = _NAMEDTUPLES.get((name, fields))
    if kind is None:
        if len(name) > 256 or len(fields) > 255 or not all(type(f) is str and len(f) <= 256 for f in fields):
            raise CodecError("names of a namedtuple")
        if len(_NAMEDTUPLES) >= _NAMEDTUPLES_KEPT:
            _NAMEDTUPLES.clear()
        kind = _NAMEDTUPLES[name, fields] = _namedtuple(name, fields)
    return tuple.__new__(kind, values), p


def _namedtuple(name: str, fields: tuple[str, ...]) -> type:
    from collections import namedtuple

    # namedtuple() itself refuses names that are not identifiers, keywords and names that start with "_".
    return namedtuple(name, fields)


def _get_type(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    name, p = _exact(d, p + 1, depth, st, str)
    found = BUILTIN_TYPES.get(name)
    if found is None:
        module, _, attribute = name.partition(":")
        if (module, attribute) not in LIBRARY_TYPES:
            raise CodecError("unknown type")
        found = library_type(module, attribute)
    if found is None:  # a type of a module that is not loaded here: nothing can be compared with it
        stand_in = Opaque(-1, attribute, True, NO_BASE, CALLABLE | CLASS, {"k": "lib", "name": name})
        return (st.opaque(stand_in) if st.opaque is not None else stand_in), p
    return found, p


def _get_opaque(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    if depth <= 0:
        raise OverBudget("depth")
    st.spend(2)
    handle, flags, truth = unpack_from("<qHB", d, p + 1)
    name, p = _exact(d, p + 12, depth - 1, st, str)
    memo, st.memo = st.memo, None
    base: Any = NO_BASE
    if d[p] == 45:  # -
        p += 1
    else:
        base, p = _GET[d[p]](d, p, depth - 1, st)
    extra, p = _GET[d[p]](d, p, depth - 1, st)
    st.memo = memo
    stand_in = Opaque(handle, name, None if truth > 1 else bool(truth), base, flags, extra)
    return (st.opaque(stand_in) if st.opaque is not None else stand_in), p


def _get_numpy(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    from gradebox_inside.arrays import get_numpy

    kind, p = _exact(d, p + 1, depth, st, str)
    dtype, p = _exact(d, p, depth, st, str)
    shape, p = _exact(d, p, depth, st, tuple)
    raw, p = _exact(d, p, depth, st, bytes)
    value = get_numpy(kind, dtype, shape, raw)
    if st.opaque is not None and type(value) is Opaque:
        value = st.opaque(value)
    return value, p


def _get_reference(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    if st.memo is None:
        raise CodecError("reference")
    return st.memo.recall(_u32(d, p + 1)[0]), p + 5


def _get_shared(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    if st.memo is None:
        raise CodecError("shared container")
    number: int = _u32(d, p + 1)[0]
    p += 5
    st.memo.visits[number] = 1
    make = _FRESH.get(d[p])
    held = st.memo.objects.get(number)
    if held is None and make is not None:
        held = make()
        st.memo.place(number, held)  # before its contents: they may refer to it
    value, p = _GET[d[p]](d, p, depth, st)
    if held is None:
        if type(value).__name__ not in ("deque", "Counter", "OrderedDict", "defaultdict"):
            raise CodecError("this cannot be shared")
        st.memo.place(number, value)
        return value, p
    if type(held) is not type(value):
        raise CodecError("a shared container changed its type")
    _bring_up_to_date(held, value)
    return held, p


def _bring_up_to_date(held: Any, value: Any) -> None:
    """Gives a container new contents in place; one that somebody iterates over is left alone where it can be."""
    if isinstance(held, dict):
        if len(held) != len(value) or any(a is not b and a != b for a, b in zip(held, value, strict=True)):
            held.clear()
        for key, item in value.items():
            held[key] = item
    elif isinstance(held, set):
        if held != value or len(held) != len(value):
            held.clear()
            held |= value
    elif isinstance(held, list | bytearray):
        held[:] = value
    else:  # a deque
        held.clear()
        held.extend(value)


def _paid(get: Get) -> Get:
    def paid(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
        st.spend(LIBRARY_NODES)
        return get(d, p, depth, st)

    return paid


_FRESH: dict[int, Callable[[], Any]] = {
    **dict.fromkeys(b"lP", list),
    ord("d"): dict,
    ord("e"): set,
    ord("B"): bytearray,
}
_GET: list[Get] = [_bad] * 256
for _tag, _get in {
    "N": _constant(None),
    "T": _constant(True),
    "F": _constant(False),
    "~": _constant(...),
    "!": _constant(NotImplemented),
    "i": _get_int,
    "J": _get_big_int,
    "f": _get_float,
    "c": _get_complex,
    "s": _get_str,
    "b": _get_bytes,
    "B": _get_bytearray,
    "l": _get_items,
    "P": _get_packed_list,
    "t": _get_tuple,
    "p": _get_packed_tuple,
    "d": _get_dict,
    "e": _get_set,
    "z": _get_frozenset,
    "r": _get_range,
    ":": _get_slice,
    "k": _get_keys,
    "v": _get_values,
    "w": _get_pairs,
    ".": _get_decimal,
    "/": _get_fraction,
    "u": _get_uuid,
    "a": _get_array,
    "U": _get_path,
    "C": _get_counter,
    "R": _get_ordered,
    "G": _get_defaultdict,
    "Q": _get_deque,
    "L": _get_timedelta,
    "W": _get_timezone,
    "A": _get_date,
    "M": _get_datetime,
    "H": _get_time,
    "V": _get_namedtuple,
    "Y": _get_type,
    "O": _get_opaque,
    "n": _get_numpy,
    "m": _get_shared,
    "@": _get_reference,
}.items():
    _GET[ord(_tag)] = _paid(_get) if _tag in "./uaUCRGQAMHLW" else _get
