"""The codec on values and bytes of any kind: exact round trips, and nothing but its own errors."""

from __future__ import annotations

import collections
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.fuzz.profiles import FUZZ
from tests.fuzz.strategies import hostile, noise, plain
from tests.fuzz.targets import check_decode

from gradebox_inside.codec import Budget, CodecError, Opaque, OverBudget, decode, encode, has_nan
from gradebox_inside.memo import Memo


def alike(a: Any, b: Any) -> bool:
    """Equal, of the same types all the way down; a NaN is like a NaN, -0.0 is not like 0.0."""
    if isinstance(a, tuple) and hasattr(a, "_fields"):
        return type(a).__name__ == type(b).__name__ and a._fields == b._fields and alike(tuple(a), tuple(b))
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b) or (a != a and b != b)
    if isinstance(a, Opaque):
        same = (a.handle, a.type_name, a.truth, a.flags) == (b.handle, b.type_name, b.truth, b.flags)
        return same and alike(a.base, b.base) and alike(a.extra, b.extra)
    if isinstance(a, dict):
        return alike([*a.items()], [*b.items()])
    if isinstance(a, set | frozenset):
        return {encode(x) for x in a} == {encode(x) for x in b}
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, collections.deque):
        return a.maxlen == b.maxlen and alike([*a], [*b])
    if isinstance(a, int):
        return bool(a == b)  # its text may be too long to be made
    if isinstance(a, slice | range):
        return alike([a.start, a.stop, a.step], [b.start, b.stop, b.step])
    if type(a) is type({}.keys()):
        return alike([*a], [*b])
    return repr(a) == repr(b)


@given(hostile)
@FUZZ
def test_what_is_written_is_read_back_exactly(value: Any) -> None:
    data = encode(value)
    back = decode(data)
    assert alike(value, back)
    assert encode(back) == data


@given(plain, st.integers(0, 60), st.integers(0, 6), st.integers(1, 400))
@FUZZ
def test_a_reader_with_the_writer_s_budget_takes_what_it_wrote(value: Any, nodes: int, depth: int, size: int) -> None:
    budget = Budget(nodes, depth, size)
    try:
        data = encode(value, budget=budget)
    except OverBudget:
        return
    assert len(data) <= max(size, 9)
    if len(data) <= size:
        assert alike(decode(data, budget=budget), value)


@given(noise)
@example(b"r" * 5000)
@example(b"QNl\1\0\0\0" * 400)
@example(b":" * 300 + b"N" * 700)
@FUZZ
def test_any_bytes_are_a_value_or_are_refused(data: bytes) -> None:
    check_decode(data)


@given(st.binary(max_size=200))
@FUZZ
def test_noise_is_a_value_or_is_refused(data: bytes) -> None:
    check_decode(data)


@given(plain, st.lists(st.integers(0, 3), max_size=12))
@FUZZ
def test_shared_and_cyclic_containers_keep_their_shape(value: Any, path: list[int]) -> None:
    """Containers that refer to each other, as a program may build them, told by a memo."""
    boxes: list[list[Any]] = [[value], [], [], []]
    for at, to in enumerate(path):
        boxes[at % 4].append(boxes[to])
    data = encode(boxes, memo=Memo(0))
    back = decode(data, memo=Memo(1))
    assert alike(back[0][0], value)
    for at, to in enumerate(path):
        position = 1 + at // 4 if at % 4 == 0 else at // 4
        assert back[at % 4][position] is back[to]
    with pytest.raises(CodecError):
        decode(data)  # a memo's marks mean nothing without one


@given(
    st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=2), max_leaves=40), st.integers(1, 12)
)
@FUZZ
def test_depth_is_bounded_alike_on_both_sides(value: Any, depth: int) -> None:
    def levels(v: Any) -> int:
        return 1 + max(map(levels, v)) if type(v) is list else 0

    fits = levels(value) <= depth
    data = encode(value)
    for attempt in (
        lambda: encode(value, budget=Budget(depth=depth)),
        lambda: decode(data, budget=Budget(depth=depth)),
    ):
        if fits:
            attempt()
        else:
            with pytest.raises(OverBudget):
                attempt()


@given(plain)
@FUZZ
def test_equal_bytes_are_equal_values(value: Any) -> None:
    assert has_nan(value) or decode(encode(value)) == value
