"""Frames: cut correctly wherever the stream is cut, and bounded."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradebox_inside.codec import CodecError
from gradebox_inside.frames import Channel, FrameReader, recv_frame, send_frame


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 200))
def test_reader_finds_every_frame(payloads: list[bytes], step: int) -> None:
    stream = b"".join(len(p).to_bytes(4, "little") + p for p in payloads)
    reader = FrameReader(1000)
    found = [p for at in range(0, len(stream), step) for p in reader.feed(stream[at : at + step])]
    assert found == payloads
    assert reader.pending == 0


def test_reader_refuses_a_length_before_the_bytes_come() -> None:
    with pytest.raises(CodecError):
        FrameReader(1000).feed((1001).to_bytes(4, "little"))


def test_sockets() -> None:
    ours, theirs = socket.socketpair()
    send_frame(ours, b"")
    send_frame(ours, b"x" * 1000)
    assert recv_frame(theirs, 2000) == b""
    assert Channel(theirs, 2000).receive() == b"x" * 1000
    send_frame(ours, b"y" * 3000)
    with pytest.raises(CodecError):
        recv_frame(theirs, 2000)
    theirs.close()
    ours.close()


def test_end_of_stream() -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(b"\x09\0\0\0half")
    ours.close()
    assert recv_frame(theirs, 100) is None
    assert recv_frame(theirs, 100) is None
    theirs.close()
