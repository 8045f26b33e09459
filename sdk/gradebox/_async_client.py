"""The asynchronous client; everything else is made from it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from gradebox._bulk import REQUEST_BYTES, Bulk, Items, check_sizes
from gradebox._connection import RETRY_S, Connection, Deadline
from gradebox._errors import NOT_FOUND, EngineFault, InvalidRequest, from_detail
from gradebox._fronts import Fronts
from gradebox._problems import (
    GradeItem,
    Limits,
    Problem,
    Program,
    Suite,
    Test,
    encode_programs,
    encode_text,
)
from gradebox._results import (
    EngineInfo,
    Graded,
    RunResult,
    SubmissionResult,
    info_from_wire,
    result_from_wire,
    run_from_wire,
    stamp_from_wire,
)
from gradebox._words import Seal
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

MAX_IN_FLIGHT = 1024
# Above this many test results, or REQUEST_BYTES, programs go in bulk rather than in one message.
ONE_MESSAGE_TESTS = 200_000


class AsyncClient:
    """A client of the engine at `target`: `host:port`, `dns:///name:port`, or `unix:/path`.

    It connects at its first call, and where the engine has several fronts, to each of them once it has
    more than one call to make at a time. Use it as an asynchronous context manager, or close it.

    Args:
        retry_s: seconds for which a call goes on trying when the engine is gone (restarted, say) or
            has no worker, before it raises Unavailable. Grading has no side effects: what was not
            answered is sent again, and nothing is answered twice. An address at which no engine
            has answered yet is given up after two seconds.
    """

    def __init__(self, target: str, *, retry_s: float = RETRY_S) -> None:
        if not isinstance(target, str) or not target:
            raise InvalidRequest(f"must be an address such as host:port, not {target!r}", "target")
        self._fronts = Fronts(target, retry_s=retry_s)

    async def grade(
        self,
        programs: Sequence[Program],
        *,
        tests: Sequence[Test] | None = None,
        problem: Problem | Mapping[str, Any] | None = None,
        entry_point: str | None = None,
        language: str | None = None,
        image: str | None = None,
        test_setup: str | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        min_seal: Seal | str | None = None,
        stop_early: bool = False,
        fresh: bool = False,
        timeout_s: float | None = None,
    ) -> list[SubmissionResult]:
        """Grades programs against `tests`, or against a `problem`; what else is given overrides it.

        Args:
            programs: sources; strings may hold lone surrogates.
            stop_early: after the first test case of a program that did not pass, skip the rest.
            fresh: run every program, also one whose result the engine has kept from an earlier run.
            timeout_s: seconds for the whole call; None waits as long as it takes.

        Returns:
            One result a program, in their order. What is wrong with a program is its verdict.

        Raises:
            InvalidRequest: an argument makes no sense; `field` says which.
            Overloaded, Unavailable, DeadlineExceeded, EngineFault: see GradeboxError.
        """
        deadline = Deadline(timeout_s)
        task = _problem(
            tests,
            problem,
            entry_point=entry_point,
            language=language,
            image=image,
            test_setup=test_setup,
            limits=limits,
            min_seal=min_seal,
        )
        suite = task.suite
        sources = encode_programs(programs)
        check_sizes(suite, sources)
        if not sources:
            return []
        size = len(suite.data) + sum(map(len, sources))
        if size <= REQUEST_BYTES and len(sources) * suite.tests <= ONE_MESSAGE_TESTS:
            async with self._fronts.one(deadline) as connection:
                return await connection.retrying(
                    lambda: _grade_at_once(connection, suite, sources, bool(stop_early), bool(fresh), deadline),
                    deadline,
                )
        try:
            async with asyncio.timeout(deadline.left_s()):
                item = GradeItem(task, sources)
                async for graded in self.grade_many([item], stop_early=stop_early, fresh=fresh):
                    return list(graded.results)
        except TimeoutError:
            raise deadline.exceeded() from None
        raise EngineFault("the engine gave no answer")

    def grade_many(
        self,
        items: Items,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        stop_early: bool = False,
        fresh: bool = False,
    ) -> AsyncIterator[Graded]:
        """Grades many items while they are still being made; yields answers as they come.

        Args:
            items: GradeItems, from an iterable (read in a thread of its own) or an asynchronous
                one. It is read only as far as `max_in_flight` allows.
            max_in_flight: programs taken from `items` whose results were not yielded yet.
            stop_early, fresh: see `grade`.

        Yields:
            One Graded an item, in no order: `key` tells them apart. An item that the engine
            refuses has an `error`; the others go on.

        Raises:
            Unavailable, EngineFault: the engine is gone, and `retry_s` passed without an answer.
            What `items` raises, once the items before are answered.
        """
        return self._each(items, max_in_flight, stop_early, fresh)

    async def run(
        self,
        source: Program,
        *,
        stdin: Program = "",
        language: str = "python",
        image: str | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
    ) -> RunResult:
        """Runs one program as a whole. Raises as `grade` does."""
        deadline = Deadline(timeout_s)
        request = wire.RunRequest(
            source=encode_text(source, "source"),
            stdin=encode_text(stdin, "stdin"),
            language=language,
            image=image or "",
        )
        if isinstance(limits, Mapping):
            limits = Limits.from_dict(limits)
        if limits is not None:
            request.limits.CopyFrom(limits.to_wire())
        response = await self._unary("Run", request, wire.RunResponse, deadline)
        return run_from_wire(response)

    async def info(self, *, timeout_s: float | None = None) -> EngineInfo:
        """What the engine is and offers. Raises as `grade` does."""
        response = await self._unary("Info", wire.InfoRequest(), wire.InfoResponse, Deadline(timeout_s))
        return info_from_wire(response)

    async def close(self) -> None:
        """Closes the connection; calls under way raise Unavailable."""
        await self._fronts.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _batches(self, items: Items, max_in_flight: int, stop_early: bool, fresh: bool) -> AsyncGenerator[list[Graded]]:
        bulk = Bulk(self._fronts, max_in_flight=max_in_flight, stop_early=bool(stop_early), fresh=bool(fresh))
        return bulk.batches(items)

    async def _each(self, items: Items, max_in_flight: int, stop_early: bool, fresh: bool) -> AsyncGenerator[Graded]:
        batches = self._batches(items, max_in_flight, stop_early, fresh)
        try:
            async for batch in batches:
                for graded in batch:
                    yield graded
        finally:
            await batches.aclose()

    async def _unary(self, name: str, request: Any, response: Any, deadline: Deadline) -> Any:
        async with self._fronts.one(deadline) as connection:
            return await connection.retrying(lambda: connection.unary(name, request, response, deadline), deadline)


async def _grade_at_once(
    connection: Connection, suite: Suite, sources: list[bytes], stop_early: bool, fresh: bool, deadline: Deadline
) -> list[SubmissionResult]:
    """One message out, one back."""
    request = routed.RoutedGradeRequest(programs=sources, stop_early=stop_early, fresh=fresh)
    connection.refer(request, suite)
    batch = await connection.unary(
        "GradeBatch",
        routed.RoutedGradeBatchRequest(requests=[request]),
        wire.GradeBatchResponse,
        deadline,
    )
    response = batch.responses[0]
    if response.HasField("error"):
        if response.error.code != NOT_FOUND or not request.suite_sha256:
            raise from_detail(response.error)
        connection.forget(suite)
        return await _grade_at_once(connection, suite, sources, stop_early, fresh, deadline)
    engine = stamp_from_wire(response.engine)
    results = [result_from_wire(r, suite.problem_id, engine) for r in response.results]
    results.sort(key=lambda result: result.index)
    if [result.index for result in results] != list(range(len(sources))):
        raise EngineFault("the engine left programs out")
    return results


def _problem(tests: Sequence[Test] | None, problem: Problem | Mapping[str, Any] | None, **given: Any) -> Problem:
    """The problem that the arguments of `grade` name."""
    changes = {name: value for name, value in given.items() if value is not None}
    if problem is None:
        if tests is None:
            raise InvalidRequest("missing: give tests, or a problem", "tests")
        return Problem(tests, **changes)
    if tests is not None:
        raise InvalidRequest("given beside a problem, which has its own", "tests")
    if isinstance(problem, Mapping):
        problem = Problem.from_dict(problem)
    if not isinstance(problem, Problem):
        raise InvalidRequest(f"must be a Problem, not {type(problem).__name__}", "problem")
    return replace(problem, **changes) if changes else problem
