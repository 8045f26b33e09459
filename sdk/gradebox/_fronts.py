"""Connections to the fronts of one engine.

An engine on a large machine has several front processes on one address, each with its own part of the
workers, and a connection reaches one of them, for as long as it lasts. That is enough for one call at a
time. Before bulk work, or a call beside another one, the fronts are looked for: Info says how many there
are, and which one answers; so connections are made, and those to a front that has one already closed,
until there is one to each. A front that is replaced drops its connection, which then reaches another one:
the fronts are looked for again, a while later, at the next call.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from gradebox._access import Access
from gradebox._connection import Connection, Peer
from gradebox._deadline import Deadline
from gradebox._errors import GradeboxError
from gradebox_proto.v1 import grading_pb2 as wire

LOOK_AGAIN_S = 5.0
LOOK_TIMEOUT_S = 2.0
ATTEMPTS_PER_FRONT = 8  # of 16 fronts, one is missed in one case of 250, and looked for again


class Fronts:
    """One connection, or where the engine has several fronts, one to each. Every call takes the least busy.

    host: see Connection.
    """

    def __init__(self, target: str, access: Access, peer: Peer | None = None, *, host: str | None = None) -> None:
        self._target = target
        self._access = access
        self._peer = peer
        self._host = host
        self._connections = [Connection(target, access, peer, host=host)]
        self._loop: asyncio.AbstractEventLoop | None = None  # in which they were looked for
        self._looked_s = 0.0
        self._missing = False
        self._closed = False

    @property
    def calls(self) -> int:
        """Under way."""
        return sum(connection.calls for connection in self._connections)

    @property
    def has_answered(self) -> bool:
        """Whether an engine ever did."""
        return any(connection.has_answered for connection in self._connections)

    def is_up(self) -> bool:
        """Whether a call can be expected to be answered."""
        return any(connection.is_up() for connection in self._connections)

    @asynccontextmanager
    async def one(self, deadline: Deadline) -> AsyncIterator[Connection]:
        """The connection for one call."""
        if self._loop is not None or self._connections[0].calls:
            await self._look_where_due(deadline)
        connection = min(self._connections, key=lambda connection: connection.calls)
        with busy(connection):
            yield connection

    async def all(self, deadline: Deadline) -> list[Connection]:
        """The connections for work that goes to all of them."""
        await self._look_where_due(deadline)
        return list(self._connections)

    async def close(self) -> None:
        """Closes them; calls under way fail."""
        self._closed = True
        for connection in self._connections:
            await connection.close()

    async def _look_where_due(self, deadline: Deadline) -> None:
        if self._peer is not None or self._target.startswith("unix:"):
            return  # has one front
        loop, now_s = asyncio.get_running_loop(), time.monotonic()
        if self._loop is loop:
            lost = self._missing or any(connection.was_lost for connection in self._connections)
            if not lost or now_s - self._looked_s < LOOK_AGAIN_S:
                return
        self._loop, self._looked_s = loop, now_s
        self._missing = True  # until all are found
        left_s = deadline.left_s()
        made: list[Connection] = []
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S if left_s is None else min(LOOK_TIMEOUT_S, left_s)):
                await self._look(made)
        except (GradeboxError, TimeoutError):
            pass  # the call itself will say so, or find that it is over
        finally:
            for connection in made:
                if self._closed or connection not in self._connections:
                    await connection.close()

    async def _look(self, made: list[Connection]) -> None:
        found: dict[int, Connection] = {}
        double = []
        fronts = 1
        for connection in self._connections:
            connection.was_lost = False
            info = await _info(connection)
            fronts = max(1, info.fronts)
            if found.setdefault(info.front, connection) is not connection:
                double.append(connection)
        for _ in range(ATTEMPTS_PER_FRONT * fronts):
            if len(found) >= fronts:
                break
            made.append(Connection(self._target, self._access, host=self._host, is_apart=True))
            found.setdefault((await _info(made[-1])).front, made[-1])
        self._missing = len(found) < fronts
        self._connections = [*found.values(), *(connection for connection in double if connection.calls)]
        for connection in double:
            if not connection.calls:
                await connection.close()


@contextmanager
def busy(connection: Connection) -> Iterator[None]:
    """A call is under way."""
    connection.calls += 1
    try:
        yield
    finally:
        connection.calls -= 1


async def _info(connection: Connection) -> wire.InfoResponse:
    response: wire.InfoResponse = await connection.unary("Info", wire.InfoRequest(), wire.InfoResponse, Deadline(None))
    return response
