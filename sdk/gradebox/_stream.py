"""The bulk stream to one front of an engine.

A runner keeps a stream open, on which a sender task puts what waits into one message after the other
while the runner reads answers. A request is kept until it is answered, so that a lost connection or an
engine that has forgotten a suite costs a repetition and nothing else.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from gradebox._connection import Connection, Deadline, Retry
from gradebox._errors import NOT_FOUND, GradeboxError, Overloaded, Unavailable, from_detail
from gradebox._problems import Suite
from gradebox._results import EngineStamp, SubmissionResult, result_from_wire, stamp_from_wire
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
    """Some programs of an item, kept until they are answered."""

    item: Item
    suite: Suite
    programs: list[bytes]
    first_index: int
    size: int


class Stream:
    """What is under way with one front. `on_finished` gets each item that has its last answer."""

    def __init__(
        self, connection: Connection, on_finished: Callable[[Item], None], *, stop_early: bool, fresh: bool
    ) -> None:
        self._connection = connection
        self._on_finished = on_finished
        self._stop_early = stop_early
        self._fresh = fresh
        self._requests: dict[int, Request] = {}
        self._outbox: deque[int] = deque()  # numbers of requests to be sent
        self._fed = False
        self._retry = Retry(connection, Deadline(None))
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
        """There will be no more."""
        self._fed = True
        self._to_send.set()

    async def run(self) -> None:
        """Keeps a stream open until everything is answered."""
        await self._connection.ready(Deadline(None))
        while True:
            while not self._requests and not self._fed:
                self._to_send.clear()
                await self._to_send.wait()
            if not self._requests:
                return
            try:
                await self._connection.once(self._stream)
            except (Overloaded, Unavailable) as error:
                await self._retry.pause(error)

    async def _stream(self) -> None:
        """One stream, to its end; starts with everything that is not answered."""
        self._outbox = deque(self._requests)
        call = self._connection.method(
            "GradeStream",
            routed.RoutedGradeBatchRequest,
            wire.GradeBatchResponse,
            stream=True,
        )()
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
            stop_early=self._stop_early,
            fresh=self._fresh,
            first_index=kept.first_index,
        )
        self._connection.refer(request, kept.suite)
        return request

    def _answer(self, response: wire.GradeResponse) -> None:
        number = int(response.request_id)
        kept = self._requests.get(number)
        if kept is None:
            return
        error = from_detail(response.error) if response.HasField("error") else None
        if isinstance(error, Overloaded | Unavailable):  # the engine cannot now: once more, with all that is unanswered
            raise error
        self._connection.answered()
        self._retry.reset()
        item = kept.item
        if response.HasField("engine") and response.engine != self._stamp_message:
            self._stamp_message = response.engine
            self._stamp = stamp_from_wire(response.engine)
        for result in response.results:
            item.results[result.index] = result_from_wire(result, kept.suite.problem_id, self._stamp)
        if error is not None:
            if response.error.code == NOT_FOUND:
                self._connection.forget(kept.suite)
                self._outbox.append(number)
                self._to_send.set()
                return
            item.error = error
        if response.done:
            del self._requests[number]
            self.in_flight -= len(kept.programs)
            item.requests -= 1
            if not self._requests:
                self._to_send.set()
            if not item.requests:
                self._on_finished(item)
