"""Bulk grading: items go out while results come in, and no more than a set number of programs is under
way at once, so that neither side holds much.

A feeder task takes items from the caller's iterable and cuts them into requests, each for the stream
(one to each front of each engine) that has the least to do; the consumer takes what is finished. What a
stream had when its engine went goes to the others.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator

from gradebox._deadline import Deadline
from gradebox._errors import EngineFault, GradeboxError, InvalidRequest, Unavailable
from gradebox._problems import GradeItem, Suite, encode_programs
from gradebox._results import Graded
from gradebox._retry import Backoff, Patience
from gradebox._stream import Item, Request, Stream, Terms
from gradebox._targets import Targets
from gradebox._threads import iterate_in_thread

LOOK_FOR_MORE_S = 5.0
REQUEST_PROGRAMS = 256
REQUEST_BYTES = 4 << 20
MAX_REQUEST_BYTES = 60 << 20  # suite and one program; an engine takes messages of 64 MiB

type Items = Iterable[GradeItem] | AsyncIterable[GradeItem]


class Bulk:
    """One bulk grading; iterate `batches()` once. Raises InvalidRequest."""

    def __init__(
        self, targets: Targets, deadline: Deadline, *, max_in_flight: int, stop_early: bool, fresh: bool
    ) -> None:
        if isinstance(max_in_flight, bool) or not isinstance(max_in_flight, int):
            raise InvalidRequest("must be a whole number", "max_in_flight")
        if max_in_flight < 1:
            raise InvalidRequest("must be at least 1", "max_in_flight")
        self._targets = targets
        self._deadline = deadline
        self._max_in_flight = max_in_flight
        self._terms = Terms(
            stop_early=stop_early,
            fresh=fresh,
            deadline=deadline,
            patience=Patience(targets.retry_s, deadline),
            on_finished=self._finish,
            hand_over=self._hand_over,
            has_answered=lambda: targets.has_answered,
        )
        self._in_flight = 0  # programs taken from the caller and not handed back as results
        self._unfinished = 0  # items
        self._streams: dict[Stream, asyncio.Task[None]] = {}
        self._finished: list[Item] = []
        self._fed = False
        self._failure: Exception | None = None  # of the caller's iterable
        self._to_hand_out = asyncio.Event()
        self._room = asyncio.Event()

    async def batches(self, items: Items) -> AsyncGenerator[list[Graded]]:
        """Answers as they come, several at a time. What is wrong with one item is in its answer.

        Raises GradeboxError when no engine can be reached any more, or the time is over, and what `items`
        raises once everything before that is answered.
        """
        helpers: list[asyncio.Task[None]] = []
        may_abandon = True
        try:
            async with self._deadline.holds():
                await self._open_streams()
            helpers = [asyncio.create_task(self._feed(items)), asyncio.create_task(self._look_for_more())]
            while True:
                broken = [runner for runner in self._streams.values() if runner.done()]
                if self._finished:
                    finished, self._finished = self._finished, []
                    yield [_graded(item) for item in finished]
                    self._in_flight -= sum(item.weight for item in finished)
                    self._room.set()
                    self._deadline.left_s()  # the caller may have taken all there was
                elif self._fed and not self._unfinished:
                    break
                elif broken:
                    broken[0].result()
                else:
                    self._to_hand_out.clear()
                    async with self._deadline.holds():
                        await self._to_hand_out.wait()
            if self._failure is not None:
                raise self._failure
        except GradeboxError:  # the engines are gone, or know that the time is over
            may_abandon = False
            raise
        finally:
            for task in (*helpers, *self._streams.values()):
                task.cancel()
            await asyncio.gather(*helpers, *self._streams.values(), return_exceptions=True)
            for stream in self._streams:
                stream.connection.calls -= 1
            if may_abandon:
                await asyncio.gather(*(stream.connection.abandon(stream.keys) for stream in self._streams))

    async def _open_streams(self) -> None:
        """One stream on each connection that has none. Raises Unavailable when there is nothing to connect to."""
        backoff = Backoff()
        while True:
            begun_s = time.monotonic()
            try:
                connections = await self._targets.connections(self._deadline)
                break
            except Unavailable as error:
                self._terms.patience.failed(error, begun_s, has_answered=self._targets.has_answered)
                await backoff.pause()
        streamed = {stream.connection for stream in self._streams}
        for connection in connections:
            if connection not in streamed:
                connection.calls += 1
                stream = Stream(connection, self._terms)
                self._streams[stream] = asyncio.create_task(stream.run())
                self._streams[stream].add_done_callback(lambda _: self._to_hand_out.set())
                if self._fed:
                    stream.close()

    async def _look_for_more(self) -> None:
        """An engine that is gone may come back as another: at another address of its name, with other fronts."""
        while True:
            await asyncio.sleep(LOOK_FOR_MORE_S)
            if not all(stream.is_up for stream in self._streams):
                with contextlib.suppress(GradeboxError):  # the streams will say so
                    await self._open_streams()

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
            for stream in self._streams:
                stream.close()
            self._to_hand_out.set()
            if isinstance(source, AsyncGenerator) and source is not items:
                await source.aclose()

    def _take(self, given: GradeItem) -> None:
        """Cuts an item into requests; one that is wrong is finished at once."""
        if not isinstance(given, GradeItem):
            raise InvalidRequest(f"must give GradeItems, not {type(given).__name__}", "items")
        item = Item(given.key, [], 1)
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
        self._unfinished += 1
        if not programs:
            self._finish(item)
            return
        for request in _cut(item, suite, programs):
            item.requests += 1
            least_busy(self._streams).put(request)

    def _hand_over(self, stream: Stream) -> bool:
        """Gives what a stream has to others that are up; False where there is none."""
        others = [other for other in self._streams if other is not stream and other.is_up]
        for request in stream.take() if others else ():
            least_busy(others).put(request)
        return bool(others)

    def _finish(self, item: Item) -> None:
        if item.error is None and None in item.results:
            item.error = EngineFault("the engine left programs out")
        self._unfinished -= 1
        self._finished.append(item)
        self._to_hand_out.set()


def least_busy(streams: Iterable[Stream]) -> Stream:
    """The stream for one more request."""
    return min(streams, key=lambda stream: (not stream.is_up, stream.in_flight))


def check_sizes(suite: Suite, programs: list[bytes]) -> None:
    """Raises InvalidRequest where not even one program and the tests fit into a message."""
    if len(suite.data) > MAX_REQUEST_BYTES:
        raise InvalidRequest(f"{len(suite.data)} bytes are more than can be sent", "tests")
    for index, source in enumerate(programs):
        if len(source) + len(suite.data) > MAX_REQUEST_BYTES:
            size = f"{len(source)} bytes, with {len(suite.data)} of tests,"
            raise InvalidRequest(f"{size} are more than can be sent", f"programs[{index}]")


def new_key() -> str:
    """An idempotency key: names one request over all attempts at it."""
    return secrets.token_hex(16)


def _cut(item: Item, suite: Suite, programs: list[bytes]) -> Iterator[Request]:
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
        yield Request(item, new_key(), suite, programs[start:end], start, size)
        start = end


def _graded(item: Item) -> Graded:
    if item.error is not None:
        return Graded(item.key, item.error, ())
    return Graded(item.key, None, tuple(result for result in item.results if result is not None))
