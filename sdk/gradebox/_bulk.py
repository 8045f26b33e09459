"""Bulk grading: items go out while results come in, and no more than a set number of programs is under
way at once, so that neither side holds much.

A feeder task takes items from the caller's iterable and cuts them into requests, each for the stream
(one to each front of the engine) that has the least to do; the consumer takes what is finished.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator

from gradebox._errors import EngineFault, InvalidRequest
from gradebox._fronts import Fronts
from gradebox._problems import GradeItem, Suite, encode_programs
from gradebox._results import Graded
from gradebox._stream import Item, Request, Stream
from gradebox._threads import iterate_in_thread

REQUEST_PROGRAMS = 256
REQUEST_BYTES = 4 << 20
MAX_REQUEST_BYTES = 60 << 20  # suite and one program; an engine takes messages of 64 MiB

type Items = Iterable[GradeItem] | AsyncIterable[GradeItem]


class Bulk:
    """One bulk grading; iterate `batches()` once."""

    def __init__(self, fronts: Fronts, *, max_in_flight: int, stop_early: bool, fresh: bool) -> None:
        if isinstance(max_in_flight, bool) or not isinstance(max_in_flight, int):
            raise InvalidRequest("must be a whole number", "max_in_flight")
        if max_in_flight < 1:
            raise InvalidRequest("must be at least 1", "max_in_flight")
        self._fronts = fronts
        self._max_in_flight = max_in_flight
        self._stop_early = stop_early
        self._fresh = fresh
        self._in_flight = 0  # programs taken from the caller and not handed back as results
        self._streams: list[Stream] = []
        self._finished: list[Item] = []
        self._failure: Exception | None = None  # of the caller's iterable
        self._to_hand_out = asyncio.Event()
        self._room = asyncio.Event()

    async def batches(self, items: Items) -> AsyncGenerator[list[Graded]]:
        """Answers as they come, several at a time. What is wrong with one item is in its answer.

        Raises GradeboxError when the engine cannot be reached any more, and what `items` raises
        once everything before that is answered.
        """
        async with self._fronts.all() as connections:
            self._streams = [
                Stream(connection, self._finish, stop_early=self._stop_early, fresh=self._fresh)
                for connection in connections
            ]
            runners = [asyncio.create_task(self._run(stream)) for stream in self._streams]
            feeder = asyncio.create_task(self._feed(items))
            try:
                while True:
                    ended = [runner for runner in runners if runner.done()]
                    if self._finished:
                        finished, self._finished = self._finished, []
                        yield [_graded(item) for item in finished]
                        self._in_flight -= sum(item.weight for item in finished)
                        self._room.set()
                    elif len(ended) == len(runners) or any(runner.exception() for runner in ended):
                        for runner in ended:
                            runner.result()
                        break
                    else:
                        self._to_hand_out.clear()
                        await self._to_hand_out.wait()
                if self._failure is not None:
                    raise self._failure
            finally:
                for task in (feeder, *runners):
                    task.cancel()
                await asyncio.gather(feeder, *runners, return_exceptions=True)

    async def _run(self, stream: Stream) -> None:
        try:
            await stream.run()
        finally:
            self._to_hand_out.set()

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
            for stream in self._streams:
                stream.close()
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
        if not programs:
            self._finish(item)
            return
        for request in _cut(item, suite, programs):
            item.requests += 1
            min(self._streams, key=lambda stream: stream.in_flight).put(request)

    def _finish(self, item: Item) -> None:
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
        yield Request(item, suite, programs[start:end], start, size)
        start = end


def _graded(item: Item) -> Graded:
    if item.error is not None:
        return Graded(item.key, item.error, ())
    return Graded(item.key, None, tuple(result for result in item.results if result is not None))
