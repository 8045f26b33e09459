"""How a front is shown: alone, it serves HTTP itself; one of several tells its supervisor, by its lifeline.

Front to supervisor, over the socket pair that is the front's stdin (see fronts), lines: `s`, once, when the front
serves; and, where there is HTTP, a snapshot as JSON every second. The supervisor believes its fronts; they run no
program. A line that it cannot be given at once is waited for by the reporting task alone.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from importlib.metadata import version

from gradebox_engine.config import EngineConfig
from gradebox_engine.metrics import Meter
from gradebox_engine.overview import Overview
from gradebox_engine.pool import Pool
from gradebox_engine.readiness import Readiness
from gradebox_engine.recent import Recent
from gradebox_engine.snapshot import Facts, Snapshot, report, to_line
from gradebox_engine.tier import Tier

SERVES = b"s\n"
MAX_LINE_BYTES = 64 << 20


class Lifeline:
    """The front's end, for writing; one line at a time."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=os.dup(0))
        self._socket.setblocking(False)
        self._lock = asyncio.Lock()

    async def send(self, line: bytes) -> None:
        """Sends a line; a supervisor that is gone does not matter here."""
        async with self._lock:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(self._socket, line)

    def close(self) -> None:
        """Gives the descriptor back."""
        self._socket.close()


class View:
    """One front, to be shown where the configuration has an address for HTTP."""

    def __init__(
        self,
        config: EngineConfig,
        tier: Tier,
        pool: Pool,
        meter: Meter,
        recent: Recent,
        readiness: Callable[[], Readiness],
    ) -> None:
        self._config = config
        self._tier = tier
        self._pool = pool
        self._meter = meter
        self._recent = recent
        self._readiness = readiness

    @contextlib.asynccontextmanager
    async def shown(self, front: int, lifeline: Lifeline | None) -> AsyncIterator[None]:
        """Shows it until the end of the block. lifeline: None when it is the only front.

        Raises RuntimeError when the address cannot be had.
        """
        if self._config.http is None:
            yield
            return
        async with contextlib.AsyncExitStack() as stack:
            if lifeline is None:
                from gradebox_engine.http.server import bind, serve_http  # dear, and for those alone who ask for it

                overview = Overview(1, self._recent)
                await stack.enter_async_context(serve_http(bind(self._config.http), overview))
                reporting = report(lambda: self._snapshot(front), overview.update)
            else:
                reporting = report(lambda: self._snapshot(front), lambda snapshot: lifeline.send(to_line(snapshot)))
            task = asyncio.create_task(reporting)
            try:
                yield
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def _snapshot(self, front: int) -> Snapshot:
        return Snapshot(
            front=front,
            readiness=self._readiness(),
            facts=self._facts() if self._pool.hello else None,
            workers=self._pool.view(),
            families=self._meter.families(),
            errors=self._recent.take(),
        )

    def _facts(self) -> Facts:
        return Facts(
            version=version("gradebox"),
            tier=self._tier,
            image=self._pool.hello["image"],
            protections=list(self._pool.hello["protections"]),
            max_queued_programs=self._config.max_queued_programs,
            max_queued_bytes=self._config.max_queued_bytes,
        )
