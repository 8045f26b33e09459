"""The asynchronous client; everything else is made from it."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from gradebox._access import File, access
from gradebox._bulk import REQUEST_BYTES, Bulk, Items, check_sizes, new_key
from gradebox._connection import Connection
from gradebox._deadline import Deadline
from gradebox._errors import NOT_FOUND, EngineFault, InvalidRequest, from_detail
from gradebox._problems import (
    GradeItem,
    Limits,
    Problem,
    Program,
    Suite,
    Test,
    encode_files,
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
from gradebox._retry import RETRY_S, check_retry_s
from gradebox._targets import Targets, targets_of
from gradebox._words import Seal
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

MAX_IN_FLIGHT = 1024
# Above this many test results, or REQUEST_BYTES, programs go in bulk rather than in one message.
ONE_MESSAGE_TESTS = 200_000


class AsyncClient:
    """A client of one engine or several: `host:port`, `unix:/path`, `dns:///name:port` (every address of
    the name), or a list of those.

    It connects at its first call. Every call goes to the engine with the fewest of this client's calls, and
    bulk work to all engines, and all fronts of each; one that is gone is left out until it is back. Use it
    as an asynchronous context manager, or close it.

    Args:
        token: sent with every call, as `authorization: Bearer <token>`; not to another machine in the clear,
            unless `tls` is False.
        ca_file: PEM certificates of the authorities that an engine's certificate must come from; turns TLS on.
        cert_file, key_file: PEM certificate and key that this client shows (mutual TLS); turn TLS on.
        tls: True is TLS, with the system's authorities where there is no `ca_file`; False says that plaintext
            is meant.
        retry_s: seconds for which a call goes on trying when no engine is there (restarted, say) or has a
            worker, before it raises Unavailable. What was not answered is sent again, with a key by which
            an engine that is still at work on it knows it: nothing is graded twice for one answer there, or
            answered twice. Addresses at which no engine has answered yet are given up after two seconds.

    Raises:
        InvalidRequest: an argument makes no sense, or a file cannot be read.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        *,
        token: str | None = None,
        ca_file: File | None = None,
        cert_file: File | None = None,
        key_file: File | None = None,
        tls: bool | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        targets = targets_of(target)
        how = access(targets, token=token, ca_file=ca_file, cert_file=cert_file, key_file=key_file, tls=tls)
        self._targets = Targets(targets, how, retry_s=check_retry_s(retry_s))

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
        if size > REQUEST_BYTES or len(sources) * suite.tests > ONE_MESSAGE_TESTS:
            items = [GradeItem(task, sources)]
            async with aclosing(self._each(self._bulk(deadline, MAX_IN_FLIGHT, stop_early, fresh), items)) as answers:
                async for graded in answers:
                    return list(graded.results)
            raise EngineFault("the engine gave no answer")
        request = routed.RoutedGradeRequest(
            programs=sources, stop_early=bool(stop_early), fresh=bool(fresh), idempotency_key=new_key()
        )
        async with deadline.holds():
            return await self._targets.call(
                lambda connection: _grade_at_once(connection, suite, request, deadline),
                deadline,
                key=request.idempotency_key,
            )

    def grade_many(
        self,
        items: Items,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        stop_early: bool = False,
        fresh: bool = False,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Graded]:
        """Grades many items while they are still being made; yields answers as they come.

        Args:
            items: GradeItems, from an iterable (read in a thread of its own) or an asynchronous
                one. It is read only as far as `max_in_flight` allows.
            max_in_flight: programs taken from `items` whose results were not yielded yet.
            stop_early, fresh: see `grade`.
            timeout_s: seconds for everything, from this call to the last answer; None waits as long as it takes.

        Yields:
            One Graded an item, in no order: `key` tells them apart. An item that the engine
            refuses has an `error`; the others go on.

        Raises:
            InvalidRequest: an argument makes no sense.
            Unavailable, EngineFault: all engines are gone, and `retry_s` passed without an answer.
            DeadlineExceeded: `timeout_s` passed; what was answered before was yielded.
            What `items` raises, once the items before are answered.
        """
        return self._each(self._bulk(Deadline(timeout_s), max_in_flight, stop_early, fresh), items)

    async def run(
        self,
        source: Program,
        *,
        stdin: Program = "",
        language: str | None = None,
        image: str | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        files: Mapping[str, Program] | None = None,
        fetch: Sequence[str] = (),
        timeout_s: float | None = None,
    ) -> RunResult:
        """Runs one program as a whole. Raises as `grade` does.

        language: None is Python, or what the image has. files: contents by name, in the program's folder when it
        starts; as many bytes as `disk_bytes` allows. fetch: names of files that are wanted back: the result's `files`
        has those that the program has left there, none above 20 MiB.
        """
        deadline = Deadline(timeout_s)
        given, wanted = encode_files(files, fetch)
        request = wire.RunRequest(
            source=encode_text(source, "source"),
            stdin=encode_text(stdin, "stdin"),
            files=given,
            fetch_files=wanted,
            language=language or "",
            image=image or "",
            idempotency_key=new_key(),
        )
        if isinstance(limits, Mapping):
            limits = Limits.from_dict(limits)
        if limits is not None:
            request.limits.CopyFrom(limits.to_wire())
        async with deadline.holds():
            response = await self._targets.call(
                lambda connection: connection.unary("Run", request, wire.RunResponse, deadline),
                deadline,
                key=request.idempotency_key,
            )
        return run_from_wire(response)

    async def info(self, *, timeout_s: float | None = None) -> EngineInfo:
        """What the engine is and offers; one of them where there are several. Raises as `grade` does."""
        deadline = Deadline(timeout_s)
        async with deadline.holds():
            response = await self._targets.call(
                lambda connection: connection.unary("Info", wire.InfoRequest(), wire.InfoResponse, deadline), deadline
            )
        return info_from_wire(response)

    async def close(self) -> None:
        """Closes the connections; calls under way raise Unavailable."""
        await self._targets.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _bulk(self, deadline: Deadline, max_in_flight: int, stop_early: bool, fresh: bool) -> Bulk:
        return Bulk(
            self._targets, deadline, max_in_flight=max_in_flight, stop_early=bool(stop_early), fresh=bool(fresh)
        )

    async def _each(self, bulk: Bulk, items: Items) -> AsyncGenerator[Graded]:
        batches = bulk.batches(items)
        try:
            async for batch in batches:
                for graded in batch:
                    yield graded
        finally:
            await batches.aclose()


async def _grade_at_once(
    connection: Connection, suite: Suite, request: routed.RoutedGradeRequest, deadline: Deadline
) -> list[SubmissionResult]:
    """One message out, one back."""
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
        return await _grade_at_once(connection, suite, request, deadline)
    engine = stamp_from_wire(response.engine)
    results = [result_from_wire(r, suite.problem_id, engine) for r in response.results]
    results.sort(key=lambda result: result.index)
    if [result.index for result in results] != list(range(len(request.programs))):
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
