"""Request bodies: never more of them in memory than there is room for. And callers that go away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request

from gradebox_engine.gateway.errors import Refused

_READ_S = 60


class Bodies:
    """The bodies of all requests under way."""

    def __init__(self, max_body_bytes: int, max_bodies_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._room_bytes = max_bodies_bytes

    @contextlib.asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[bytes]:
        """The body, which counts until the request is answered. Raises Refused."""
        parts: list[bytes] = []
        size = 0
        try:
            if int(request.headers.get("content-length") or 0) > self._max_body_bytes:
                raise self._too_large()
            async with asyncio.timeout(_READ_S):
                async for part in request.stream():
                    size += len(part)
                    self._room_bytes -= len(part)
                    if size > self._max_body_bytes:
                        raise self._too_large()
                    if self._room_bytes < 0:
                        raise Refused(503, "too much is under way already; try again")
                    parts.append(part)
        except ClientDisconnect:
            raise Refused(499, "gone") from None
        except TimeoutError:
            raise Refused(408, f"the request did not come within {_READ_S} s") from None
        else:
            yield b"".join(parts)
        finally:
            self._room_bytes += size

    def _too_large(self) -> Refused:
        return Refused(413, f"a request has at most {self._max_body_bytes} bytes; send fewer programs or tests at once")


async def while_there[T](request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`; cancels it when the caller goes away. The request's body has been read. Raises Refused."""
    working = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Refused(499, "gone")
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
