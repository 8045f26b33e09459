"""The bulk stream to one front of an engine.

A runner keeps a stream open, on which a sender task puts what waits into one message after the other
while the runner reads answers. A request is kept until it is answered, so that a lost connection or an
engine that has forgotten a suite costs a repetition and nothing else. When the connection is lost and
comes back at once, the requests are repeated there, under the keys by which the engine knows them; else
they are handed over to the other streams, and this one takes none until it is connected again.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from gradebox._connection import RETURN_S, Connection
from gradebox._deadline import Deadline
from gradebox._errors import NOT_FOUND, GradeboxError, Overloaded, Unavailable, from_detail
from gradebox._problems import Suite
from gradebox._results import EngineStamp, SubmissionResult, result_from_wire, stamp_from_wire
from gradebox._retry import BACKOFF_FIRST_S, Backoff, Patience
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

MESSAGE_REQUESTS = 64
MESSAGE_BYTES = 1 << 20  # a message ends with the request that reaches it


@dataclass(slots=True, eq=False)
class Item:
    """One item under way; `weight` is what it counts for against the bound."""

    key: Any
    results: list[SubmissionResult | None]
    weight: int
    requests: int = 0  # not answered
    error: GradeboxError | None = None


@dataclass(slots=True, eq=False)
class Request:
    """Some programs of an item, kept until they are answered; `key` is the idempotency key."""

    item: Item
    key: str
    suite: Suite
    programs: list[bytes]
    first_index: int
    size: int


@dataclass(frozen=True, slots=True)
class Terms:
    """What all streams of one bulk grading share."""

    stop_early: bool
    fresh: bool
    deadline: Deadline
    patience: Patience
    on_finished: Callable[[Item], None]  # an item has its last answer
    hand_over: Callable[["Stream"], bool]  # takes what is under way to other streams; False: there is none
    has_answered: Callable[[], bool]  # whether any engine ever did


class Stream:
    """What is under way with one front."""

    def __init__(self, connection: Connection, terms: Terms) -> None:
        self.connection = connection
        self.is_up = True
        self._terms = terms
        self._requests: dict[int, Request] = {}
        self._outbox: deque[int] = deque()  # numbers of requests to be sent
        self._fed = False
        self._backoff = Backoff()
        self._lost_s: float | None = None  # when the connection was, if there was no answer since
        self._number = 0
        self._stamp = EngineStamp("", "", ())
        self._stamp_message = wire.EngineStamp()
        self._to_send = asyncio.Event()
        self.in_flight = 0  # programs that are not answered

    def put(self, request: Request) -> None:
        """One more to be answered."""
        self._number += 1
        self._requests[self._number] = request
        self._outbox.append(self._number)
        self.in_flight += len(request.programs)
        self._to_send.set()

    def close(self) -> None:
        """The caller has no more; another stream may still hand some over."""
        self._fed = True
        self._to_send.set()

    def take(self) -> list[Request]:
        """All that is not answered, for another stream."""
        requests = list(self._requests.values())
        self._requests.clear()
        self._outbox.clear()
        self.in_flight = 0
        return requests

    @property
    def keys(self) -> list[str]:
        """Of the requests that are not answered."""
        return [request.key for request in self._requests.values()]

    async def run(self) -> None:
        """Keeps a stream open while there is something to be answered. Ends only by an exception."""
        await self.connection.ready()
        with self.connection.waiting(lambda: self.keys):
            while True:
                while not self._requests:
                    self._to_send.clear()
                    await self._to_send.wait()
                begun_s = time.monotonic()
                try:
                    await self.connection.once(self._stream)
                except (Overloaded, Unavailable) as error:
                    await self._recover(error, begun_s)

    async def _recover(self, error: Overloaded | Unavailable, begun_s: float) -> None:
        """Returns when it is time for another attempt. Raises `error`, or a better reason, when there is to be none."""
        if (better := self.connection.fault(error)) is not None:
            raise better from None
        if isinstance(error, Overloaded):
            self._terms.patience.failed(error, begun_s, has_answered=self._terms.has_answered())
            await self._backoff.pause(error.retry_after_s)
            return
        now_s = time.monotonic()
        if self._lost_s is None or now_s - begun_s > RETURN_S:
            self._lost_s = now_s
            self._backoff.reset()
        if not error._said and now_s - self._lost_s < RETURN_S:
            await self._backoff.pause()
            if await self.connection.comes_back(RETURN_S):
                return
        self.is_up = False
        while True:
            has_others = self._terms.hand_over(self)
            if not has_others:
                self._terms.patience.failed(error, begun_s, has_answered=self._terms.has_answered())
                begun_s = time.monotonic()
            await self._backoff.pause(0.0 if has_others else error.retry_after_s)
            if not has_others or self.connection.is_up():
                self.is_up = True
                return

    async def _stream(self) -> None:
        """One stream, to its end; starts with everything that is not answered."""
        self._outbox = deque(self._requests)
        call = self.connection.open(
            "GradeStream", routed.RoutedGradeBatchRequest, wire.GradeBatchResponse, self._terms.deadline
        )
        sender = asyncio.create_task(self._send(call))
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                for response in message.responses:
                    self._answer(response)
            await call.code()
            if self._requests or not self._fed:
                raise Unavailable("the engine ended the stream")
        finally:
            sender.cancel()
            call.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    async def _send(self, call: Any) -> None:
        """Sends what waits, as much to a message as there is, until nothing more will come."""
        while self._requests or not self._fed:
            requests: list[routed.RoutedGradeRequest] = []
            size = 0
            while self._outbox and len(requests) < MESSAGE_REQUESTS and size < MESSAGE_BYTES:
                number = self._outbox.popleft()
                if (kept := self._requests.get(number)) is not None:
                    requests.append(self._message(number, kept))
                    size += kept.size
            if requests:
                await call.write(routed.RoutedGradeBatchRequest(requests=requests))
            else:
                self._to_send.clear()
                await self._to_send.wait()
        await call.done_writing()

    def _message(self, number: int, kept: Request) -> routed.RoutedGradeRequest:
        request = routed.RoutedGradeRequest(
            request_id=str(number),
            programs=kept.programs,
            stop_early=self._terms.stop_early,
            fresh=self._terms.fresh,
            first_index=kept.first_index,
            idempotency_key=kept.key,
        )
        self.connection.refer(request, kept.suite)
        return request

    def _answer(self, response: wire.GradeResponse) -> None:
        number = int(response.request_id)
        kept = self._requests.get(number)
        if kept is None:
            return
        error = from_detail(response.error) if response.HasField("error") else None
        if isinstance(error, Overloaded):
            self._terms.patience.failed(error, time.monotonic(), has_answered=True)
            delay_s = max(error.retry_after_s, BACKOFF_FIRST_S) * random.uniform(1, 1.2)
            asyncio.get_running_loop().call_later(delay_s, self._again, number)
            return
        if isinstance(error, Unavailable):  # the engine cannot now: all that is unanswered once more
            raise error
        self.connection.answered()
        self._terms.patience.answered()
        self._backoff.reset()
        self._lost_s = None
        item = kept.item
        if response.HasField("engine") and response.engine != self._stamp_message:
            self._stamp_message = response.engine
            self._stamp = stamp_from_wire(response.engine)
        for result in response.results:
            item.results[result.index] = result_from_wire(result, kept.suite.problem_id, self._stamp)
        if error is not None:
            if response.error.code == NOT_FOUND:
                self.connection.forget(kept.suite)
                self._again(number)
                return
            item.error = error
        if response.done:
            del self._requests[number]
            self.in_flight -= len(kept.programs)
            item.requests -= 1
            if not self._requests:
                self._to_send.set()
            if not item.requests:
                self._terms.on_finished(item)

    def _again(self, number: int) -> None:
        """A request is to be sent once more, if it still waits for its answer."""
        if number in self._requests:
            self._outbox.append(number)
            self._to_send.set()
