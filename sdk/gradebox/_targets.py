"""The engines behind one client: which of them gets a call, and what happens when one is gone.

A call goes to the engine with the fewest of this client's calls. One that has failed is left out until
its channel is connected again, which gRPC tries in the background, so no call has to find out. Of a name
(`dns:///name:port`) every address is an engine; the name is looked up again from time to time, and when
one of its engines is gone.

Only what gRPC says to be UNAVAILABLE, or the engine to be overloaded, is tried again. Where a connection
was lost in the middle of a call, the engine behind it may still be at work on it, and knows it by its
idempotency key: so the call first goes back there, for the moment that a new connection takes, and else
to another engine, where it is new.
"""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from gradebox._access import Access
from gradebox._connection import RETURN_S, Connection, Peer
from gradebox._deadline import Deadline
from gradebox._errors import InvalidRequest, Overloaded, Unavailable
from gradebox._fronts import Fronts, busy
from gradebox._retry import Backoff, Patience
from gradebox._threads import in_thread

REST_S = 0.5  # of an engine that cannot take work now
LOOKUP_TIMEOUT_S = 5.0
LOOKUP_AGAIN_S = 30.0
LOOKUP_LOST_S = 2.0  # where an engine of the name is gone
_NAME = re.compile(r"dns:(?:///)?(?P<host>[^/\[\]]+):(?P<port>\d+)")


def targets_of(given: str | Sequence[str]) -> list[str]:
    """The targets that a client is given. Raises InvalidRequest."""
    targets = [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else []
    if not targets or not all(isinstance(target, str) and target for target in targets):
        raise InvalidRequest(f"must be an address such as host:port, or several, not {given!r}", "target")
    return list(dict.fromkeys(targets))


class Targets:
    """All engines of a client. `peer`: the one engine is our own."""

    def __init__(self, targets: Sequence[str], access: Access, peer: Peer | None = None, *, retry_s: float) -> None:
        self._places: list[_Name | Fronts] = [
            _Name(match["host"], match["port"], access)
            if (match := _NAME.fullmatch(target))
            else Fronts(target, access, peer)
            for target in targets
        ]
        self.retry_s = retry_s
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def has_answered(self) -> bool:
        """Whether an engine ever did."""
        return any(place.has_answered for place in self._places)

    async def call[T](
        self, attempt: Callable[[Connection], Awaitable[T]], deadline: Deadline, *, key: str | None = None
    ) -> T:
        """Awaits `attempt` with one connection after the other, until there is an answer.

        key: the idempotency key of what is asked; the engine is told when nobody waits for it any more.
        """
        patience, backoff = Patience(self.retry_s, deadline), Backoff()
        lost: Connection | None = None
        lost_s = 0.0
        while True:
            connection, begun_s = None, time.monotonic()
            try:
                async with self._one(lost, deadline) as connection:
                    with connection.waiting(lambda: [key] if key is not None else []):
                        return await attempt(connection)
            except asyncio.CancelledError:
                if connection is not None and key is not None:
                    self._aside(connection.abandon([key]))
                raise
            except (Overloaded, Unavailable) as error:
                if connection is not None and (better := connection.fault(error)) is not None:
                    raise better from None
                if self._closed:
                    raise
                patience.failed(error, begun_s, has_answered=self.has_answered)
                wait_s = error.retry_after_s
                if connection is not None and (isinstance(error, Overloaded) or error._said):
                    connection.rest(max(wait_s, REST_S))
                    connection = None  # others may do better
            now_s = time.monotonic()
            if connection is not lost or now_s - begun_s > RETURN_S:
                lost, lost_s = connection, now_s
            elif now_s - lost_s > RETURN_S:
                lost = None
            await backoff.pause(0.0 if self._is_up() else wait_s)

    async def connections(self, deadline: Deadline) -> list[Connection]:
        """To all engines, and to all fronts of each, as far as they are known. Raises Unavailable if there is none."""
        found = await asyncio.gather(*(fronts.all(deadline) for fronts in await self._fronts()))
        return [connection for connections in found for connection in connections]

    async def close(self) -> None:
        """Closes all connections; calls under way fail."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        for place in self._places:
            await place.close()

    @asynccontextmanager
    async def _one(self, lost: Connection | None, deadline: Deadline) -> AsyncIterator[Connection]:
        """The connection for one call: the one that it has lost, if that comes back, else the best."""
        several = await self._fronts()
        if lost is not None and len(several) > 1 and await lost.comes_back(RETURN_S):
            with busy(lost):
                yield lost
            return
        fronts = min(several, key=lambda fronts: (not fronts.is_up(), fronts.calls)) if len(several) > 1 else several[0]
        async with fronts.one(deadline) as connection:
            yield connection

    async def _fronts(self) -> list[Fronts]:
        found: list[Fronts] = []
        failure: Unavailable | None = None
        for place in self._places:
            if isinstance(place, Fronts):
                found.append(place)
                continue
            try:
                found += await place.engines()
            except Unavailable as error:
                failure = error
        if not found and failure is not None:
            raise failure
        return found

    def _is_up(self) -> bool:
        return any(place.is_up() for place in self._places)

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Lets something be done that nobody waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Name:
    """The engines at the addresses of a name."""

    def __init__(self, host: str, port: str, access: Access) -> None:
        self._host = host
        self._port = port
        self._access = access
        self._engines: dict[str, Fronts] = {}
        self._looked_s = 0.0
        self._looking: asyncio.Task[list[Any]] | None = None

    @property
    def has_answered(self) -> bool:
        return any(fronts.has_answered for fronts in self._engines.values())

    def is_up(self) -> bool:
        return any(fronts.is_up() for fronts in self._engines.values())

    async def engines(self) -> list[Fronts]:
        """One for each address. Raises Unavailable when the name has none."""
        age_s = time.monotonic() - self._looked_s
        all_up = all(fronts.is_up() for fronts in self._engines.values())
        if not self._engines or age_s > (LOOKUP_AGAIN_S if all_up else LOOKUP_LOST_S):
            try:
                await self._look()
            except (OSError, TimeoutError) as error:
                if not self._engines:
                    why = "no answer" if isinstance(error, TimeoutError) else str(error)
                    raise Unavailable(f"{self._host} cannot be looked up: {why}") from None
        return list(self._engines.values())

    async def close(self) -> None:
        for fronts in self._engines.values():
            await fronts.close()

    async def _look(self) -> None:
        """Takes in what the name means now. Who has engines already does not wait for somebody else's look."""
        running = self._looking
        if running is not None and not running.done() and running.get_loop() is asyncio.get_running_loop():
            if not self._engines:
                await asyncio.shield(running)
            return
        self._looking = asyncio.create_task(self._addresses())
        self._looking.add_done_callback(lambda task: task.cancelled() or task.exception())  # who asked may be gone
        found = await asyncio.shield(self._looking)
        self._looked_s = time.monotonic()
        addresses = list(dict.fromkeys(_target(address) for address in found))
        gone = [address for address, fronts in self._engines.items() if address not in addresses and not fronts.calls]
        for address in addresses:
            if address not in self._engines:
                self._engines[address] = Fronts(address, self._access, host=f"{self._host}:{self._port}")
        for address in gone:
            await self._engines.pop(address).close()

    async def _addresses(self) -> list[Any]:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            return await in_thread(lambda: socket.getaddrinfo(self._host, int(self._port), type=socket.SOCK_STREAM))


def _target(found: Any) -> str:
    """What gRPC calls an address that getaddrinfo has found."""
    family, *_, address = found
    return f"ipv6:[{address[0]}]:{address[1]}" if family == socket.AF_INET6 else f"ipv4:{address[0]}:{address[1]}"
