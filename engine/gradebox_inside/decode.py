"""Bytes → value. The bytes may come from a hostile process: every length is checked against what is left
before anything is made of it, nothing that the data names is imported or evaluated, and whatever takes more than
linear time (keys that were chosen to collide, large exact numbers, classes) is refused or paid for.
"""

from __future__ import annotations

import builtins
from struct import Struct, unpack_from

from gradebox_inside.forms import ANY, DECIMAL, FORMS, LIST, Form
from gradebox_inside.memo import bring_up_to_date
from gradebox_inside.namedtuples import namedtuple_class
from gradebox_inside.tables import elements, make_dict
from gradebox_inside.values import (
    BUILTIN_TYPES,
    CALLABLE,
    CLASS,
    EXACT_BITS,
    LIBRARY_TYPES,
    NAMEDTUPLES_A_MESSAGE,
    NO_BASE,
    PACKED_SHIFT,
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
_LARGE_INT_BYTES = 1 << 13  # comparing a larger one with a Decimal takes quadratic time
_PACKED_SIZE = 4  # bytes: every element of a packed list takes that much or more, other elements are told as less


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

    @property
    def costly_keys(self) -> bool:
        """Whether there were values that take quadratic time to compare, as keys of one table."""
        return self.decimals and self.large


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
    return make_dict(keys, values, st.costly_keys), p


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
    return set(elements(items, st.costly_keys)), p


def _get_frozenset(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _listed(d, p + 1, depth, st)
    return frozenset(elements(items, st.costly_keys)), p


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
    return make_dict(items, items, st.costly_keys).keys(), p


def _get_values(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _listed(d, p + 1, depth - 1, st)
    return dict(enumerate(items)).values(), p


def _get_pairs(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
    items, p = _listed(d, p + 1, depth - 1, st)
    if not all(type(pair) is tuple and len(pair) == 2 for pair in items):
        raise CodecError("pairs expected")
    return make_dict([pair[0] for pair in items], [pair[1] for pair in items], st.costly_keys).items(), p


def _get_form(form: Form) -> Get:
    """A value of the standard library's types: its parts, put together."""

    def get(d: bytes, p: int, depth: int, st: _State) -> tuple[Any, int]:
        st.spend(form.nodes)
        if form is DECIMAL:
            st.decimals = True
        p += 1
        parts = []
        for kinds in form.parts:
            part, p = _listed(d, p, depth, st) if kinds is LIST else _GET[d[p]](d, p, depth, st)
            if type(part) not in kinds and kinds is not ANY:
                raise CodecError("part of a value")
            parts.append(part)
        return form.together(*parts), p

    return get


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
    return tuple.__new__(namedtuple_class(name, fields), values), p


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
    bring_up_to_date(held, value)
    return held, p


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
    "V": _get_namedtuple,
    "Y": _get_type,
    "O": _get_opaque,
    "n": _get_numpy,
    "m": _get_shared,
    "@": _get_reference,
}.items():
    _GET[ord(_tag)] = _get
for _form in FORMS:
    _GET[_form.tag] = _get_form(_form)
