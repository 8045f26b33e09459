"""The worker's end of the socket to the front process: framed messages in, framed messages out.

A frame: u32 length, little-endian (of what follows), u8 type, payload. The front is trusted; its end of file means
that the engine is gone, and the worker with it.
"""

import contextlib
import json
import select
import socket
import struct
import time
from collections import deque
from enum import IntEnum
from typing import Any

_HEADER = struct.Struct("<IB")
_JOB = struct.Struct("<Q")
_READ_BYTES = 1 << 18
_BETWEEN_LOOKS_S = 0.005


class FrameType(IntEnum):
    """What a frame between front and worker holds."""

    GRADE = 1
    RUN = 2
    CANCEL = 3
    HELLO = 4
    FAULT = 5


class FrontGone(Exception):
    """The front process closed the socket."""


class Link:
    """Frames over a socket. Cancellations overtake the jobs that are queued."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = bytearray()
        self._queue: deque[tuple[FrameType, bytes]] = deque()
        self._cancelled: set[int] = set()
        self._looked_s = 0.0

    def _parse(self) -> None:
        while len(self._buffer) >= _HEADER.size:
            length, kind = _HEADER.unpack_from(self._buffer)
            end = 4 + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            if kind == FrameType.CANCEL:
                self._cancelled.add(_JOB.unpack(payload)[0])
            else:
                self._queue.append((FrameType(kind), payload))

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except ConnectionResetError as error:
            raise FrontGone from error
        if not data:
            raise FrontGone
        self._buffer += data
        self._parse()

    def next(self) -> tuple[FrameType, bytes]:
        """Waits for the next job. Raises FrontGone."""
        while not self._queue:
            self._read()
        return self._queue.popleft()

    def is_cancelled(self, job: int) -> bool:
        """Whether the front has taken `job` back; looks now and then at what has arrived. Raises FrontGone."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _BETWEEN_LOOKS_S:
            return job in self._cancelled
        self._looked_s = now_s
        while select.select([self._socket], [], [], 0)[0]:
            self._read()
        return job in self._cancelled

    def hang_up(self) -> None:
        """As if the front had closed the socket: whoever uses it next, or waits for it, meets FrontGone."""
        with contextlib.suppress(OSError):  # the front was first
            self._socket.shutdown(socket.SHUT_RDWR)

    def forget(self, job: int) -> None:
        """The job is done: cancellations of it, and late ones of those before it, mean nothing any more."""
        if self._cancelled:
            self._cancelled = {number for number in self._cancelled if number > job}

    def send(self, kind: FrameType, payload: bytes) -> None:
        """Sends one frame. Raises FrontGone."""
        try:
            self._socket.sendall(_HEADER.pack(len(payload) + 1, kind) + payload)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise FrontGone from error

    def send_json(self, kind: FrameType, value: dict[str, Any]) -> None:
        """Sends one frame of JSON (hello, fault)."""
        self.send(kind, json.dumps(value).encode())
