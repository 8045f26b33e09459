"""The places of a pool, each with one worker after the other: what there is to be seen of them."""

from dataclasses import dataclass
from typing import Literal, Protocol

WorkerState = Literal["starting", "idle", "busy", "new jail"]


class AtWork(Protocol):
    """A worker process, as it is seen from outside."""

    pid: int
    jails_replaced: int
    graded: int

    @property
    def state(self) -> WorkerState:
        """What it does."""

    @property
    def programs(self) -> int:
        """How many it has, and has not answered."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One place of the pool, and whoever works there. `graded` and restarts are since its front's start."""

    number: int
    state: WorkerState
    pid: int | None
    programs: int  # that it has now
    graded: int
    worker_restarts: int
    jail_restarts: int


class Place:
    """Counts what the workers of a place did; number: from 1 on, unique in the engine."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._now: AtWork | None = None
        self._workers = 0
        self._jails = 0
        self._graded = 0

    def begins(self, worker: AtWork) -> None:
        """A worker was started."""
        self._now = worker

    def ends(self) -> None:
        """Its process has ended by itself."""
        if self._now is not None:
            self._workers += 1
            self._jails += self._now.jails_replaced
            self._graded += self._now.graded
        self._now = None

    def view(self) -> WorkerView:
        """As it is now."""
        now = self._now
        return WorkerView(
            number=self._number,
            state=now.state if now else "starting",
            pid=now.pid if now else None,
            programs=now.programs if now else 0,
            graded=self._graded + (now.graded if now else 0),
            worker_restarts=self._workers,
            jail_restarts=self._jails + (now.jails_replaced if now else 0),
        )
