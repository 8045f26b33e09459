"""What comes out of one sandboxed process: messages on its channel, rings of its bell, its output.

All of it is hostile: frames are bounded, output is counted and drained while it runs, and who does not read what is
sent to it holds up nobody.

Theory of operation. The process holds one end of a socket pair, on which both sides write frames. What it writes to
its standard output and its standard error comes through pipes. A program whose output is not kept has, in the place of
its standard error's pipe, one for its bell: it rings when it wants to be heard, so that the worker need not wake up
for each message (`quiet`). `wait` polls all of them, and, beside them, the calls that this process has to ask for.
"""

import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gradebox_inside import codec, orders
from gradebox_inside.frames import FrameReader

MAX_FRAME_BYTES = 24 << 20
INCOMING = codec.Budget(nodes=1_100_000, depth=140, bytes=MAX_FRAME_BYTES)  # an answer's value
REPORT = codec.Budget(nodes=20_000, depth=20, bytes=1 << 20)  # what goes with it, and every other message
_READ_BYTES = 1 << 16
_MOST_READS = 8
_MOST_RINGS = 1 << 16  # an honest process rings less often than it answers
_SEND_S = 2.0


@dataclass
class Output:
    """One output stream: what was kept (bounded) and how much there was. forward: is given all of it as it comes."""

    keep_bytes: int
    kept: bytearray = field(default_factory=bytearray)
    total_bytes: int = 0
    forward: Callable[[bytes], None] | None = None

    def add(self, data: bytes) -> None:
        self.total_bytes += len(data)
        room = self.keep_bytes - len(self.kept)
        if room > 0:
            self.kept += data[:room]
        if self.forward is not None:
            self.forward(data)


class Channel:
    """Both directions of the talk with one process, and its output. The process itself is its subclass's."""

    def __init__(self, keep_bytes: int) -> None:
        self._channel: socket.socket
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._frames: deque[bytes] = deque()
        self.stdout, self.stderr = Output(keep_bytes), Output(keep_bytes)
        self._streams: dict[int, Output] = {}
        self._unsent = memoryview(b"")  # of what was sent to one that does not read
        self._poller = select.poll()
        self._polled = False  # the channel is
        self._bell_fd = -1
        self._rings = 0
        self._refusals_fd = -1
        self.quiet = False  # while it is, messages are read when the bell rings, not as they come
        self.malformed = False  # it wrote something on its channel that cannot be read
        self.closed = False  # its end of the channel is closed: dead, or as good as

    def _refuse(self) -> None:
        """Answers a system call that waits, when there are some to answer (`_refusals_fd`)."""
        raise NotImplementedError

    def _pipe(self, output: Output) -> int:
        read_fd, write_fd = self._read_end()
        self._streams[read_fd] = output
        return write_fd

    def _read_end(self) -> tuple[int, int]:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_fd, False)
        self._poller.register(read_fd, select.POLLIN)
        return read_fd, write_fd

    def send(self, *messages: tuple[Any, ...] | bytes) -> None:
        """Sends messages; those given as bytes are packed already (orders).

        A process that does not read them holds up nobody: its output is drained meanwhile.
        """
        parts = []
        for message in messages:
            payload = message if isinstance(message, bytes) else orders.pack(message)
            parts += [len(payload).to_bytes(4, "little"), payload]
        data = memoryview(b"".join([self._unsent, *parts]))
        self._unsent = memoryview(b"")
        deadline = time.monotonic() + _SEND_S
        while data and not self.closed:
            try:
                data = data[self._channel.send(data) :]
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._unsent = data  # it does not read yet: `wait` goes on, and the limits on its time say how long
                    return
                waiting = [*self._streams, *([self._refusals_fd] if self._refusals_fd >= 0 else [])]
                readable, _, _ = select.select(waiting, [self._channel], [], 0.05)
                for fd in readable:
                    if fd in self._streams:
                        self._drain(fd)
                    else:
                        self._refuse()
            except OSError:
                self.closed = True

    def wait(self, timeout_s: float, also: int | None = None) -> bool:
        """Reads what there is, waiting up to `timeout_s`. False when the time passed with nothing to read.

        also: one more descriptor to wake up for (another process's channel, a pidfd); it is not read here.
        """
        poller = self._poller
        if not self.closed:
            # In the middle of a message there is somebody who waits for room to write the rest of it.
            is_quiet = self.quiet and self._bell_fd >= 0 and not self._reader.pending
            wanted = 0 if is_quiet else select.POLLIN
            poller.register(self._channel, wanted | (select.POLLOUT if self._unsent else 0))
        elif self._polled:
            poller.unregister(self._channel)
        self._polled = not self.closed
        if also is not None:
            poller.register(also, select.POLLIN)
        ready = poller.poll(max(0.0, timeout_s) * 1000)
        if also is not None:
            poller.unregister(also)
        for fd, events in ready:
            if fd in self._streams:
                self._drain(fd)
            elif fd == self._refusals_fd:
                if events & select.POLLIN:
                    self._refuse()
            elif fd == self._bell_fd:
                self._rung()
            elif fd != also:
                if events & select.POLLOUT:
                    self._send_more()
                if events & ~select.POLLOUT:
                    self._receive()
        if self.quiet and not ready:  # what it has done so far
            self._receive()
        return bool(ready)

    def _rung(self) -> None:
        try:
            rings = len(os.read(self._bell_fd, _READ_BYTES))
        except BlockingIOError:
            return
        self._rings += rings
        if rings == 0:  # it has closed its end: from now on the channel itself wakes us
            self._drop_bell()
        elif self._rings > _MOST_RINGS:
            self.closed = self.malformed = True
        else:
            self._receive()

    def _drop_bell(self) -> None:
        if self._bell_fd >= 0:
            self._poller.unregister(self._bell_fd)
            os.close(self._bell_fd)
            self._bell_fd = -1

    def _send_more(self) -> None:
        try:
            self._unsent = self._unsent[self._channel.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True

    def _receive(self) -> None:
        """Reads what lies in the channel, at most as much as it holds at once."""
        for _ in range(_MOST_READS):
            if self.closed:
                return
            try:
                data = self._channel.recv(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self.closed = True
                return
            try:
                self._frames += self._reader.feed(data)
            except codec.CodecError:
                self.closed = self.malformed = True  # nothing more that it says can be read
            if len(data) < _READ_BYTES:
                return

    def _drain(self, fd: int) -> None:
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._streams[fd].add(data)
        else:
            self._poller.unregister(fd)
            os.close(fd)
            del self._streams[fd]

    def drain_output(self, most_bytes: int = sys.maxsize) -> None:
        """Reads what has been written so far, without waiting; no more once there are above `most_bytes` in all."""
        for fd in list(self._streams):
            while fd in self._streams and self.output_bytes <= most_bytes:
                before = self.output_bytes
                self._drain(fd)
                if self.output_bytes == before:
                    break

    def next_payload(self) -> bytes | None:
        """The next complete message as it came, or None."""
        return self._frames.popleft() if self._frames else None

    @property
    def has_spoken(self) -> bool:
        """Whether a message waits to be taken."""
        return bool(self._frames)

    def last_frame(self) -> tuple[Any, ...] | None:
        """The newest complete message, or None; those before it are dropped."""
        payload = self._frames[-1] if self._frames else None
        self._frames.clear()
        return None if payload is None else self.read(payload)

    def read(self, payload: bytes, budget: codec.Budget = REPORT) -> tuple[Any, ...] | None:
        """A message from its bytes; None, and the channel is closed, when it is malformed."""
        try:
            message = codec.decode(payload, budget=budget)
        except (codec.CodecError, codec.OverBudget):
            self.closed = self.malformed = True
            return None
        if type(message) is not tuple or not message or type(message[0]) is not str:
            self.closed = self.malformed = True
            return None
        return message

    @property
    def channel_fd(self) -> int:
        """The channel's descriptor, for waiting on two processes at once."""
        return self._channel.fileno()

    def descriptors(self) -> list[int]:
        """All that `wait` wakes up for."""
        channel = [] if self.closed else [self._channel.fileno()]
        return [*channel, *self._streams, *([self._refusals_fd] if self._refusals_fd >= 0 else [])]

    @property
    def output_bytes(self) -> int:
        """How much it has written so far, both streams together."""
        return self.stdout.total_bytes + self.stderr.total_bytes

    def _close(self) -> None:
        self._channel.close()
        self._drop_bell()
        for fd in self._streams:
            os.close(fd)
        self._streams.clear()
