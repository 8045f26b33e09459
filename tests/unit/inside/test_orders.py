"""Orders: what the trusted side packs is what a process in the jail reads, in whichever of two forms."""

from decimal import Decimal
from typing import Any

import pytest

from gradebox_inside import codec, orders


@pytest.mark.parametrize(
    ("message", "form"),
    [
        (("load", b"def f(): ...\xff", {"name": "program", "with_typing": False}), b"m"),
        (("calls", 0, [("const", [1, 2.5, None, True, "ä\ud800", 10**40, {"a": (1j,)}])], [{"consume": False}]), b"m"),
        (("calls", 0, [("const", {3, 1, 2})], []), b"c"),
        (("calls", 0, [("const", [[frozenset("ab")]])], []), b"c"),
        (("calls", 0, [("const", Decimal("1.5")), ("const", set)], []), b"c"),
    ],
)
def test_there_and_back(message: Any, form: bytes) -> None:
    payload = orders.pack(message)
    assert payload[:1] == form
    assert orders.unpack(payload) == message


def test_equal_parts_never_become_one() -> None:
    shared: list[int] = [1]
    _, first, second = orders.unpack(orders.pack(("calls", shared, shared)))
    first.append(2)
    assert second == [1]


def test_what_is_nested_too_deep_is_refused() -> None:
    value: list[Any] = []
    for _ in range(3000):
        value = [value]
    with pytest.raises((codec.OverBudget, codec.CodecError)):
        orders.pack(("const", value))
