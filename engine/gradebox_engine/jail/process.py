"""One sandboxed process, seen from the worker: its channel, its output, its clocks, its end.

Everything it sends is hostile: frames are bounded, output is counted and drained while it runs, silence costs only its
own submission. Its clocks are read here, on the host's side, from its pid on the host.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from gradebox_engine.jail.launch import (
    ORACLE_UID,
    PROGRAM_UID,
    Exited,
    Jail,
    JailDied,
    credentials_of,
)
from gradebox_engine.jail.refusals import makes_process
from gradebox_engine.jail.tree import read_proc
from gradebox_engine.limits import Limits
from gradebox_inside import codec, orders
from gradebox_inside.frames import FrameReader
from gradebox_inside.orders import HELLO

MAX_FRAME_BYTES = 24 << 20
_READ_BYTES = 1 << 16
_MOST_READS = 8
_MOST_RINGS = 1 << 16  # an honest process rings less often than it answers
_CREDENTIALS_BYTES = socket.CMSG_SPACE(12)  # struct ucred
_HELLO_TIMEOUT_S = 20.0
_SEND_S = 2.0
_REFERRED_CALL_S = 5e-5  # what one costs the worker, about; a program that makes many pays for them


@dataclass
class Output:
    """One output stream: what was kept (bounded) and how much there was."""

    keep_bytes: int
    kept: bytearray = field(default_factory=bytearray)
    total_bytes: int = 0

    def add(self, data: bytes) -> None:
        self.total_bytes += len(data)
        room = self.keep_bytes - len(self.kept)
        if room > 0:
            self.kept += data[:room]


class SandboxedProcess:
    """A program's or an oracle's process. Create with `start`; `end` it always (it is a context manager)."""

    def __init__(self, jail: Jail, limits: Limits, role: str, keep_output: bool) -> None:
        self._jail = jail
        self._channel: socket.socket
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._frames: deque[bytes] = deque()
        keep = limits.output_bytes if keep_output else 0
        self.stdout, self.stderr = Output(keep), Output(keep)
        self._streams: dict[int, Output] = {}
        self.jail_pid = 0
        self.host_pid = 0
        self.pidfd = -1  # of the same process, also when its number has gone to another
        self._clock_id = 0
        self._pid_namespace = 0
        self._may_fork = limits.processes > 1
        self._referred = 0
        self.begun_cpu_s = self.begun_s = 0.0  # its CPU time, and the clock on the wall, when its sandbox was closed
        self.refused_calls = 0  # that it, or a process of its own, made
        self.malformed = False  # it wrote something on its channel that cannot be read
        self._unsent = memoryview(b"")  # of what was sent to one that does not read
        self._answers = role == "program"  # referred calls, its oracle's too: one of the two knows whose they are
        self._poller = select.poll()
        self._polled = False  # the channel is
        self._bell_fd = -1
        self._rings = 0
        self.quiet = False  # while it is, messages are read when the bell rings, not as they come
        self._refusals_fd = -1
        # With children of its own, its own clock is not the whole tree's: the jail's is, from its start on.
        self.counts_jail = limits.processes > 1 and role == "program"
        self._jail_cpu_s = jail.cpu_time_s() if self.counts_jail else 0.0
        self.closed = False  # its end of the channel is closed: dead, or as good as
        self.exited: Exited | None = None

    @classmethod
    def start(
        cls,
        jail: Jail,
        limits: Limits,
        *,
        role: str = "program",
        stdin: int | None = None,
        keep_output: bool = False,
        peer: socket.socket | None = None,
        scratch_of: int = 0,
        orders: tuple[tuple[Any, ...] | bytes, ...] = (),
    ) -> "SandboxedProcess":
        """Spawns a process and waits until it stands in its sandbox. Raises JailDied.

        orders: messages for it, sent when its sandbox is closed.
        """
        self = cls(jail, limits, role, keep_output)
        if self._answers:
            assert jail.refusals is not None, "the jail has not been started"
            self._refusals_fd = jail.refusals.fileno()
            self._poller.register(self._refusals_fd, select.POLLIN)
        shared_uid = role == "program" or scratch_of
        spec = {
            "role": role,
            "uid": PROGRAM_UID if shared_uid else ORACLE_UID,
            "disk_bytes": limits.disk_bytes,
            "memory_bytes": limits.memory_bytes,
            "processes": limits.processes,
            "scratch_of": scratch_of,
        }
        self._channel, theirs = socket.socketpair()
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # Opened for this process alone: an open file has flags (O_NONBLOCK, O_APPEND) that its holders share.
        null_fd = write_fd = err_fd = bell_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if role == "program":
            write_fd = err_fd = self._pipe(self.stdout)
            if keep_output:
                err_fd = self._pipe(self.stderr)
            else:
                self._bell_fd, bell_fd = self._read_end()
        descriptors = (theirs.fileno(), null_fd if stdin is None else stdin, write_fd, err_fd, bell_fd)
        try:
            try:
                self.jail_pid = jail.spawn(spec, descriptors if peer is None else (*descriptors, peer.fileno()))
            finally:
                theirs.close()
                for fd in {null_fd, write_fd, err_fd, bell_fd}:
                    os.close(fd)
            self._hello()
            if orders:  # not before: it must not run out of the OOM killer's reach
                self.send(*orders)
        except BaseException:
            self._kill()
            self._close()
            raise
        return self

    def _pipe(self, output: Output) -> int:
        read_fd, write_fd = self._read_end()
        self._streams[read_fd] = output
        return write_fd

    def _read_end(self) -> tuple[int, int]:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_fd, False)
        self._poller.register(read_fd, select.POLLIN)
        return read_fd, write_fd

    def _hello(self) -> None:
        self._channel.settimeout(_HELLO_TIMEOUT_S)
        try:
            # No room for descriptors; and no byte more than the hello, which may be followed by answers already.
            said, ancillary, _, _ = self._channel.recvmsg(1 + HELLO.size, _CREDENTIALS_BYTES)
            if said[:1] == b"?":  # why it is not in its sandbox
                said += self._channel.recv(512)
        except OSError as error:
            raise JailDied("a new process did not reach its sandbox in time") from error
        if said[:1] != b"!" or len(said) != 1 + HELLO.size:
            raise JailDied(f"a process could not be sandboxed: {said[1:].decode(errors='replace') or 'it died'}")
        # Its word can be taken: it has read nothing that is not ours, yet.
        self.begun_cpu_s, self.begun_s = (ns / 1e9 for ns in HELLO.unpack_from(said, 1))
        self.host_pid = credentials_of(ancillary)
        self.pidfd = self._jail.identify(self.host_pid)
        self._clock_id = (~self.host_pid << 3) | 2  # CPUCLOCK_SCHED of that process, all its threads
        self._channel.setblocking(False)
        # The OOM killer is to take this process, not the fork server. It cannot be taken back from inside, where /proc
        # is read-only.
        try:
            score_fd = os.open(f"/proc/{self.host_pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(score_fd, b"1000")
            finally:
                os.close(score_fd)
        except OSError as error:
            raise JailDied("a new process is gone") from error

    def __enter__(self) -> "SandboxedProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

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
                waiting = [*self._streams, *([self._refusals_fd] if self._answers else [])]
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

    def _refuse(self) -> None:
        """Answers a system call that waits: of this process's, or of its oracle's."""
        refusals = self._jail.refusals
        assert refusals is not None
        call = refusals.next()
        if call is None:
            return
        identity, pid, number = call
        own = self._is_own(pid)
        allow = own and self._may_fork and makes_process(number)
        if own:
            self._referred += 1
            self.refused_calls += not allow
        refusals.answer(identity, allow)

    def _is_own(self, pid: int) -> bool:
        """Whether a process of the jail, by its pid on the host, stands in this one's PID namespace."""
        try:
            if not self._pid_namespace:
                self._pid_namespace = os.stat(f"/proc/{self.host_pid}/ns/pid").st_ino
            return os.stat(f"/proc/{pid}/ns/pid").st_ino == self._pid_namespace
        except OSError:  # it is gone
            return False

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

    def drain_all(self) -> None:
        """Reads what is left of the output of a process that has ended."""
        for fd in list(self._streams):
            while fd in self._streams:
                before = self._streams[fd].total_bytes
                self._drain(fd)
                if fd in self._streams and self._streams[fd].total_bytes == before:
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

    def read(self, payload: bytes) -> tuple[Any, ...] | None:
        """A message from its bytes; None, and the channel is closed, when it is malformed."""
        try:
            message = codec.decode(payload, budget=REPORT)
        except (codec.CodecError, codec.OverBudget):
            self.closed = self.malformed = True
            return None
        if type(message) is not tuple or not message or type(message[0]) is not str:
            self.closed = self.malformed = True
            return None
        return message

    def ended(self) -> bool:
        """Whether the process has ended."""
        return bool(select.select([self.pidfd], [], [], 0)[0])

    @property
    def channel_fd(self) -> int:
        """The channel's descriptor, for waiting on two processes at once."""
        return self._channel.fileno()

    @property
    def output_bytes(self) -> int:
        """How much it has written so far, both streams together."""
        return self.stdout.total_bytes + self.stderr.total_bytes

    def cpu_time_s(self) -> float:
        """CPU time of the process so far, all threads (and all children's, where it may have any), from the host.

        The worker's time for its refused calls is in it.
        """
        ours_s = self._referred * _REFERRED_CALL_S
        if self.counts_jail:
            return self._jail.cpu_time_s() - self._jail_cpu_s + ours_s
        if self.exited is not None:
            return self.exited.cpu_time_s + ours_s
        try:
            return time.clock_gettime(self._clock_id) + ours_s
        except OSError:  # a dead process whose clock is gone
            return 0.0

    def peak_memory_bytes(self) -> int:
        """The most memory that the process has had so far; 0 when it is gone."""
        _, found, rest = read_proc(self.host_pid, "status").partition(b"VmHWM:")
        return int(rest.split(None, 1)[0]) << 10 if found else 0

    def _kill(self) -> None:
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.close(self.pidfd)
            self.pidfd = -1

    def _close(self) -> None:
        self._channel.close()
        self._drop_bell()
        for fd in self._streams:
            os.close(fd)
        self._streams.clear()

    def end(self) -> Exited:
        """Kills the process and everything that it started, and reaps it. Raises JailDied."""
        if self.exited is None:
            self._kill()
            try:
                self.exited = self._jail.reap(self.jail_pid)
            finally:
                self._close()
        return self.exited

    def discard(self) -> None:
        """Kills the process, unless it has ended; how it ends does not matter, so nobody waits for it."""
        if self.exited is None and self._channel.fileno() >= 0:
            self._kill()
            self._jail.reap_later(self.jail_pid)
            self._close()

    def finish(self) -> Exited:
        """Like `end`, for one that has ended by itself: what it wrote last is read first."""
        self.drain_all()
        return self.end()


INCOMING = codec.Budget(nodes=1_100_000, depth=140, bytes=MAX_FRAME_BYTES)  # an answer's value
REPORT = codec.Budget(nodes=20_000, depth=20, bytes=1 << 20)  # what goes with it, and every other message
