"""What the trusted side tells a process in the jail: messages of plain data, packed by `marshal`.

One way only. `marshal` reads at C speed, and must never be given bytes that a hostile process could have written:
nothing that comes out of a jail is read by it. What it cannot pack, or would not rebuild alike everywhere (sets, whose
order hangs on how they were filled), travels in the codec.
"""

from __future__ import annotations

import builtins
from marshal import dumps, loads
from struct import Struct

from gradebox_inside.decode import decode
from gradebox_inside.encode import encode
from gradebox_inside.values import Budget

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPAWNED = Struct("<cq")  # the one answer that is not in the codec: "+" and the pid of a new process
HELLO = Struct("<QQ")  # what follows a process's "!": its CPU time and the clock on the wall, nanoseconds
_MARSHALLED, _ENCODED = b"m", b"c"
# Without references: two equal lists of a message must never become one that a program changes for both.
_VERSION = 2
_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes))
# Orders are trusted, and as large as a request may be; this only bounds a fault.
_BUDGET = Budget(nodes=50_000_000, depth=256, bytes=1 << 30)


def pack(message: tuple[Any, ...]) -> bytes:
    """A message as bytes. Raises CodecError or OverBudget for what cannot travel."""
    if _is_simple(message):
        try:
            return _MARSHALLED + dumps(message, _VERSION)
        except ValueError:  # nested too deep
            pass
    return _ENCODED + encode(message, budget=_BUDGET)


def _is_simple(message: Any) -> bool:
    """Whether it is made of builtin values in tuples, lists and dictionaries only."""
    waiting = [message]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is tuple or kind is list:
            if not _PLAIN.issuperset(map(type, value)):
                waiting.extend(value)
        elif kind is dict:
            waiting.extend(value)
            waiting.extend(value.values())
        elif kind not in _PLAIN:
            return False
    return True


def unpack(payload: bytes) -> Any:
    """The message. `payload` must come from the trusted side."""
    if payload[:1] == _MARSHALLED:
        return loads(memoryview(payload)[1:])
    return decode(payload[1:], budget=_BUDGET)
