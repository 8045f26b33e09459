"""A proxy between clients and an engine whose connections a test can cut, or hold up."""

import asyncio
import contextlib
from typing import Self


class Proxy:
    """Listens on a port of its own; use it as an asynchronous context manager.

    Attributes:
        is_mute: what the engine sends does not arrive any more.
        refuses: new connections are closed at once.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_mute = False
        self.refuses = False
        self.connections = 0
        self.target = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.target = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Drops all connections, as a network does: without a word on either side."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        self.connections += 1
        if self._target.startswith("unix:"):
            engine_reader, engine = await asyncio.open_unix_connection(self._target.removeprefix("unix:"))
        else:
            host, _, port = self._target.rpartition(":")
            engine_reader, engine = await asyncio.open_connection(host, int(port))
        both = {writer, engine}
        self._writers |= both
        for work in (self._pass_on(reader, engine), self._pass_on(engine_reader, writer, is_answer=True)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool = False
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if not (is_answer and self.is_mute):
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)
