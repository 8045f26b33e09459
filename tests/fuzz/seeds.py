"""Real messages as the first inputs of the fuzzers: what programs, oracles and fork servers of this engine write."""

import array
import datetime as dt
import uuid
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from gradebox_inside.calls import answer_head
from gradebox_inside.codec import Opaque, encode

_Point = namedtuple("_Point", "x y")

VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**62, 2**200, 1.5, float("nan"), -0.0, 1j, "", "text", "\ud800", b"bytes", bytearray(b"ab"),
    [], [1, 2, 3], [1.0, 2.0, 3.0], ["a", "bc", "\u00e9"], [1, "x", None, [2]], (), (1, 2), (1, "x"), (1, 2, 3),
    {}, {"a": 1, 2: [3]}, {1, 2, 3}, {"a", "b"}, {(1, 2), None}, frozenset([1.5]), range(1, 9, 2), slice(1, None),
    {1: 2}.keys(), {1: 2}.values(), {1: 2}.items(), Decimal("1.50"), Decimal("sNaN"), Fraction(1, 3), uuid.UUID(int=7),
    array.array("d", [1.0]), PurePosixPath("a/b"), Counter("aab"), OrderedDict(a=1), defaultdict(int, {1: 2}),
    deque([1], 3), _Point(1, [2]), dt.date(2000, 1, 2), dt.datetime(2000, 1, 2, 3, tzinfo=dt.UTC), dt.time(1, 2),
    dt.timedelta(1, 2, 3), int, ValueError, Counter, ..., NotImplemented,
    Opaque(3, "Thing", None, [1], 17, {"k": "inst"}),
)  # fmt: skip

_RAISED = {"type": "ValueError", "message": "no", "mro": ["ValueError", "Exception"], "line": 3}

MESSAGES: tuple[tuple[Any, ...], ...] = (
    ("loaded", []),
    ("failed", "compile", {"type": "SyntaxError", "message": "invalid", "line": 1}),
    ("failed", "raised", _RAISED),
    ("noted", ["SWALLOWED_EXCEPTION"]),
    ("answer", 0, 10, 20, ("raised", _RAISED)),
    ("answer", 0, 10, 20, ("over_budget",)),
    *(("answer", 0, 10, 20, ("value", value)) for value in VALUES),
    ("tested", 0, 5, 5, {"outcome": "passed", "ran": 3}),
    ("tested", 0, 5, 5, {"outcome": "raised", "info": _RAISED}),
    ("tested", 0, 5, 5, {"outcome": "failed", "info": {"type": "AssertionError", "message": "x"}}),
    ("served",),
    ("ready",),
    ("ended", 1, {"kind": "compile", "type": "SyntaxError"}),
    ("spawned", 12),
    ("exited", 12, 9, 0.5, 1 << 20),
    ("error", "OSError(1)"),
)


def encoded_values() -> list[bytes]:
    """The values above, as they travel."""
    return [encode(value) for value in VALUES]


def encoded_messages() -> list[bytes]:
    """The messages above, and answers whose head the receiver reads without decoding them."""
    return [encode(message) for message in MESSAGES] + [answer_head(0, 5, 6) + data for data in encoded_values()]


def stream() -> bytes:
    """All messages in their frames, one after the other."""
    return b"".join(len(data).to_bytes(4, "little") + data for data in encoded_messages())
