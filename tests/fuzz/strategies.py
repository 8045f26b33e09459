"""Values as programs may answer them, and bytes that are nearly messages."""

import array
import collections
import datetime as dt
import struct
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from hypothesis import strategies as st
from tests.fuzz.seeds import encoded_messages, encoded_values

from gradebox_inside.codec import Opaque

Pair = collections.namedtuple("Pair", "first second")

text = st.text(st.characters(codec=None, exclude_categories=()), max_size=10)
_ints = st.one_of(
    st.integers(-3, 300),
    st.integers(),
    st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**61 - 1]),
    st.sampled_from([-5000, 5000]).map(lambda size: (size // 5000) * 10 ** abs(size)),  # too long to be shown
)
_decimals = st.one_of(st.decimals(), st.sampled_from(["sNaN", "-NaN123", "1E+999999", "1E-999999", "-0"]).map(Decimal))
_numbers = st.one_of(_ints, st.floats(), st.booleans(), st.fractions(), st.decimals(allow_nan=False))
hashable = st.recursive(
    st.one_of(st.none(), _numbers, text, st.binary(max_size=8), st.dates(), st.uuids(), st.timedeltas()),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner, max_size=4)),
    max_leaves=6,
)
_zones = st.none() | st.integers(-1439, 1439).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
_leaves = st.one_of(
    hashable,
    _decimals,
    st.complex_numbers(),
    st.binary(max_size=8).map(bytearray),
    st.datetimes(timezones=_zones),
    st.times(),
    st.builds(range, _ints.filter(lambda n: abs(n) < 2**64), st.integers(-9, 2**70)),
    st.builds(slice, st.none() | st.integers(), st.integers()),
    st.lists(st.floats(), max_size=4).map(lambda items: array.array("d", items)),
    text.filter(lambda name: "\0" not in name).map(PurePosixPath),
    st.sampled_from([..., NotImplemented, int, ValueError, dict, type(None), collections.Counter]),
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=5),
        st.lists(_ints, max_size=6),
        st.lists(st.floats(), min_size=3, max_size=6).map(tuple),
        st.lists(text, max_size=6),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(hashable, inner, max_size=4),
        st.sets(hashable, max_size=5),
        st.builds(collections.deque, st.lists(inner, max_size=4), st.none() | st.integers(4, 9)),
        st.dictionaries(text, inner, max_size=3).map(collections.OrderedDict),
        st.dictionaries(text, st.integers(), max_size=3).map(collections.Counter),
        st.dictionaries(text, inner, max_size=3).map(lambda items: collections.defaultdict(list, items)),
        st.dictionaries(hashable, inner, max_size=3).map(dict.keys),
        st.builds(Pair, inner, inner),
    )


plain = st.recursive(_leaves, _containers, max_leaves=20)
# What a process may send that is not plain: anything that stands for an object of its own.
_handles = st.builds(
    Opaque,
    st.integers(-2, 9),
    text,
    st.sampled_from([None, True, False]),
    plain,
    st.integers(0, 511),
    st.none() | st.dictionaries(text, plain, max_size=2),
)
hostile = st.recursive(st.one_of(_leaves, _handles), _containers, max_leaves=15)

_TAGS = b"NTF~!iJfcsbBltdPpezr:kvw./uaUCRGQVAMHLWYnOm@ISD-"
_SEEDS = [*encoded_messages(), *encoded_values()]


def _spliced(data: bytes, at: int, cut: int, piece: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + piece + data[at + cut :]


_pieces = st.one_of(
    st.binary(max_size=6),
    st.sampled_from(_TAGS).map(lambda tag: bytes([tag])),
    st.sampled_from(_SEEDS),
    st.sampled_from([0, 1, 2, 3, 5, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1]).map(struct.Struct("<I").pack),
)
damaged = st.recursive(
    st.sampled_from(_SEEDS),
    lambda inner: st.builds(_spliced, inner, st.integers(0, 400), st.integers(0, 12), _pieces),
    max_leaves=6,
)
# Tags with small lengths after them: far more of these are values than of plain noise.
grammar = st.lists(
    st.one_of(
        st.builds(lambda tag, n: bytes([tag]) + struct.pack("<I", n), st.sampled_from(_TAGS), st.integers(0, 5)),
        st.sampled_from(_TAGS).map(lambda tag: bytes([tag])),
        st.sampled_from(_SEEDS),
        st.binary(max_size=9),
    ),
    max_size=12,
).map(b"".join)
noise = st.one_of(st.binary(max_size=80), damaged, grammar)
