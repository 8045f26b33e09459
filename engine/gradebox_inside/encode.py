"""Value → bytes. The form is described in codec.py; this is the hot path of every answer."""

from __future__ import annotations

import builtins
import sys
from struct import Struct, pack

from gradebox_inside.forms import FORMS, Form
from gradebox_inside.namedtuples import namedtuple_fields
from gradebox_inside.values import (
    BUILTIN_TYPE_NAMES,
    BUILTIN_TYPES,
    EXACT_BITS,
    LIBRARY_TYPES,
    NAMEDTUPLES_A_MESSAGE,
    NO_BASE,
    PACKED_SHIFT,
    Budget,
    NotPlain,
    Opaque,
    OverBudget,
    library_type,
    type_key,
)

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from gradebox_inside.memo import Memo

    type Put = Callable[[Any, bytearray, int, "_State"], None]

_q = Struct("<cq").pack
_d = Struct("<cd").pack
_n = Struct("<cI").pack
_I64_MAX = (1 << 63) - 1
_I64_MIN = -(1 << 63)
_DEFAULT = Budget()


class _State:
    __slots__ = ("classes", "limit", "memo", "nodes", "opaque")

    def __init__(self, budget: Budget, opaque: Callable[[Any], Opaque | None] | None, memo: Memo | None) -> None:
        self.nodes = budget.nodes
        self.limit = budget.bytes
        self.opaque = opaque
        self.memo = memo
        self.classes: set[tuple[str, tuple[str, ...]]] = set()

    def spend(self, nodes: int) -> None:
        """Pays for what is as large as several elements."""
        self.nodes -= nodes
        if self.nodes < 0:
            raise OverBudget("nodes")


def encode(
    value: Any,
    *,
    budget: Budget = _DEFAULT,
    opaque: Callable[[Any], Opaque | None] | None = None,
    memo: Memo | None = None,
) -> bytes:
    """The value in the codec's form; the same bytes for the same value and insertion orders.

    `opaque` is asked for a stand-in for whatever is not plain data; without it (or when it answers None) that
    raises NotPlain. `memo` numbers mutable containers so that aliasing and later changes can be told.
    Raises OverBudget.
    """
    kind = type(value)
    if kind is int:
        if _I64_MIN <= value <= _I64_MAX:
            return _q(b"i", value)
    elif kind is str:
        data: bytes = value.encode("utf-8", "surrogatepass")
        if len(data) <= budget.bytes:
            return _n(b"s", len(data)) + data
    elif value is None:
        return b"N"
    elif kind is bool:
        return b"T" if value else b"F"
    elif kind is float:
        return _d(b"f", value)
    out = bytearray()
    state = _State(budget, opaque, memo)
    try:
        (_PUT.get(kind) or _put_other)(value, out, budget.depth, state)
    except RecursionError:
        raise OverBudget("depth") from None
    except MemoryError:
        raise OverBudget("memory") from None
    if len(out) > state.limit:
        raise OverBudget("bytes")
    return bytes(out)


def _put_none(v: None, out: bytearray, depth: int, st: _State) -> None:
    out += b"N"


def _put_bool(v: bool, out: bytearray, depth: int, st: _State) -> None:
    out += b"T" if v else b"F"


def _put_int(v: int, out: bytearray, depth: int, st: _State) -> None:
    if _I64_MIN <= v <= _I64_MAX:
        out += _q(b"i", v)
        return
    size = v.bit_length() // 8 + 1
    if size > st.limit:
        raise OverBudget("bytes")
    out += _n(b"J", size)
    out += v.to_bytes(size, "little", signed=True)


def _put_float(v: float, out: bytearray, depth: int, st: _State) -> None:
    out += _d(b"f", v)


def _put_complex(v: complex, out: bytearray, depth: int, st: _State) -> None:
    out += pack("<cdd", b"c", v.real, v.imag)


def _put_str(v: str, out: bytearray, depth: int, st: _State) -> None:
    data = v.encode("utf-8", "surrogatepass")
    out += _n(b"s", len(data))
    if len(data) + len(out) > st.limit:
        raise OverBudget("bytes")
    out += data


def _put_bytes(v: bytes, out: bytearray, depth: int, st: _State) -> None:
    if len(v) + len(out) > st.limit:
        raise OverBudget("bytes")
    out += _n(b"b", len(v))
    out += v


def _put_bytearray(v: bytearray, out: bytearray, depth: int, st: _State) -> None:
    if st.memo is not None and st.memo.enter(v, out):
        return
    if len(v) + len(out) > st.limit:
        raise OverBudget("bytes")
    out += _n(b"B", len(v))
    out += v


def _enter(n: int, out: bytearray, depth: int, st: _State) -> None:
    """Pays for a container of n elements out of the budget."""
    st.nodes -= n + 1
    if st.nodes < 0:
        raise OverBudget("nodes")
    if depth <= 0:
        raise OverBudget("depth")
    if len(out) > st.limit:
        raise OverBudget("bytes")


def _packed(v: list[Any] | tuple[Any, ...], n: int, limit: int) -> bytes | None:
    """The packed form of three or more elements that are all int64, all float or all str, else None."""
    first = type(v[0])
    if first is int or first is float:
        if {*map(type, v)} == {first}:
            if first is float:
                return pack(f"<cI{n}d", b"D", n, *v)
            try:
                return pack(f"<cI{n}q", b"I", n, *v)
            except Exception:  # struct.error: an int beyond 64 bits
                return None
    elif first is str and {*map(type, v)} == {str}:
        if sum(map(len, v)) > limit:
            raise OverBudget("bytes")
        data = "".join(v).encode("utf-8", "surrogatepass")
        return pack(f"<cII{n}I", b"S", n, len(data), *map(len, v)) + data
    return None


def _put_list(v: list[Any], out: bytearray, depth: int, st: _State) -> None:
    if st.memo is None or not st.memo.enter(v, out):
        _put_items(v, out, depth, st)


def _put_items(v: list[Any], out: bytearray, depth: int, st: _State) -> None:
    n = len(v)
    if 2 < n <= st.limit and (data := _packed(v, n, st.limit)) is not None:
        _enter(n >> PACKED_SHIFT, out, depth, st)
        out += b"P"
        out += data
        return
    _enter(n, out, depth, st)
    out += _n(b"l", n)
    _put_all(v, out, depth - 1, st)


def _put_tuple(v: tuple[Any, ...], out: bytearray, depth: int, st: _State) -> None:
    n = len(v)
    if 2 < n <= st.limit and (data := _packed(v, n, st.limit)) is not None:
        _enter(n >> PACKED_SHIFT, out, depth, st)
        out += b"p"
        out += data
        return
    _enter(n, out, depth, st)
    out += _n(b"t", n)
    _put_all(v, out, depth - 1, st)


def _put_all(items: Iterable[Any], out: bytearray, depth: int, st: _State) -> None:
    get = _PUT.get
    for x in items:
        kind = type(x)
        if kind is int and _I64_MIN <= x <= _I64_MAX:
            out += _q(b"i", x)
        elif kind is str:
            data = x.encode("utf-8", "surrogatepass")
            out += _n(b"s", len(data))
            out += data
            if len(out) > st.limit:
                raise OverBudget("bytes")
        else:
            (get(kind) or _put_other)(x, out, depth, st)


def _put_pairs(v: dict[Any, Any], out: bytearray, depth: int, st: _State) -> None:
    n = len(v)
    _enter(2 * n, out, depth, st)
    out += _n(b"d", n)
    _put_all([y for pair in v.items() for y in pair], out, depth - 1, st)


def _put_dict(v: dict[Any, Any], out: bytearray, depth: int, st: _State) -> None:
    if st.memo is None or not st.memo.enter(v, out):
        _put_pairs(v, out, depth, st)


def _put_elements(v: Iterable[Any], n: int, out: bytearray, depth: int, st: _State) -> None:
    """A set's elements in an order that does not depend on hashes."""
    _enter(n, out, depth, st)
    kinds = {*map(type, v)}
    if len(kinds) == 1 and (kinds == {int} or kinds == {str}):
        _put_items(sorted(v), out, depth, st)
        return
    parts = []
    get = _PUT.get
    size = 0
    for x in v:
        part = bytearray()
        (get(type(x)) or _put_other)(x, part, depth - 1, st)
        size += len(part)
        if size > st.limit:
            raise OverBudget("bytes")
        parts.append(bytes(part))
    parts.sort()
    out += _n(b"l", len(parts))
    for element in parts:
        out += element


def _put_set(v: set[Any], out: bytearray, depth: int, st: _State) -> None:
    if st.memo is not None and st.memo.enter(v, out):
        return
    out += b"e"
    _put_elements(v, len(v), out, depth, st)


def _put_frozenset(v: frozenset[Any], out: bytearray, depth: int, st: _State) -> None:
    out += b"z"
    _put_elements(v, len(v), out, depth, st)


def _put_range(v: range, out: bytearray, depth: int, st: _State) -> None:
    if max(v.start.bit_length(), v.stop.bit_length(), v.step.bit_length()) > EXACT_BITS:
        raise OverBudget("bits of a range")
    out += b"r"
    _put_all((v.start, v.stop, v.step), out, depth, st)


def _put_slice(v: slice, out: bytearray, depth: int, st: _State) -> None:
    _enter(3, out, depth, st)
    out += b":"
    _put_all((v.start, v.stop, v.step), out, depth - 1, st)


def _put_view(tag: bytes) -> Put:
    def put(v: Any, out: bytearray, depth: int, st: _State) -> None:
        _enter(1, out, depth, st)
        out += tag
        _put_items([*v], out, depth - 1, st)

    return put


def _put_form(form: Form) -> Put:
    """A value of the standard library's types: its parts. One that has no plain parts goes the way of objects."""

    def put(v: Any, out: bytearray, depth: int, st: _State) -> None:
        start = len(out)
        st.spend(form.nodes)
        try:
            parts = form.apart(v)
            if form.shared and st.memo is not None and st.memo.enter(v, out):
                return
            out.append(form.tag)
            for part in parts:
                if isinstance(part, list):  # made for this, as a dictionary's items are: no other value holds it
                    _put_items(part, out, depth, st)
                elif isinstance(part, dict):
                    _put_pairs(part, out, depth, st)
                else:
                    (_PUT.get(type(part)) or _put_other)(part, out, depth, st)
        except NotPlain:  # a datetime in a time zone of its own, for one
            del out[start:]
            _put_opaque(v, out, depth, st)

    return put


def _put_type(v: type, out: bytearray, depth: int, st: _State) -> None:
    name = BUILTIN_TYPE_NAMES.get(v)
    if name is None:
        key = type_key(v)
        if key not in LIBRARY_TYPES or library_type(*key) is not v:
            _put_opaque(v, out, depth, st)
            return
        name = f"{key[0]}:{key[1]}"
    out += b"Y"
    _put_str(name, out, depth, st)


def _put_stand_in(v: Opaque, out: bytearray, depth: int, st: _State) -> None:
    _enter(1, out, depth, st)
    out += pack("<cqHB", b"O", v.handle, v.flags, 2 if v.truth is None else int(v.truth))
    _put_str(v.type_name, out, depth, st)
    memo, st.memo = st.memo, None  # a base is a copy: it has no identity that could be shared
    if v.base is NO_BASE:
        out += b"-"
    else:
        _put_all((v.base,), out, depth - 1, st)
    _put_all((v.extra,), out, depth - 1, st)
    st.memo = memo


def _put_opaque(v: Any, out: bytearray, depth: int, st: _State) -> None:
    stand_in = st.opaque(v) if st.opaque is not None else None
    if stand_in is None:
        raise NotPlain(_name(type(v)))
    _put_stand_in(stand_in, out, depth, st)


def _name(kind: type) -> str:
    return type_key(kind)[1]


def _put_other(v: Any, out: bytearray, depth: int, st: _State) -> None:
    kind = type(v)
    put = _library_put(kind)
    if put is None and isinstance(v, type):
        put = _put_type
    if put is not None:
        put(v, out, depth, st)
        return
    fields = namedtuple_fields(kind)
    if fields is None:
        _put_opaque(v, out, depth, st)
        return
    _enter(len(fields), out, depth, st)
    name = _name(kind)
    st.classes.add((name, fields))
    if len(st.classes) > NAMEDTUPLES_A_MESSAGE:
        raise OverBudget("classes of namedtuples")
    out += b"V"
    _put_str(name, out, depth, st)
    _put_tuple(fields, out, depth, st)
    _put_tuple(tuple.__getitem__(v, slice(None)), out, depth, st)


_FORMS = {key: form for form in FORMS for key in form.types}


def _library_put(kind: type) -> Put | None:
    """How to write a value type of the standard library; None where the class is not really that type."""
    key = type_key(kind)
    form = _FORMS.get(key)
    if form is None:
        if key[0] == "numpy" and "numpy" in sys.modules:
            from gradebox_inside.arrays import put_numpy

            return put_numpy
        return None
    if library_type(*key) is not kind:
        return None
    _PUT[kind] = _put_form(form)
    return _PUT[kind]


def is_plain_type(kind: type) -> bool:
    """Whether values of this exact type travel as data (their elements may still be stand-ins)."""
    return kind in _PUT or _library_put(kind) is not None or namedtuple_fields(kind) is not None


_PUT: dict[type, Put] = {
    type(None): _put_none,
    bool: _put_bool,
    int: _put_int,
    float: _put_float,
    complex: _put_complex,
    str: _put_str,
    bytes: _put_bytes,
    bytearray: _put_bytearray,
    list: _put_list,
    tuple: _put_tuple,
    dict: _put_dict,
    set: _put_set,
    frozenset: _put_frozenset,
    range: _put_range,
    slice: _put_slice,
    BUILTIN_TYPES["dict_keys"]: _put_view(b"k"),
    BUILTIN_TYPES["dict_values"]: _put_view(b"v"),
    BUILTIN_TYPES["dict_items"]: _put_view(b"w"),
    type(...): lambda v, out, depth, st: out.extend(b"~"),
    type(NotImplemented): lambda v, out, depth, st: out.extend(b"!"),
    type: _put_type,
    Opaque: _put_stand_in,
}
