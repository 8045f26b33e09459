"""Bytes that were made to cost the decoder time or memory: each is refused, and what honest values need is not."""

from __future__ import annotations

import collections
import random
import struct
import sys
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

import pytest

from gradebox_inside.codec import Budget, CodecError, NotPlain, OverBudget, decode, encode

MODULUS = sys.hash_info.modulus
INCOMING = Budget(nodes=1_100_000, depth=140, bytes=24 << 20)


def count(n: int) -> bytes:
    return struct.pack("<I", n)


def listed(*items: bytes) -> bytes:
    return b"l" + count(len(items)) + b"".join(items)


def refused(data: bytes) -> None:
    with pytest.raises((CodecError, OverBudget)):
        decode(data, budget=INCOMING)


def test_half_of_the_keys_collide() -> None:
    """A count of distinct hashes alone let these through: 200,000 of them took two minutes, a million an hour."""
    good = [encode(k) for k in range(5000)]
    bad = [encode((k + 5) * MODULUS) for k in range(5000)]
    refused(b"e" + listed(*good, *bad))
    refused(b"d" + count(10_000) + b"".join(key + b"N" for key in good + bad))
    refused(b"k" + listed(*good, *bad))


def test_many_keys_of_one_hash_inside_tuples() -> None:
    refused(b"e" + listed(*(encode((k * MODULUS, "x")) for k in range(5000))))


def probing_keys(n: int) -> list[int]:
    """Ints of different hashes, of which a dictionary tries nearly every place for each."""
    size = 8
    while size * 2 // 3 < n:
        size *= 2
    mask, chain, at = size - 1, [], 7
    for _ in range(n // 2):
        chain.append(at)
        at = (5 * at + 1) & mask
    taken, choose = set(chain), random.Random(1)
    found: set[int] = set()
    while len(found) < n - len(chain):
        key = at = choose.choice(chain[: n // 8])
        step, bits = 1, mask.bit_length()
        while bits < 60:
            places = [(key | add << bits, (5 * at + ((key | add << bits) >> 5 * step) + 1) & mask) for add in range(32)]
            places = [place for place in places if place[1] in taken]
            if not places:
                break
            key, at = choose.choice(places)
            bits, step = bits + 5, step + 1
        else:
            found.add(key)
    return chain + list(found)


def test_keys_of_different_hashes_that_a_table_looks_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watched by the time that a table takes. A million of these would take a quarter of an hour."""
    from gradebox_inside import tables as module

    keys = probing_keys(12_000)
    data = b"d" + count(len(keys)) + b"".join(encode(key) + b"N" for key in keys)
    decode(data, budget=INCOMING)  # so few are let be
    looked = iter(range(1_000_000))
    monkeypatch.setattr(module, "thread_time", lambda: next(looked) * 0.01)  # as if each step took 10 ms
    refused(data)
    decode(b"d" + count(50) + b"".join(encode(key) + b"N" for key in keys[:50]))


def test_honest_keys_are_taken() -> None:
    for keys in (range(30_000), [k << 32 for k in range(5000)], [2**k for k in range(2000)], map(str, range(20_000))):
        value = dict.fromkeys(keys, 1)
        assert decode(encode(value)) == value
        assert decode(encode(set(value))) == set(value)
        assert decode(encode(frozenset(value))) == frozenset(value)
        assert [*decode(encode(value.items()))] == [*value.items()]
    floats = {k / 8 for k in range(20_000)}
    assert decode(encode(floats)) == floats


def test_a_large_int_as_a_key_beside_a_decimal() -> None:
    """Comparing the two takes quadratic time: 100 kB took a second, 16 MB would take hours."""
    large = 5 + MODULUS * 2**1_000_000
    refused(b"e" + listed(encode(Decimal(5)), encode(large)))
    refused(b"e" + listed(encode((Decimal(5), 1)), encode((large, 1))))
    assert decode(encode([Decimal(5), large])) == [Decimal(5), large]
    assert decode(encode({Decimal(5), 2**4000})) == {Decimal(5), 2**4000}


def test_a_range_whose_length_is_a_long_division() -> None:
    parts = b"i" + bytes(8), b"J" + count(200_000) + b"\x7f" * 200_000, b"J" + count(100_000) + b"\x3f" * 100_000
    refused(b"r" + b"".join(parts))
    with pytest.raises(OverBudget):
        encode(range(2**20_000))
    assert decode(encode(range(0, 2**10_000, 7))) == range(0, 2**10_000, 7)


def test_trees_of_slices_are_paid_for() -> None:
    tree = b":NNN"
    while len(tree) < 4 << 20:
        tree = b":" + 3 * tree
    refused(tree)


def test_stand_ins_are_paid_for() -> None:
    one = b"O" + struct.pack("<qHB", 1, 0, 2) + encode("") + b"-N"
    with pytest.raises(OverBudget):
        decode(one, budget=Budget(nodes=1))


def test_classes_of_namedtuples_are_few() -> None:
    """Each is compiled: 300,000 in a frame of 7 MB took half a minute and a gigabyte."""
    empty = encode(()) + encode(())
    refused(listed(*(b"V" + encode(f"n{k}") + empty for k in range(1000))))
    kinds = [collections.namedtuple(f"n{k}", ()) for k in range(1000)]
    with pytest.raises(OverBudget):
        encode([kind() for kind in kinds])
    some = [kind() for kind in kinds[:60]] * 50
    assert decode(encode(some)) == some


def test_values_that_are_large_in_memory_are_paid_for() -> None:
    """A deque of nothing takes 7 bytes in a frame and 760 in memory."""
    refused(b"l" + count(200_000) + (b"QN" + listed()) * 200_000)
    deques = [collections.deque([1], 3) for _ in range(50_000)]
    assert decode(encode(deques)) == deques


def test_long_paths_do_not_travel() -> None:
    refused(b"U" + encode("PosixPath") + encode("a/" * 5000))
    with pytest.raises(NotPlain):
        encode(PurePosixPath("a/" * 5000))
    assert decode(encode(PurePosixPath("a/b"))) == PurePosixPath("a/b")


@pytest.mark.parametrize("tag", [b"r", b"Q", b":", b"/", b"W", b"k", b"C", b"V", b"O" + bytes(11)])
def test_tags_that_nest_without_end(tag: bytes) -> None:
    refused(tag * 100_000)


def test_errors_whose_text_cannot_be_made() -> None:
    huge = encode(10**6000)
    for data in (
        b"A" + huge * 3,
        b"L" + huge * 3,
        b"W" + huge * 3 + b"N",
        b"/" + huge + encode(0),
        b"Q" + huge + b"l" + count(0),
    ):
        refused(data)


def test_what_the_writer_may_write_the_reader_takes() -> None:
    """The two charge alike: the largest value that fits the one's budget fits the other's."""
    values: list[Any] = [
        [collections.deque() for _ in range(9)], [slice(1, 2)] * 9, [Decimal(1)] * 9, [{1}, frozenset(), {2: 3}] * 5,
        [collections.Counter("ab")] * 7, {1: 2}.items(), [PurePosixPath("x")] * 5, [{1: 2}.keys()] * 5,
    ]  # fmt: skip
    for value in values:
        for nodes in range(200):
            try:
                data = encode(value, budget=Budget(nodes=nodes))
            except OverBudget:
                continue
            decode(data, budget=Budget(nodes=nodes))
