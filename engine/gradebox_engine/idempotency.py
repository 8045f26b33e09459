"""Keyed requests: what one is doing, and what it has got, is kept a while, so that its repetition is no second run.

A request with an idempotency key is kept from when all of it is submitted. Its results are recorded here on
their way to the call that asked. When that call is gone, the request runs on as an orphan, for grace_s (the
engine's `lost_calls_s`) and no longer than the call's own deadline; when it is finished, its results stay
for as long, since nobody knows whether they arrived. A call that brings the same request with the same key
joins: it gets what is there and what comes. Where the caller says that nobody waits any more, all this ends
at once.

Bounds: what is recorded, of all requests together, and their number; the oldest finished ones go first, and
where that is not enough, what is just recorded is kept no longer: the call that asks gets it all the same.
Orphans' programs are in the scheduler's queue and count there; an orphan stops running when what nobody
collects is as much as a call may leave uncollected.

Each front of an engine has its own: a call that is repeated to another front is new there.

Pure asyncio logic, without gRPC.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from gradebox_engine.convert import InvalidSuite
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.work import Call, Job

MAX_BYTES = 64 << 20  # of results
MAX_REQUESTS = 100_000
MAX_KEY = 128  # characters
_OVERHEAD_BYTES = 500  # of a request, beside its results

type Name = tuple[str, str]  # tenant and key
type Emit = Callable[[list[bytes]], None]


class Superseded(Exception):
    """A request that waited to be submitted has come again by another call, which has its answer."""


@dataclass(slots=True, eq=False)
class Keyed:
    """One keyed request. `job`: what runs for it; None where nothing has to, or not yet."""

    name: Name
    digest: bytes
    job: Job | None = None
    is_submitted: bool = False
    results: list[bytes] = field(default_factory=list)
    size: int = _OVERHEAD_BYTES
    listeners: dict[object, tuple[Call, Emit]] = field(default_factory=dict)  # calls that wait for it
    is_kept: bool = True
    is_abandoned: bool = False
    timer: asyncio.TimerHandle | None = None  # of an orphan

    @property
    def is_finished(self) -> bool:
        """Whether all results are there."""
        return self.is_submitted and (self.job is None or self.job.unfinished == 0)

    def bytes_there(self) -> int:
        """Of the results that are there."""
        return self.size - _OVERHEAD_BYTES


class KeyedRequests:
    """Those of one engine."""

    def __init__(self, scheduler: Scheduler, *, grace_s: float, max_bytes: int = MAX_BYTES) -> None:
        self._scheduler = scheduler
        self._grace_s = grace_s
        self._max_bytes = max_bytes
        self._kept: dict[Name, Keyed] = {}
        self._finished: OrderedDict[Keyed, float] = OrderedDict()  # with when they go, the first one first
        self._sweeper: asyncio.TimerHandle | None = None
        self.bytes = 0
        self.joined = 0  # requests that were not run again

    def __len__(self) -> int:
        return len(self._kept)

    # --- a request ------------------------------------------------------------------------------

    def open(self, tenant: str, key: str, digest: bytes) -> Keyed:
        """What is known of a request, or a new one. digest: of everything that its answer depends on.

        Raises InvalidSuite when the key is that of another request, or too long.
        """
        if len(key) > MAX_KEY:
            raise InvalidSuite("idempotency_key", f"longer than {MAX_KEY} characters")
        known = self._kept.get((tenant, key))
        if known is not None and known.digest != digest:
            raise InvalidSuite("idempotency_key", "was used for another request")
        if known is not None and known.is_submitted:
            self.joined += 1
            return known
        # One that is not submitted belongs to a call that still waits for room: it is not to submit it any more.
        return self._keep(Keyed((tenant, key), digest), known)

    def is_current(self, keyed: Keyed) -> bool:
        """Whether a request that was opened is still to be submitted; another call may have brought it since."""
        return self._kept.get(keyed.name, keyed) is keyed

    def submitted(self, keyed: Keyed) -> None:
        """All of it has an answer or is in its job."""
        keyed.is_submitted = True
        if keyed.is_finished:
            self._finish(keyed)

    def record(self, keyed: Keyed, results: list[bytes]) -> None:
        """Results of a request, on their way: they are told to who listens."""
        if keyed.is_kept:
            size = sum(map(len, results))
            keyed.results += results
            keyed.size += size
            self.bytes += size
            self._bound(keyed)
        for _, emit in list(keyed.listeners.values()):
            emit(results)
        if keyed.is_finished:
            self._finish(keyed)

    def join(self, keyed: Keyed, listener: object, call: Call, emit: Emit) -> None:
        """A call waits for a request from now on, and its job is the call's own."""
        if keyed.timer is not None:
            keyed.timer.cancel()
            keyed.timer = None
        if not keyed.is_finished:
            keyed.listeners[listener] = call, emit
            if keyed.job is not None and keyed.job.call is not call:
                self._scheduler.adopt(keyed.job, call)

    def leave(self, keyed: Keyed, listener: object, left_s: float | None = None) -> None:
        """A call is gone. left_s: of its time, in which somebody may come for its answer; None: without end."""
        if keyed.listeners.pop(listener, None) is None:
            return
        if keyed.listeners:
            call, _ = next(reversed(keyed.listeners.values()))
            if keyed.job is not None:
                self._scheduler.adopt(keyed.job, call)
        elif not keyed.is_finished:
            grace_s = self._grace_s if left_s is None else min(self._grace_s, left_s)
            if keyed.is_abandoned or not keyed.is_kept or not keyed.is_submitted or grace_s <= 0:
                self._drop(keyed)
            else:
                keyed.timer = asyncio.get_running_loop().call_later(grace_s, self._drop, keyed)

    def abandon(self, tenant: str, keys: list[str]) -> None:
        """Nobody waits any more for what these keys name."""
        for key in keys:
            keyed = self._kept.get((tenant, key))
            if keyed is not None:
                keyed.is_abandoned = True
                if not keyed.listeners or keyed.is_finished:
                    self._drop(keyed)

    # --- inside ---------------------------------------------------------------------------------

    def _keep(self, keyed: Keyed, instead_of: Keyed | None) -> Keyed:
        if instead_of is not None:
            self._forget(instead_of)
        self._kept[keyed.name] = keyed
        self.bytes += keyed.size
        self._bound(keyed)
        return keyed

    def _finish(self, keyed: Keyed) -> None:
        if keyed.timer is not None:
            keyed.timer.cancel()
            keyed.timer = None
        keyed.listeners.clear()
        keyed.job = None
        if keyed.is_abandoned:
            self._forget(keyed)
        elif keyed.is_kept and keyed not in self._finished:
            self._finished[keyed] = time.monotonic() + self._grace_s
            if self._sweeper is None:
                self._sweeper = asyncio.get_running_loop().call_later(self._grace_s, self._sweep)

    def _sweep(self) -> None:
        """Forgets what has been kept for long enough."""
        self._sweeper = None
        now_s = time.monotonic()
        while self._finished:
            keyed, end_s = next(iter(self._finished.items()))
            if end_s > now_s:
                self._sweeper = asyncio.get_running_loop().call_later(end_s - now_s, self._sweep)
                return
            self._forget(keyed)

    def _bound(self, newest: Keyed) -> None:
        while self.bytes > self._max_bytes or len(self._kept) > MAX_REQUESTS:
            oldest = next(iter(self._finished), newest)
            self._forget(oldest)
            if oldest is newest:
                return

    def _drop(self, keyed: Keyed) -> None:
        """Nobody comes for it any more."""
        keyed.timer = None
        if keyed.job is not None:
            self._scheduler.cancel(keyed.job)
        self._forget(keyed)

    def _forget(self, keyed: Keyed) -> None:
        if keyed.is_kept:
            keyed.is_kept = False
            keyed.results = []
            self.bytes -= keyed.size
            self._finished.pop(keyed, None)
            if self._kept.get(keyed.name) is keyed:
                del self._kept[keyed.name]
