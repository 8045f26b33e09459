"""Serves the routes inside an event loop that has more important things to do.

Theory of operation. uvicorn, in the process and the thread that make the engine's overview: its only front, or the
supervisor of several. It must not get in grading's way, whoever can reach its port: MAX_CONNECTIONS are open at a
time, each for one request and CONNECTION_S at most; no more than CONNECTIONS_PER_S are taken up, the rest are closed at
once; and what is answered is made once a second, however often it is asked for.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gradebox_engine.http.app import make_app
from gradebox_engine.overview import Overview
from gradebox_engine.snapshot import INTERVAL_S

MAX_CONNECTIONS = 32
CONNECTION_S = 10.0
CONNECTIONS_PER_S = 50
BACKLOG = 64


class _Bounded(H11Protocol):
    """One connection."""

    _second, _taken_up = 0, 0  # of all connections: an engine has one HTTP server

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        second = int(time.monotonic())
        if second != _Bounded._second:
            _Bounded._second, _Bounded._taken_up = second, 0
        _Bounded._taken_up += 1
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS or _Bounded._taken_up > CONNECTIONS_PER_S:
            transport.abort()
        else:
            self._end = self.loop.call_later(CONNECTION_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if (end := getattr(self, "_end", None)) is not None:
            end.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """Signals are the engine's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(address: str) -> socket.socket:
    """The socket for HOST:PORT. Raises RuntimeError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise RuntimeError(f"cannot serve HTTP on {address}: {error}") from None


@contextlib.asynccontextmanager
async def serve_http(listener: socket.socket, overview: Overview) -> AsyncIterator[None]:
    """Serves until the end of the block."""
    config = uvicorn.Config(
        make_app(overview),
        http=_Bounded,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=1,
        headers=[("Connection", "close")],
    )
    server = _Server(config)
    tasks: list[asyncio.Task[Any]] = [
        asyncio.create_task(server.serve(sockets=[listener])),
        asyncio.create_task(_tick(overview)),
    ]
    try:
        yield
    finally:
        server.should_exit = True
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listener.close()


async def _tick(overview: Overview) -> None:
    while True:
        overview.tick()
        await asyncio.sleep(INTERVAL_S)
