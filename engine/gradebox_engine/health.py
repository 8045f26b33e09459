"""The standard health service: whether this engine should be given work.

It is SERVING, as a whole and as gradebox.v1.Grading, when a canary, a program of the engine's own, has just been graded
in a real jail, on the way that every submission goes, past the cache. That is tried at the start and every `canary_s`
seconds. A canary that waits, since the engine is busy, says nothing; one that gets another verdict than it should, that
comes back as an ENGINE_ERROR, or that waits while there is no worker, makes the engine NOT_SERVING until one succeeds.
An engine that is ending is NOT_SERVING for good.
"""

import asyncio
from collections import deque

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from gradebox_engine.scheduler import Scheduler
from gradebox_engine.suites import Suites
from gradebox_engine.work import Call, Job, NoWorkers, QueueFull
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

SERVICE = wire.DESCRIPTOR.services_by_name["Grading"].full_name
NO_WORKER_S = 2.0  # as long as there may be none without a word
SUITE = wire.Suite(problem_id="canary", tests=[wire.Test(code=b"assert canary(6) == 42")])
PROGRAM = b"def canary(x): return 7 * x"
_log = structlog.get_logger("health")


class Health:
    """The health service of one front."""

    def __init__(self, scheduler: Scheduler, suites: Suites, canary_s: float) -> None:
        self._scheduler = scheduler
        self._suites = suites
        self._canary_s = canary_s
        self._servicer = health.aio.HealthServicer()
        self.reason: str | None = "no canary has come back yet"  # why it is not serving; None: it is

    async def add_to(self, server: grpc.aio.Server) -> None:
        """Adds it, and reflection of all services, to a server that is not started."""
        await self._tell()
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server)

    async def watch(self) -> None:
        """Sends canaries; for a task."""
        while True:
            await self._canary()
            # Not serving: it should not take long until it is known that all is well again.
            await asyncio.sleep(self._canary_s if self.reason is None else min(self._canary_s, 1.0))

    async def end(self) -> None:
        """The engine is ending."""
        await self._servicer.enter_graceful_shutdown()

    async def _canary(self) -> None:
        answered: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def emit(results: list[bytes]) -> None:
            result = wire.SubmissionResult.FromString(results[0])
            name, text = wire.Verdict.Name(result.verdict), "".join(test.message for test in result.tests)
            answered.set_result(None if result.verdict == wire.PASSED else f"the canary got {name}: {text}")

        suite = self._suites.find(routed.RoutedGradeRequest(suite=SUITE.SerializeToString()))
        job = Job(
            call=Call(),
            suite=suite,
            pending=deque([(0, PROGRAM)]),
            emit=emit,
            fault=lambda _index, _source, why: wire.SubmissionResult(
                verdict=wire.ENGINE_ERROR, tests=[wire.TestResult(message=why)]
            ).SerializeToString(),
        )
        try:
            self._scheduler.submit(job)
        except QueueFull:
            return  # busy, and no more is known than before
        except NoWorkers as error:
            await self._is(str(error))
            return
        try:
            while not answered.done():
                had_workers = self._scheduler.workers > 0
                await asyncio.wait({answered}, timeout=NO_WORKER_S)
                if not had_workers and not self._scheduler.workers and not answered.done():
                    await self._is("no worker is ready")
            await self._is(answered.result())
        finally:
            self._scheduler.cancel(job)

    async def _is(self, reason: str | None) -> None:
        if reason != self.reason:
            self.reason = reason
            if reason is None:
                _log.info("serving: a canary was graded")
            else:
                _log.error("not serving", reason=reason)
            await self._tell()

    async def _tell(self) -> None:
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if self.reason is None
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for name in ("", SERVICE):
            await self._servicer.set(name, status)
