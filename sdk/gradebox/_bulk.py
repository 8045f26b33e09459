"""Bulk grading over one stream: items go out while results come in, and no more than a set number
of programs is under way at once, so that neither side holds much.

A feeder task takes items from the caller's iterable and cuts them into requests; a runner task
keeps a stream open, on which a sender task puts what waits into one message after the other while
the runner reads answers; the consumer takes what is finished. A request is kept until it is
answered, so that a lost connection or an engine that has forgotten a suite costs a repetition and
nothing else.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from gradebox._connection import Connection, Deadline, Retry
from gradebox._errors import (
    NOT_FOUND,
    EngineFault,
    GradeboxError,
    InvalidRequest,
    Overloaded,
    Unavailable,
    from_detail,
)
from gradebox._problems import GradeItem, Suite, encode_programs
from gradebox._results import (
    EngineStamp,
    Graded,
    SubmissionResult,
    result_from_wire,
    stamp_from_wire,
)
from gradebox._threads import iterate_in_thread
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

REQUEST_PROGRAMS = 256
REQUEST_BYTES = 4 << 20
MESSAGE_REQUESTS = 64
MESSAGE_BYTES = 1 << 20  # a message ends with the request that reaches it
MAX_REQUEST_BYTES = 60 << 20  # suite and one program; an engine takes messages of 64 MiB

type Items = Iterable[GradeItem] | AsyncIterable[GradeItem]


@dataclass(slots=True, eq=False)
class _Item:
    """One item under way; `weight` is what it counts for against the bound."""

    key: Any
    results: list[SubmissionResult | None]
    weight: int
    requests: int = 0  # not answered
    error: GradeboxError | None = None


@dataclass(slots=True, eq=False)
class _Request:
    """Some programs of an item, kept until they are answered."""

    item: _Item
    suite: Suite
    programs: list[bytes]
    first_index: int
    size: int


class Bulk:
    """One bulk grading; iterate `batches()` once."""

    def __init__(self, connection: Connection, *, max_in_flight: int, stop_early: bool, fresh: bool) -> None:
        if isinstance(max_in_flight, bool) or not isinstance(max_in_flight, int):
            raise InvalidRequest("must be a whole number", "max_in_flight")
        if max_in_flight < 1:
            raise InvalidRequest("must be at least 1", "max_in_flight")
        self._connection = connection
        self._max_in_flight = max_in_flight
        self._stop_early = stop_early
        self._fresh = fresh
        self._in_flight = 0  # programs taken from the caller and not handed back as results
        self._requests: dict[int, _Request] = {}
        self._outbox: deque[int] = deque()  # numbers of requests to be sent
        self._finished: list[_Item] = []
        self._fed = False
        self._failure: Exception | None = None  # of the caller's iterable
        self._retry = Retry(connection, Deadline(None))
        self._number = 0
        self._stamp = EngineStamp("", "", ())
        self._stamp_message = wire.EngineStamp()
        self._to_send = asyncio.Event()
        self._to_hand_out = asyncio.Event()
        self._room = asyncio.Event()

    async def batches(self, items: Items) -> AsyncGenerator[list[Graded]]:
        """Answers as they come, several at a time. What is wrong with one item is in its answer.

        Raises GradeboxError when the engine cannot be reached any more, and what `items` raises
        once everything before that is answered.
        """
        tasks = [asyncio.create_task(self._feed(items)), asyncio.create_task(self._run())]
        try:
            while True:
                if self._finished:
                    finished, self._finished = self._finished, []
                    yield [_graded(item) for item in finished]
                    self._in_flight -= sum(item.weight for item in finished)
                    self._room.set()
                elif tasks[1].done():
                    tasks[1].result()
                    break
                else:
                    self._to_hand_out.clear()
                    await self._to_hand_out.wait()
            if self._failure is not None:
                raise self._failure
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- taking items ---------------------------------------------------------------------------

    async def _feed(self, items: Items) -> None:
        source = items if isinstance(items, AsyncIterable) else iterate_in_thread(items)
        try:
            async for item in source:
                self._take(item)
                while self._in_flight >= self._max_in_flight:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            self._failure = error
        finally:
            self._fed = True
            self._to_send.set()
            if isinstance(source, AsyncGenerator) and source is not items:
                await source.aclose()

    def _take(self, given: GradeItem) -> None:
        """Cuts an item into requests; one that is wrong is finished at once."""
        if not isinstance(given, GradeItem):
            raise InvalidRequest(f"must give GradeItems, not {type(given).__name__}", "items")
        item = _Item(given.key, [], 1)
        try:
            suite = given.problem.suite
            programs = encode_programs(given.programs)
            check_sizes(suite, programs)
        except InvalidRequest as error:
            item.error = error
            programs = []
        item.results = [None] * len(programs)
        item.weight = max(1, len(programs))
        self._in_flight += item.weight
        if not programs:
            self._finish(item)
            return
        for request in _cut(item, suite, programs):
            self._number += 1
            self._requests[self._number] = request
            self._outbox.append(self._number)
            item.requests += 1
        self._to_send.set()

    # --- the stream -----------------------------------------------------------------------------

    async def _run(self) -> None:
        """Keeps a stream open until everything is answered."""
        try:
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
        finally:
            self._to_hand_out.set()

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

    def _message(self, number: int, kept: _Request) -> routed.RoutedGradeRequest:
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
            item.requests -= 1
            if not self._requests:
                self._to_send.set()
            if not item.requests:
                self._finish(item)

    def _finish(self, item: _Item) -> None:
        if item.error is None and None in item.results:
            item.error = EngineFault("the engine left programs out")
        self._finished.append(item)
        self._to_hand_out.set()


def check_sizes(suite: Suite, programs: list[bytes]) -> None:
    """Raises InvalidRequest where not even one program and the tests fit into a message."""
    if len(suite.data) > MAX_REQUEST_BYTES:
        raise InvalidRequest(f"{len(suite.data)} bytes are more than can be sent", "tests")
    for index, source in enumerate(programs):
        if len(source) + len(suite.data) > MAX_REQUEST_BYTES:
            size = f"{len(source)} bytes, with {len(suite.data)} of tests,"
            raise InvalidRequest(f"{size} are more than can be sent", f"programs[{index}]")


def _cut(item: _Item, suite: Suite, programs: list[bytes]) -> Iterator[_Request]:
    start = 0
    while start < len(programs):
        end, size = start, len(suite.data)
        while (
            end < len(programs)
            and end - start < REQUEST_PROGRAMS
            and (end == start or size + len(programs[end]) <= REQUEST_BYTES)
        ):
            size += len(programs[end])
            end += 1
        yield _Request(item, suite, programs[start:end], start, size)
        start = end


def _graded(item: _Item) -> Graded:
    if item.error is not None:
        return Graded(item.key, item.error, ())
    return Graded(item.key, None, tuple(result for result in item.results if result is not None))
