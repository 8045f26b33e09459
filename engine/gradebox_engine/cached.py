"""Grading with a cache: between the service, which asks, and the scheduler, which runs what is not known."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

from gradebox_engine.cache import Cache, Key, Keys, as_cached, code_digest, is_final
from gradebox_engine.delivery import Answer, Delivery
from gradebox_engine.work import SuiteEntry
from gradebox_proto.v1 import grading_pb2 as wire

LOOKUP_PROGRAMS = 32  # at once: so many results a call holds beyond what it may leave uncollected


class CachedGrading:
    """What an engine knows. `stamp`: its serialized EngineStamp, on which verdicts depend."""

    def __init__(self, cache: Cache, stamp: bytes) -> None:
        self._cache = cache
        self._keys = Keys(stamp, code_digest())

    def of(self, suite: SuiteEntry, stop_early: bool) -> "Known":
        """What it knows of one suite's programs."""
        return Known(self._cache, self._keys.of(suite.key, stop_early=stop_early), suite.tests)


class Known:
    """Results for the programs of one request."""

    def __init__(self, cache: Cache, key: Key, tests: int) -> None:
        self._cache = cache
        self._key = key
        self._tests = tests

    async def answer(
        self, delivery: Delivery, answer: Answer, programs: deque[tuple[int, bytes]]
    ) -> deque[tuple[int, bytes]]:
        """Answers programs whose results are known, no faster than the caller collects; returns the others."""
        others: deque[tuple[int, bytes]] = deque()
        while programs:
            some = [programs.popleft() for _ in range(min(LOOKUP_PROGRAMS, len(programs)))]
            results = await self._cache.find([self._key(hashlib.sha256(source).digest()) for _, source in some])
            known = []
            for program, result in zip(some, results, strict=True):
                if result is None:
                    others.append(program)
                else:
                    known.append(as_cached(result, program[0]))
            await delivery.add_own(answer, known)
            if programs:
                await asyncio.sleep(0)  # a request may hold very many
        return others

    def emit(self, to: Callable[[list[bytes]], None], results: list[bytes]) -> None:
        """Passes results of a job on, and keeps those that are final."""
        to(results)
        for data in results:
            result = wire.SubmissionResult.FromString(data)
            if is_final(result, self._tests):
                self._cache.put(self._key(result.program_sha256), data)
