"""The last warnings and errors of the log, to be shown beside it.

Only what an event's own texts say is kept, by the names of its fields: texts of programs and tests never get there, as
they never get into the log, and an exception's message, which may quote anything, does not either.
"""

from collections import deque
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

KEPT = 50
REASON_CHARACTERS = 300
_LEVELS = ("warning", "error", "critical")
_FIELDS = ("status", "pid", "programs", "method", "code", "tenant")


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """One line of the log. time: ISO 8601, UTC."""

    time: str
    level: str
    event: str
    detail: str
    front: int


class Recent:
    """A processor of structlog; it lets everything pass."""

    def __init__(self) -> None:
        self._new: deque[ErrorEvent] = deque(maxlen=KEPT)

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """To stand after the processors that add `level` and `timestamp`."""
        if event.get("level") in _LEVELS:
            self._new.append(
                ErrorEvent(
                    time=str(event.get("timestamp", "")),
                    level=event["level"],
                    event=str(event["event"])[:REASON_CHARACTERS],
                    detail=_detail(event),
                    front=int(event.get("front", 0)),
                )
            )
        return event

    def take(self) -> list[ErrorEvent]:
        """What came since the last time, no more than the last KEPT."""
        taken = list(self._new)
        self._new.clear()
        return taken


def _detail(event: MutableMapping[str, Any]) -> str:
    parts = [f"{name} {event[name]}" for name in _FIELDS if event.get(name) not in (None, "")]
    if event.get("reason"):
        parts.insert(0, " ".join(str(event["reason"]).split()))
    if isinstance(fault := event.get("exc_info"), BaseException):
        parts.insert(0, type(fault).__name__)
    return ", ".join(parts)[:REASON_CHARACTERS]
