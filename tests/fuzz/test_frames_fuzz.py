"""The reader of frames: the same frames wherever the stream is cut, little kept, long ones refused at once."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.profiles import FUZZ
from tests.fuzz.targets import check_frames

from gradebox_inside.codec import CodecError
from gradebox_inside.frames import FrameReader


@given(st.binary(max_size=900), st.binary(min_size=1, max_size=8))
@FUZZ
def test_any_stream(data: bytes, cuts: bytes) -> None:
    check_frames(data, cuts)


@given(st.lists(st.binary(max_size=310), max_size=9), st.binary(max_size=6), st.binary(min_size=1, max_size=8))
@FUZZ
def test_streams_of_frames(payloads: list[bytes], rest: bytes, cuts: bytes) -> None:
    check_frames(b"".join(len(p).to_bytes(4, "little") + p for p in payloads) + rest, cuts)


@given(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=20))
@FUZZ
def test_a_length_over_the_cap_is_refused_with_its_last_byte(length: int, known: int, after: bytes) -> None:
    reader = FrameReader(200)
    head = length.to_bytes(4, "little")
    assert reader.feed(head[:known]) == []
    if length > 200:
        with pytest.raises(CodecError):
            reader.feed(head[known:])
    else:
        assert len(reader.feed(head[known:] + after[:length])) == (len(after) >= length)


def test_what_was_read_is_not_kept() -> None:
    reader = FrameReader(1 << 20)
    chunk = (b"\0\0\0\0" * 100 + (50).to_bytes(4, "little") + b"x" * 50) * 100
    tracemalloc.start()
    found = 0
    for _ in range(400_000 // len(chunk)):
        found += len(reader.feed(chunk))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == 400_000 // len(chunk) * 101 * 100
    assert reader.pending == 0
    assert peak < 3 << 20


def test_lengths_alone_keep_nothing() -> None:
    reader = FrameReader(24 << 20)
    tracemalloc.start()
    reader.feed((24 << 20).to_bytes(4, "little"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 16  # the memory for a frame is taken as its bytes come
