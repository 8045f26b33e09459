"""One sandboxed process, seen from the worker: its start, its refused calls, its clocks, its end.

What it says and writes comes through its `Channel`. Silence costs only its own submission. Its clocks are read here,
on the host's side, from its pid on the host.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gradebox_engine.jail.channel import Channel
from gradebox_engine.jail.launch import (
    ORACLE_UID,
    PROGRAM_UID,
    Exited,
    Jail,
    JailDied,
    credentials_of,
)
from gradebox_engine.jail.refusals import makes_process
from gradebox_engine.jail.tree import below, peak_bytes
from gradebox_engine.limits import Limits
from gradebox_inside.orders import HELLO

_CREDENTIALS_BYTES = socket.CMSG_SPACE(12)  # struct ucred
_HELLO_TIMEOUT_S = 20.0
_MOMENT_S = 0.05
_REFERRED_CALL_S = 5e-5  # what one costs the worker, about; a program that makes many pays for them


class SandboxedProcess(Channel):
    """A program's or an oracle's process. Create with `start`; `end` it always (it is a context manager)."""

    def __init__(self, jail: Jail, limits: Limits, role: str, keep_output: bool, granted: Sequence[int] = ()) -> None:
        super().__init__(limits.output_bytes if keep_output else 0)
        self._jail = jail
        self.jail_pid = 0
        self.host_pid = 0
        self.pidfd = -1  # of the same process, also when its number has gone to another
        self._clock_id = 0
        self._pid_namespace = 0
        self._may_fork = limits.processes > 1
        self._granted = list(granted)
        self._referred = 0
        self.begun_cpu_s = self.begun_s = 0.0  # its CPU time, and the clock on the wall, when its sandbox was closed
        self.refused_calls = 0  # that it, or a process of its own, made
        # With children of its own, its own clock is not the whole tree's: the jail's is, from its start on.
        self.counts_jail = (limits.processes > 1 or bool(granted)) and role == "program"
        self._jail_cpu_s = jail.cpu_time_s() if self.counts_jail else 0.0
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
        granted: Sequence[int] = (),
        supervised: bool = False,
        reserves_memory: bool = False,
        orders: tuple[tuple[Any, ...] | bytes, ...] = (),
    ) -> "SandboxedProcess":
        """Spawns a process and waits until it stands in its sandbox. Raises JailDied.

        granted: calls (FORK, EXEC) that it may make once each, for what is to run in it; none is left for the program.
        supervised, reserves_memory: see `sandbox.enter`.
        orders: messages for it, which it reads when its sandbox is closed. One with a bell is given a moment to do what
        they ask: the worker then wakes up once, for the process, what it says of itself and its answers together.
        """
        self = cls(jail, limits, role, keep_output, granted)
        if role == "program":  # answers its oracle's calls too: one of the two knows whose they are
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
            "supervised": supervised,
            "reserves_memory": reserves_memory,
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
                jail.spawn(spec, descriptors if peer is None else (*descriptors, peer.fileno()))
            finally:
                theirs.close()
                for fd in {null_fd, write_fd, err_fd, bell_fd}:
                    os.close(fd)
            early = not self.counts_jail  # else what it does before the hello is seen could not be told from the rest
            if orders and early:
                self._channel.setblocking(False)
                self.send(*orders)
                if self._bell_fd >= 0:
                    self._poller.poll(min(_MOMENT_S, limits.cpu_time_s) * 1000)
            self.jail_pid = jail.spawned()
            self._hello()
            if orders and not early:
                self.send(*orders)
        except BaseException:
            self._kill()
            self._close()
            raise
        return self

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

    def __enter__(self) -> "SandboxedProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _refuse(self) -> None:
        """Answers a system call that waits: of this process's, or of its oracle's."""
        refusals = self._jail.refusals
        assert refusals is not None
        call = refusals.next()
        if call is None:
            return
        identity, pid, number = call
        own = self._is_own(pid)
        allow = own and makes_process(number) and (self._may_fork or self._grant(number))
        if own:
            self._referred += 1
            self.refused_calls += not allow
        refusals.answer(identity, allow)

    def _grant(self, number: int) -> bool:
        """Whether this is a call that was granted, and is not made yet."""
        if number not in self._granted:
            return False
        self._granted.remove(number)
        return True

    def _is_own(self, pid: int) -> bool:
        """Whether a process of the jail, by its pid on the host, stands in this one's PID namespace."""
        try:
            if not self._pid_namespace:
                self._pid_namespace = os.stat(f"/proc/{self.host_pid}/ns/pid").st_ino
            return os.stat(f"/proc/{pid}/ns/pid").st_ino == self._pid_namespace
        except OSError:  # it is gone
            return False

    def ended(self) -> bool:
        """Whether the process has ended."""
        return bool(select.select([self.pidfd], [], [], 0)[0])

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
        """The most memory that the process, or any that it started, has had so far; of those that are there."""
        return max(map(peak_bytes, below(self.host_pid) if self.counts_jail else (self.host_pid,)))

    def _kill(self) -> None:
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            os.close(self.pidfd)
            self.pidfd = -1

    def end(self) -> Exited:
        """Kills the process and everything that it started, and reaps it. Raises JailDied."""
        if self.exited is None:
            # The kernel adds up what children had where a parent waits for them; those that die with it are not in it.
            lost_bytes = self.peak_memory_bytes() if self.counts_jail else 0
            self._kill()
            try:
                exited = self._jail.reap(self.jail_pid)
                self.exited = replace(exited, memory_bytes=max(exited.memory_bytes, lost_bytes))
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
        self.drain_output()
        return self.end()
