"""Results on their way from the scheduler to one gRPC call: gathered into few messages."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from gradebox_engine.metrics import Meter
from gradebox_engine.queue import UNCOLLECTED_MAX_BYTES
from gradebox_engine.quotas import Quotas
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.work import Call, Job
from gradebox_proto.v1 import routing_pb2 as routed

GATHER_RESULTS = 32
GATHER_S = 0.005


class HandedBack(Exception):
    """The engine is ending, and gives back what it has not answered."""

    def __init__(self) -> None:
        super().__init__("the engine is ending: ask again, or another one")


@dataclass(slots=True, eq=False)
class Answer:
    """The answer to one request, as far as it is there and not sent."""

    request_id: str
    emit: Callable[[list[bytes]], None]  # takes results of its programs, from wherever they come
    job: Job | None = None
    leave: Callable[[float | None], None] | None = None  # instead of cancelling the job, where that goes on
    asked: bool = False  # in full: every program has its answer or is in the job
    results: list[bytes] = field(default_factory=list)
    started: bool = False  # something of it was sent
    done: bool = False
    error: bytes = b""
    listed: bool = False
    stamp: bytes = b""  # of the image that its programs run in, where that is not the engine's own


class Delivery:
    """What one call is still to be told.

    `stamp` is a serialized EngineStamp; `meter` hears of every result; `quotas` are those of the caller.
    """

    def __init__(self, scheduler: Scheduler, stamp: bytes, meter: Meter, call: Call, quotas: Quotas) -> None:
        self.call = call
        self.quotas = quotas
        self._meter = meter
        self._scheduler = scheduler
        self._stamp = stamp
        self._open: dict[Answer, None] = {}  # opened, and not taken in full
        self._ready: list[Answer] = []
        self._count = 0  # results in them
        self._closed = False
        self._is_handed_back = False
        self._undone = 0
        self._moved = asyncio.Event()
        self._enough = asyncio.Event()
        self._freed = asyncio.Event()

    def open(self, request_id: str) -> Answer:
        """A request has come; every one opened must become done."""
        answer = Answer(request_id, lambda results: self.add(answer, results))
        self._open[answer] = None
        self._undone += 1
        return answer

    def close(self) -> None:
        """No more requests will come."""
        self._closed = True
        self._moved.set()
        self._enough.set()

    def hand_back(self) -> None:
        """The call is over: who waits for `next` or `all` gets HandedBack, once what is there is taken."""
        self._is_handed_back = True
        self._moved.set()
        self._enough.set()

    def add(self, answer: Answer, results: list[bytes]) -> None:
        """Results of a request, from its job; it is done when it was asked in full and its job has no more."""
        answer.results += results
        self._count += len(results)
        if results:
            self._meter.results(self.call, results)
        if answer.asked and (answer.job is None or answer.job.unfinished == 0):
            self._done(answer)
        self._list(answer)

    async def add_own(self, answer: Answer, results: list[bytes]) -> None:
        """Results that no job gave, once the caller has collected enough; they count like all others."""
        if results:
            while self._is_crowded:
                self._freed.clear()
                await self._freed.wait()
            self.call.uncollected_bytes += sum(map(len, results))
            answer.emit(results)

    def asked(self, answer: Answer) -> None:
        """All of the request's programs have an answer or are in its job."""
        answer.asked = True
        self.add(answer, [])

    def fail(self, answer: Answer, error: bytes) -> None:
        """The request ends with a serialized ErrorDetail."""
        answer.error = error
        self._done(answer)
        self._list(answer)

    async def fewer_than(self, most: int) -> None:
        """Waits until fewer programs of the call are in flight, fewer requests open, and results taken."""
        while self.call.in_flight >= most or len(self._open) >= most or self._is_crowded:
            self._freed.clear()
            await self._freed.wait()

    async def next(self) -> list[routed.RoutedGradeResponse]:
        """What there is to say, once there is something; nothing when the call is at its end. Raises HandedBack."""
        while not self._ready:
            if self._closed and not self._open:
                return []
            self._look_whether_handed_back()
            self._moved.clear()
            await self._moved.wait()
        if not self._enough.is_set():
            timer = asyncio.get_running_loop().call_later(GATHER_S, self._enough.set)
            await self._enough.wait()
            timer.cancel()
        self._enough.clear()
        ready, self._ready, self._count = self._ready, [], 0
        self._collect()
        return [self._response(answer) for answer in ready]

    async def all(self) -> list[routed.RoutedGradeResponse]:
        """The whole answers to all requests, in their order, when all are there. Raises HandedBack."""
        while self._undone or not self._closed:
            self._look_whether_handed_back()
            self._collect()  # the caller has agreed to get them in one piece
            self._moved.clear()
            await self._moved.wait()
        self._collect()
        return [self._response(answer) for answer in list(self._open)]

    def drop(self, left_s: float | None = 0.0) -> None:
        """The caller is gone: nothing more is run for it, except what it may come back for in the time it had left."""
        for answer in self._open:
            if answer.leave is not None:
                answer.leave(left_s)
            elif answer.job is not None:
                self._scheduler.cancel(answer.job)
        self._open.clear()
        self._undone = 0

    def _look_whether_handed_back(self) -> None:
        if self._is_handed_back:
            raise HandedBack

    @property
    def _is_crowded(self) -> bool:
        return self.call.uncollected_bytes >= UNCOLLECTED_MAX_BYTES

    def _done(self, answer: Answer) -> None:
        if not answer.done:
            answer.done = True
            self._undone -= 1

    def _list(self, answer: Answer) -> None:
        if not answer.listed:
            answer.listed = True
            self._ready.append(answer)
        self._moved.set()
        self._freed.set()
        # Few in flight: the caller is waiting for these. Many: a moment's wait fills the message.
        if self._count >= GATHER_RESULTS or self.call.in_flight <= self._scheduler.workers:
            self._enough.set()

    def _collect(self) -> None:
        self._scheduler.collected(self.call, self.call.uncollected_bytes)
        self._freed.set()

    def _response(self, answer: Answer) -> routed.RoutedGradeResponse:
        response = routed.RoutedGradeResponse(
            request_id=answer.request_id,
            results=answer.results,
            engine=b"" if answer.started else answer.stamp or self._stamp,
            done=answer.done,
            error=answer.error,
        )
        answer.results = []
        answer.started, answer.listed = True, False
        if answer.done:
            del self._open[answer]
        return response
