"""The synchronous client: the asynchronous one, run in a background thread."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from gradebox._access import File
from gradebox._async_client import MAX_IN_FLIGHT, AsyncClient
from gradebox._bulk import Bulk, Items
from gradebox._deadline import Deadline
from gradebox._problems import Limits, Problem, Program, Test
from gradebox._results import EngineInfo, Graded, RunResult, SubmissionResult
from gradebox._retry import RETRY_S
from gradebox._threads import start, wait_for
from gradebox._words import Seal

_CLOSE_ATTEMPTS = 100


class Client:
    """A client of one engine or several: `host:port`, `unix:/path`, `dns:///name:port` (every address of
    the name), or a list of those.

    It can be used from several threads, where an event loop is running (a notebook), and in a fork of
    the process: there its calls are made by a helper process, if gRPC was in use before. Use it as a
    context manager, or close it.

    Args:
        token, ca_file, cert_file, key_file, tls, retry_s: see AsyncClient.
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
        self._client = AsyncClient(
            target,
            token=token,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
            tls=tls,
            retry_s=retry_s,
        )

    def grade(
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
        """See AsyncClient.grade."""
        return wait_for(
            self._client.grade(
                programs,
                tests=tests,
                problem=problem,
                entry_point=entry_point,
                language=language,
                image=image,
                test_setup=test_setup,
                limits=limits,
                min_seal=min_seal,
                stop_early=stop_early,
                fresh=fresh,
                timeout_s=timeout_s,
            )
        )

    def grade_many(
        self,
        items: Items,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        stop_early: bool = False,
        fresh: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[Graded]:
        """See AsyncClient.grade_many."""
        return self._each(self._client._bulk(Deadline(timeout_s), max_in_flight, stop_early, fresh), items)

    def _each(self, bulk: Bulk, items: Items) -> Iterator[Graded]:
        batches = bulk.batches(items)
        thread = threading.get_ident()
        try:
            while (batch := wait_for(_next(batches))) is not None:
                yield from batch
                thread = threading.get_ident()
        finally:
            # A garbage collection may end it in any thread, also in those that would have to do the work.
            (wait_for if threading.get_ident() == thread else start)(_close(batches))

    def run(
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
        """See AsyncClient.run."""
        return wait_for(
            self._client.run(
                source,
                stdin=stdin,
                language=language,
                image=image,
                limits=limits,
                files=files,
                fetch=fetch,
                timeout_s=timeout_s,
            )
        )

    def info(self, *, timeout_s: float | None = None) -> EngineInfo:
        """See AsyncClient.info."""
        return wait_for(self._client.info(timeout_s=timeout_s))

    def close(self) -> None:
        """See AsyncClient.close."""
        wait_for(self._client.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


async def _close(batches: AsyncGenerator[list[Graded]]) -> None:
    """Closes the generator; one that an interrupt (Ctrl-C) left in the middle of a step, after that step."""
    for _ in range(_CLOSE_ATTEMPTS):
        try:
            return await batches.aclose()
        except RuntimeError:  # it is running
            await asyncio.sleep(0.02)


async def _next(batches: AsyncGenerator[list[Graded]]) -> list[Graded] | None:
    return await anext(batches, None)
