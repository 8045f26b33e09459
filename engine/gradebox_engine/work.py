"""What the scheduler deals in: calls, jobs, chunks, and workers as it sees them."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gradebox_engine.lately import Lately

SUITES_PER_WORKER = 512  # that a worker remembers, with their plans
SUITES_BYTES = 4 << 20  # of those; a plan takes some 50 bytes for each of its suite's
IMAGES_PER_WORKER = 3  # fewer than a worker has jails for


class QueueFull(Exception):
    """The queue holds as much as it may."""


class NoWorkers(Exception):
    """There is no worker, and there will not soon be one."""


class WorkerLink(Protocol):
    """How the scheduler reaches a worker process. Nothing here waits."""

    def send(self, chunk: "Chunk", with_suite: bool) -> None:
        """Hands over a chunk, with its suite's bytes where the worker has not seen them."""

    def cancel(self, number: int) -> None:
        """Asks the worker to give up a chunk; it still answers that it is done with it."""

    def kill(self, reason: str) -> None:
        """Ends the worker process; `Scheduler.remove_worker` follows."""


class Trace(Protocol):
    """What is told of one call that is traced. Times are of `time.monotonic`."""

    def waited(self, since_s: float, until_s: float) -> None:
        """A job of the call was queued, until its first programs went to a worker."""

    def worked(self, since_s: float, until_s: float, programs: int) -> None:
        """A worker had so many programs of the call."""


class Observer(Protocol):
    """What is told of all calls, for metrics and traces. Nothing here waits."""

    def waited(self, call: "Call", since_s: float, until_s: float) -> None:
        """See Trace."""

    def worked(self, call: "Call", since_s: float, until_s: float, programs: int) -> None:
        """See Trace."""


@dataclass(slots=True)
class SuiteEntry:
    """A suite as workers get it, and what the scheduler learns about it."""

    key: bytes
    data: bytes
    tests: int
    program_bound_s: float  # no program can honestly take longer
    cost_s: float | None = None  # of one program, moving average
    jobs: int = 0  # that are not finished; they keep `data` in memory
    image: str = ""  # name@digest; "" is the engine's own


@dataclass(slots=True, eq=False)
class Share:
    """A tenant's part of the workers: its calls share it, and it competes with those of other tenants by `weight`."""

    weight: float = 1.0
    virtual_s: float = 0.0  # worker seconds for each unit of weight
    used_s: float = 0.0  # worker seconds, of all calls
    in_flight: int = 0  # programs submitted and not answered
    queued: bool = False  # in the queue's heap
    now_s: float = 0.0  # virtual, of its calls
    part: float = 0.0  # of what the queue keeps for tenants while others fill it; 0 where there are none
    programs: int = 0  # that wait
    bytes: int = 0  # of those
    calls: "list[tuple[float, int, Call]]" = field(default_factory=list)  # a heap: those that wait
    freed: asyncio.Event = field(default_factory=asyncio.Event)  # set when fewer are in flight


@dataclass(slots=True, eq=False)
class Call:
    """A unit of fair share within a tenant's, and of back-pressure. tenant: whose it is, "" where there are none."""

    tenant: str = ""
    share: Share = field(default_factory=Share)
    virtual_s: float = 0.0
    jobs: "deque[Job]" = field(default_factory=deque)
    queued: bool = False  # in its share's heap
    in_flight: int = 0  # programs submitted and not answered
    uncollected_bytes: int = 0
    answered: int = 0  # programs
    trace: Trace | None = None

    def charge(self, worker_s: float) -> None:
        """So much was spent on it; what turns out to have been too much is given back."""
        self.virtual_s += worker_s
        self.share.virtual_s += worker_s / self.share.weight
        self.share.used_s += worker_s

    def count(self, programs: int) -> None:
        """So many more of its programs are in flight, or fewer."""
        self.in_flight += programs
        self.share.in_flight += programs
        if programs < 0:
            self.share.freed.set()


@dataclass(slots=True)
class Failures:
    """Attempts at one program that the engine failed, and the worker seconds that they took."""

    count: int = 0
    spent_s: float = 0.0


@dataclass(slots=True, eq=False)
class Job:
    """Programs of one problem, or one program to run (`suite` then only carries the bound).

    `emit(results)` gets serialized results as they come, `fault(index, program, why)` makes the
    result of a program that the engine failed; `unfinished` reaches 0 with the last emit.
    """

    call: Call
    suite: SuiteEntry
    pending: deque[tuple[int, bytes]]
    emit: Callable[[list[bytes]], None]
    fault: Callable[[int, bytes, str], bytes]
    stop_early: bool = False
    request_id: str = ""  # as the caller named it; "" where it did not
    run: bool = False  # the one "program" is a RunRequest, the result a RunResponse
    retries: "deque[tuple[int, bytes, Worker | None]]" = field(default_factory=deque)
    failures: dict[int, Failures] = field(default_factory=dict)
    unfinished: int = 0
    queued_bytes: int = 0
    waits_since_s: float = 0.0  # 0: not any more
    closed: bool = False


@dataclass(slots=True, eq=False)
class Chunk:
    """What a worker gets at once: programs with consecutive indexes."""

    number: int
    job: Job
    first_index: int
    programs: dict[int, bytes]
    size: int
    estimate_s: float
    started_s: float = 0.0


@dataclass(slots=True, eq=False)
class Worker:
    """The scheduler's view of one worker process."""

    link: WorkerLink
    chunks: deque[Chunk] = field(default_factory=deque)
    suites: Lately[bytes, None] = field(default_factory=lambda: Lately(SUITES_PER_WORKER, SUITES_BYTES))
    images: Lately[str, None] = field(default_factory=lambda: Lately(IMAGES_PER_WORKER))  # it has a jail at hand
    heard_s: float = 0.0
