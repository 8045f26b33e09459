"""What one front says of itself, once a second, to whoever shows the engine (see overview)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from gradebox_engine.families import Family
from gradebox_engine.places import WorkerView
from gradebox_engine.readiness import Readiness
from gradebox_engine.recent import ErrorEvent

INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change as long as an engine runs. max_*: the bounds of its queue."""

    version: str
    tier: str
    image: str  # name@sha256:digest
    protections: list[str]
    max_queued_programs: int
    max_queued_bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One front at one time. facts: None before its first worker is ready. errors: those since the last snapshot."""

    front: int
    readiness: Readiness
    facts: Facts | None = None
    workers: list[WorkerView] = field(default_factory=list)
    families: list[Family] = field(default_factory=list)
    errors: list[ErrorEvent] = field(default_factory=list)


_SNAPSHOTS = TypeAdapter(Snapshot)


def to_line(snapshot: Snapshot) -> bytes:
    """One line of JSON."""
    return _SNAPSHOTS.dump_json(snapshot) + b"\n"


def from_line(line: bytes) -> Snapshot:
    """The reverse. Raises ValueError."""
    return _SNAPSHOTS.validate_json(line)


async def report(take: Callable[[], Snapshot], to: Callable[[Snapshot], Awaitable[None]]) -> None:
    """Takes a snapshot, and passes it on, every INTERVAL_S, for ever."""
    while True:
        begun_s = time.monotonic()
        await to(take())
        await asyncio.sleep(max(0.0, begun_s + INTERVAL_S - time.monotonic()))
