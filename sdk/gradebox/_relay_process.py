"""The helper of a forked process: makes its gRPC calls. See `_relay`."""

import asyncio
import contextlib
import signal
import socket
import sys
from typing import Any

import grpc

from gradebox._access import Access
from gradebox._relay import Frame, read_frame, to_bytes

STATE_EVERY_S = 0.05


class Helper:
    """All channels and calls of one forked process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._channels: dict[int, grpc.aio.Channel] = {}
        self._watchers: dict[int, asyncio.Task[None]] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._messages: dict[int, asyncio.Queue[bytes | None]] = {}  # None: there are no more

    async def serve(self) -> None:
        """Until the other side is gone."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                await self._take(await read_frame(self._reader))

    async def _take(self, frame: Frame) -> None:
        match frame:
            case ("channel", number, target, options, tls):
                self._channels[number] = Access(tls).channel(target, options)
                self._watchers[number] = asyncio.create_task(self._watch(number, self._channels[number]))
            case ("drop", number):
                self._watchers.pop(number).cancel()
                await self._channels.pop(number).close()
            case ("open", number, channel, path, is_stream, timeout_s, metadata):
                self._messages[number] = asyncio.Queue()
                work = self._stream if is_stream else self._unary
                call = work(number, self._channels[channel], path, timeout_s, metadata)
                self._calls[number] = asyncio.create_task(self._call(number, call))
            case ("message", number, data) if number in self._messages:
                self._messages[number].put_nowait(data)
            case ("half_close", number) if number in self._messages:
                self._messages[number].put_nowait(None)
            case ("cancel", number) if number in self._calls:
                self._calls[number].cancel()

    async def _send(self, *frame: Any) -> None:
        self._writer.write(to_bytes(frame))
        await self._writer.drain()

    async def _call(self, number: int, work: Any) -> None:
        try:
            await work
            await self._send("end", number, 0, "", ())
        except grpc.aio.AioRpcError as error:
            metadata = tuple((key, value) for key, value in error.trailing_metadata() or ())
            await self._send("end", number, error.code().value[0], error.details() or "", metadata)
        finally:
            del self._calls[number], self._messages[number]

    async def _unary(self, number: int, channel: Any, path: str, timeout_s: Any, metadata: Any) -> None:
        request = await self._messages[number].get()
        answer = await channel.unary_unary(path)(request, timeout=timeout_s, metadata=metadata)
        await self._send("message", number, answer)

    async def _stream(self, number: int, channel: Any, path: str, timeout_s: Any, metadata: Any) -> None:
        call = channel.stream_stream(path)(timeout=timeout_s, metadata=metadata)
        writing = asyncio.create_task(self._write(number, call))
        try:
            while (answer := await call.read()) is not grpc.aio.EOF:
                await self._send("message", number, answer)
        finally:
            writing.cancel()
            call.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self, number: int, call: Any) -> None:
        while (message := await self._messages[number].get()) is not None:
            await call.write(message)
            await self._send("written", number)
        await call.done_writing()

    async def _watch(self, number: int, channel: grpc.aio.Channel) -> None:
        said = None
        while True:
            state = channel.get_state(try_to_connect=True)
            if state is not said:
                said = state
                await self._send("state", number, state.name)
            await asyncio.sleep(STATE_EVERY_S)


async def _main() -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=0))
    await Helper(reader, writer).serve()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_main())
    sys.exit(0)
