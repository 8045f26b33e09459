"""Frames: `[u32 little-endian length][payload]`. The payload is a codec value, a tuple that starts with a tag."""

from __future__ import annotations

import builtins
from struct import Struct

from gradebox_inside.values import CodecError

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

_pack = Struct("<I").pack
_unpack = Struct("<I").unpack_from
_CHUNK = 1 << 16
_LARGE_BYTES = 1 << 15


def send_frame(sock: socket, payload: bytes) -> None:
    """Sends one frame on a blocking socket. Raises OSError when the other end is gone."""
    sock.sendall(_pack(len(payload)) + payload)


def _read(recv: Callable[[int], bytes], size: int) -> bytes | None:
    """`size` bytes from a blocking socket, or None at the end of the stream."""
    data = recv(size if size < _CHUNK else _CHUNK)
    if len(data) == size:
        return data
    parts = bytearray(data)
    while data and len(parts) < size:
        data = recv(min(size - len(parts), _CHUNK))
        parts += data
    return bytes(parts) if len(parts) == size else None


def recv_frame(sock: socket, max_bytes: int) -> bytes | None:
    """The next frame's payload, or None at the end of the stream (also in the middle of a frame).

    Raises CodecError for a frame longer than `max_bytes`.
    """
    return Channel(sock, max_bytes).receive()


class Channel:
    """Frames on a blocking socket, through methods taken when it is made: a program may patch `socket` later."""

    __slots__ = ("_max_bytes", "_recv", "_ring", "_sendall")

    def __init__(self, sock: socket, max_bytes: int, ring: Callable[[], None] | None = None) -> None:
        """ring: tells who sleeps at the other end of what may not fit into the socket."""
        self._max_bytes = max_bytes
        self._ring = ring
        self._recv = sock.recv
        self._sendall = sock.sendall

    def send(self, payload: bytes) -> None:
        """Sends one frame. Raises OSError when the other end is gone."""
        if self._ring is not None and len(payload) > _LARGE_BYTES:
            self._sendall(_pack(len(payload)) + payload[:_LARGE_BYTES])
            self._ring()
            self._sendall(payload[_LARGE_BYTES:])
        else:
            self._sendall(_pack(len(payload)) + payload)

    def receive(self) -> bytes | None:
        """The next payload, or None at the end of the stream. Raises CodecError for a frame that is too long."""
        head = _read(self._recv, 4)
        if head is None:
            return None
        (size,) = _unpack(head)
        if size > self._max_bytes:
            raise CodecError("frame too long")
        return _read(self._recv, size) if size else b""


class FrameReader:
    """Cuts a byte stream into frames; holds at most one incomplete frame of `max_bytes`."""

    __slots__ = ("_buffer", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that are complete now. Raises CodecError as soon as a length is over the limit."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        at = 0
        end = len(buffer)
        while end - at >= 4:
            (size,) = _unpack(buffer, at)
            if size > self.max_bytes:
                raise CodecError("frame too long")
            if end - at - 4 < size:
                break
            frames.append(bytes(buffer[at + 4 : at + 4 + size]))
            at += 4 + size
        if at:
            del buffer[:at]
        return frames

    @property
    def pending(self) -> int:
        """Bytes of an incomplete frame."""
        return len(self._buffer)
