"""The codec: what is written is read back, equal bytes mean equal values, hostile bytes are refused."""

from __future__ import annotations

import array
import collections
import datetime as dt
import math
import random
import struct
import sys
import uuid
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradebox_inside.codec import (
    NO_BASE,
    Budget,
    CodecError,
    NotPlain,
    Opaque,
    OverBudget,
    decode,
    encode,
    has_nan,
)
from gradebox_inside.describe import stand_in

Point = collections.namedtuple("Point", "x y")

text = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
keys = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), text, st.binary(max_size=9), st.decimals(allow_nan=False), st.fractions(),
    st.dates(), st.uuids(), st.timedeltas(),
)  # fmt: skip
hashable = st.recursive(keys, lambda s: st.one_of(st.tuples(s, s), st.frozensets(s, max_size=4)), max_leaves=8)
zones = st.none() | st.integers(-1439, 1439).map(lambda m: dt.timezone(dt.timedelta(minutes=m)))
leaves = st.one_of(
    hashable, st.complex_numbers(), st.binary(max_size=9).map(bytearray), st.datetimes(timezones=zones), st.times(),
    st.integers().map(range), st.builds(slice, st.integers(), st.none() | st.integers()),
    st.sampled_from([..., NotImplemented, int, ValueError, dict, type(None), collections.Counter]),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda s: st.one_of(
        st.lists(s, max_size=5),
        st.lists(st.integers(-(2**70), 2**70), max_size=6),
        st.lists(text, max_size=6),
        st.lists(s, max_size=4).map(tuple),
        st.dictionaries(hashable, s, max_size=4),
        st.sets(hashable, max_size=5),
        st.lists(s, max_size=4).map(collections.deque),
        st.dictionaries(text, s, max_size=3).map(collections.OrderedDict),
        st.dictionaries(text, st.integers(), max_size=3).map(collections.Counter),
        st.dictionaries(text, s, max_size=3).map(lambda d: collections.defaultdict(list, d)),
        st.builds(Point, s, s),
    ),
    max_leaves=25,
)


def alike(a: Any, b: Any) -> bool:
    """Equal, of the same types all the way down; a NaN is like a NaN."""
    if isinstance(a, tuple) and hasattr(a, "_fields"):
        return type(a).__name__ == type(b).__name__ and a._fields == b._fields and alike(tuple(a), tuple(b))
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (a != a and b != b)
    if isinstance(a, dict):
        return alike([*a.items()], [*b.items()])
    if isinstance(a, set | frozenset):
        return {encode(x) for x in a} == {encode(x) for x in b}
    if isinstance(a, list | tuple | collections.deque):
        return len(a) == len(b) and all(map(alike, a, b))
    return repr(a) == repr(b)


@given(values)
@settings(max_examples=400, deadline=None)
def test_round_trip(value: Any) -> None:
    data = encode(value)
    back = decode(data)
    assert alike(value, back)
    assert encode(back) == data
    assert has_nan(value) or back == value


@given(st.sets(hashable, max_size=30), st.randoms())
@settings(deadline=None)
def test_sets_do_not_tell_the_order_of_insertion(value: set[Any], shuffle: random.Random) -> None:
    items = [*value]
    shuffle.shuffle(items)
    assert encode(set(items)) == encode(value)


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        decode(data)
    except (CodecError, OverBudget):
        pass


@given(values, st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_bytes_decode_or_are_refused(value: Any, data: st.DataObject) -> None:
    damaged = bytearray(encode(value))
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    except (CodecError, OverBudget):
        pass


@pytest.mark.parametrize(
    "value",
    [uuid.UUID(int=5), array.array("d", [1.5]), {1: 2}.keys(), {1: 2}.items(), dt.timezone(dt.timedelta(0), "x"),
     2**200, -(2**63), 2**63, "\ud800\udc00", ["\ud800", "\udc00", "x"], [True, 1, 1.0], [1] * 1000],
)  # fmt: skip
def test_less_common_values(value: Any) -> None:
    assert alike(decode(encode(value)), value)


def test_types_are_kept_apart() -> None:
    distinct = [1, True, 1.0, "1", b"1", bytearray(b"1"), [1], (1,), {1}, frozenset([1]), {1: 1}, Decimal(1), 1j,
                Fraction(1), range(1), [1, 2, 3], (1, 2, 3), {1, 2, 3}, [1.0, 2.0, 3.0], ["1", "2", "3"]]  # fmt: skip
    assert len({encode(v) for v in distinct}) == len(distinct)


class Level(IntEnum):
    LOW = 1


class Liar(list[int]):
    def __eq__(self, other: object) -> bool:
        return True

    def __iter__(self) -> Any:
        raise RuntimeError("asked")

    def __len__(self) -> int:
        raise RuntimeError("asked")


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Liar([1, 2]), [1, 2]),
        (Level.LOW, 1),
        (type("S", (str,), {})("a"), "a"),
        (type("D", (dict,), {})(a=1), {"a": 1}),
    ],
)
def test_subclasses_of_plain_types_are_opaque_and_show_their_content(value: Any, base: Any) -> None:
    found = decode(encode([value], opaque=stand_in))[0]
    assert type(found) is Opaque
    assert type(found.base) is type(base)
    assert found.base == base


def test_objects_are_opaque() -> None:
    class Thing:
        def __bool__(self) -> bool:
            raise RuntimeError("asked")

    found = decode(encode({"a": (Thing(), iter([]))}, opaque=stand_in))["a"]
    assert [f.type_name for f in found] == ["Thing", "list_iterator"]
    assert found[0].base is NO_BASE
    assert found[0].truth is None
    assert found[1].truth is True
    assert found[1].iterable
    assert not found[0].iterable
    with pytest.raises(NotPlain):
        encode(Thing())


def test_a_class_that_pretends_to_be_a_value_type_is_opaque() -> None:
    fake = type("Decimal", (), {"__module__": "decimal", "__str__": lambda self: "1"})
    assert type(decode(encode(fake(), opaque=stand_in))) is Opaque


@pytest.mark.parametrize("budget", [Budget(nodes=10), Budget(depth=3), Budget(bytes=40)])
def test_budgets(budget: Budget) -> None:
    value: Any = [[[[list(range(20))]]]]
    with pytest.raises(OverBudget):
        encode(value, budget=budget)
    with pytest.raises(OverBudget):
        decode(encode(value), budget=budget)


def test_what_is_small_in_memory_but_large_written_out() -> None:
    value: Any = [1, "x"]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(OverBudget):
        encode(value)
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(OverBudget):
        encode(cycle)


def test_colliding_keys_are_refused() -> None:
    modulus = sys.hash_info.modulus
    items = [k * modulus for k in range(1, 2000)]
    data = encode(items)
    as_set = b"e" + data
    with pytest.raises(CodecError, match="colliding"):
        decode(as_set)
    assert len(decode(encode(set(range(2000))))) == 2000


@pytest.mark.parametrize(
    "data",
    [b"", b"l\xff\xff\xff\xff", b"s\xff\xff\xff\x7fab", b"e" + encode([[1]]), b"Y" + encode("os:system"), b"@\0\0\0\0",
     b"V" + encode("T") + encode(("a b",)) + encode((1,)), b"V" + encode("T") + encode(("class",)) + encode((1,)),
     b"." + encode("not a number"), b"NN", b"A" + encode(99999) + encode(1) + encode(1)],
)  # fmt: skip
def test_malformed(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode(data)


def test_nan() -> None:
    assert has_nan([{"a": (1, math.nan)}])
    assert has_nan(Decimal("NaN"))
    assert not has_nan([1, "nan", {2.0: range(3)}])


def test_the_file_paths_of_a_program_are_not_opened() -> None:
    assert decode(encode(Path("/etc/passwd"), opaque=stand_in)) is not None
