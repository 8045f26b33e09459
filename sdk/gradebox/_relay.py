"""Calls in a process that was forked from one which had used gRPC: made by a helper process.

Theory of operation. gRPC's threads and locks do not survive a fork; in the child, a call would hang or abort
the process. So the child starts a helper (`python -m gradebox._relay_process`, a process of its own that
shares no memory with it), which makes the calls and passes messages on as the bytes that they are. They talk
over a socket pair that is the helper's stdin; the helper ends when it is closed, so at the latest with the
child, and neither has anything to hide from the other. Each event loop of a child has one helper.

Frames are marshalled tuples, (what, number, ...), with their length in front:

    to the helper    channel, target, options, TLS    open, channel, path, is_stream, timeout_s, metadata
                     message, data                    half_close       cancel       drop (a channel)
    from the helper  message, data                    written (one message of a stream)
                     end, status, details, metadata   state, name (of a channel)

The classes below are the part of grpc.aio that a Connection uses.
"""

import asyncio
import itertools
import marshal
import os
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import grpc

type Frame = tuple[Any, ...]
type Metadata = Sequence[tuple[str, str | bytes]]

_STATUSES = {code.value[0]: code for code in grpc.StatusCode}
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE.value[0]
_sockets: list[socket.socket] = []  # to helpers of this process


def to_bytes(frame: Frame) -> bytes:
    """A frame with its length in front."""
    data = marshal.dumps(frame)
    return len(data).to_bytes(8, "little") + data


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame. Raises asyncio.IncompleteReadError at the end."""
    size = int.from_bytes(await reader.readexactly(8), "little")
    frame: Frame = marshal.loads(await reader.readexactly(size))
    return frame


class Link:
    """To the helper of an event loop. `answers`: where frames with a number go."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.answers: dict[int, Callable[[Frame], None]] = {}
        self.is_closed = False
        self._reading = asyncio.create_task(self._read(reader))

    async def send(self, *frame: Any) -> None:
        """Sends a frame; waits while the helper has enough to do."""
        self.post(*frame)
        await self._writer.drain()

    def post(self, *frame: Any) -> None:
        """Sends a small frame, and does not wait."""
        if not self.is_closed:
            self._writer.write(to_bytes(frame))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                frame = await read_frame(reader)
                if (take := self.answers.get(frame[1])) is not None:
                    take(frame)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.is_closed = True
            for number, take in list(self.answers.items()):
                take(("end", number, _UNAVAILABLE, "the helper process has ended", ()))
            self._writer.close()


_links: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Link]]" = weakref.WeakKeyDictionary()
_numbers = itertools.count(1)


async def _link() -> Link:
    """That of this event loop; a new one where there is none, or its helper has ended."""
    loop = asyncio.get_running_loop()
    starting = _links.get(loop)
    if starting is None or (starting.done() and (starting.cancelled() or starting.result().is_closed)):
        starting = _links[loop] = asyncio.create_task(_start())
    return await asyncio.shield(starting)


async def _start() -> Link:
    ours, theirs = socket.socketpair()
    with theirs:
        helper = subprocess.Popen(
            [sys.executable, "-P", "-m", "gradebox._relay_process"],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # a terminal's Ctrl-C is for the child
        )
    threading.Thread(target=helper.wait, name="gradebox-helper", daemon=True).start()
    _sockets.append(ours)
    reader, writer = await asyncio.open_connection(sock=ours)
    return Link(reader, writer)


def _after_fork() -> None:
    """A helper is that of one process, and a fork of it is not to keep it alive."""
    _links.clear()
    while _sockets:
        os.close(_sockets.pop().detach())


class Channel:
    """Stands for a grpc.aio.Channel of the helper."""

    def __init__(self, target: str, options: Sequence[tuple[str, Any]], tls: "tuple[bytes | None, ...] | None") -> None:
        self._made = target, tuple(options), tls
        self._number = next(_numbers)
        self._link: Link | None = None
        self._state = grpc.ChannelConnectivity.IDLE

    def unary_unary(self, path: str, *, request_serializer: Any, response_deserializer: Any) -> Any:
        """As grpc.aio has it."""

        async def call(request: Any, *, timeout: float | None, metadata: Metadata) -> Any:
            stream = Stream(self, path, request_serializer, response_deserializer, timeout, metadata, is_stream=False)
            try:
                await stream.send(request)
                answer = await stream.read()
                await stream.read()  # how it ended
                return answer
            finally:
                stream.cancel()

        return call

    def stream_stream(self, path: str, *, request_serializer: Any, response_deserializer: Any) -> Any:
        """As grpc.aio has it."""

        def call(*, timeout: float | None, metadata: Metadata) -> Stream:
            return Stream(self, path, request_serializer, response_deserializer, timeout, metadata, is_stream=True)

        return call

    def get_state(self, try_to_connect: bool) -> grpc.ChannelConnectivity:
        """What the helper has last said; it always tries."""
        return self._state

    async def close(self) -> None:
        """Its calls fail."""
        if self._link is not None:
            self._link.answers.pop(self._number, None)
            self._link.post("drop", self._number)

    async def link(self) -> tuple[Link, int]:
        """The link by which it is reached, and its number there."""
        link = await _link()
        if link is not self._link:
            self._link = link
            link.answers[self._number] = self._hear
            link.post("channel", self._number, *self._made)
        return link, self._number

    def _hear(self, frame: Frame) -> None:
        name = frame[2] if frame[0] == "state" else "TRANSIENT_FAILURE"
        self._state = grpc.ChannelConnectivity[name]


class Stream:
    """One call of the helper."""

    def __init__(
        self,
        channel: Channel,
        path: str,
        serialize: Any,
        deserialize: Any,
        timeout_s: float | None,
        metadata: Metadata,
        *,
        is_stream: bool,
    ) -> None:
        self._channel = channel
        self._serialize = serialize
        self._deserialize = deserialize
        self._terms = path, is_stream, timeout_s, tuple(metadata)
        self._number = next(_numbers)
        self._opening: asyncio.Task[Link] | None = None
        self._heard: asyncio.Queue[Frame] = asyncio.Queue()
        self._written = asyncio.Event()
        self._end: Frame | None = None

    async def send(self, message: Any) -> None:
        """Sends a message; does not wait for it to be on its way."""
        link = await self._open()
        await link.send("message", self._number, self._serialize(message))

    async def write(self, message: Any) -> None:
        """As grpc.aio has it."""
        self._written.clear()
        await self.send(message)
        await self._written.wait()
        self._raise_for_end()

    async def done_writing(self) -> None:
        """As grpc.aio has it."""
        (await self._open()).post("half_close", self._number)

    async def read(self) -> Any:
        """As grpc.aio has it."""
        await self._open()
        if self._end is None or not self._heard.empty():
            frame = await self._heard.get()
            if frame[0] == "message":
                return self._deserialize(frame[2])
        self._raise_for_end()
        return grpc.aio.EOF

    async def code(self) -> grpc.StatusCode:
        """As grpc.aio has it."""
        while self._end is None:
            await self._heard.get()
        return _STATUSES[self._end[2]]

    def cancel(self) -> None:
        """As grpc.aio has it; what has ended stays so."""
        if self._opening is None:
            return
        if self._opening.done() and not self._opening.cancelled() and self._opening.exception() is None:
            link = self._opening.result()
            link.answers.pop(self._number, None)
            if self._end is None:
                link.post("cancel", self._number)
        else:
            self._opening.cancel()

    async def _open(self) -> Link:
        if self._opening is None:
            self._opening = asyncio.create_task(self._begin())
        return await asyncio.shield(self._opening)

    async def _begin(self) -> Link:
        link, channel = await self._channel.link()
        link.answers[self._number] = self._hear
        link.post("open", self._number, channel, *self._terms)
        if link.is_closed:
            self._hear(("end", self._number, _UNAVAILABLE, "the helper process has ended", ()))
        return link

    def _hear(self, frame: Frame) -> None:
        if frame[0] == "written":
            self._written.set()
            return
        if frame[0] == "end":
            self._end = frame
            self._written.set()
        self._heard.put_nowait(frame)

    def _raise_for_end(self) -> None:
        if self._end is not None and self._end[2] != 0:
            _, _, status, details, metadata = self._end
            raise grpc.aio.AioRpcError(
                _STATUSES[status], grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), details=details
            )


os.register_at_fork(after_in_child=_after_fork)
