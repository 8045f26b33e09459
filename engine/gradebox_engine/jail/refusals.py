"""The system calls that the kernel refers to the worker: noted, and answered.

Theory of operation. The filter that the fork server loads (`seccomp.common_filter`) neither allows nor refuses what a
program has no business with: the kernel holds the caller and tells the worker, over a descriptor that it got when the
jail started. The answer is EPERM, and the program's result says that it tried; only a program that may have further
processes gets its fork and exec. An answer depends on the number of the call and on who calls, never on memory that
the caller could change meanwhile (seccomp_unotify(2)).

Kernel interface: struct seccomp_notif, struct seccomp_notif_resp and the ioctls of linux/seccomp.h.
"""

import errno
import fcntl
import os
import struct

from gradebox_engine.jail import seccomp

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTIFICATION = struct.Struct("<QIIiIQ6Q")  # id, pid, flags, number, architecture, instruction pointer, arguments
_ANSWER = struct.Struct("<QqiI")  # id, value, error, flags
_CONTINUE = 1
_PROCESS_CALLS = seccomp.more_processes()
FORK, EXEC = seccomp.number_of("clone"), seccomp.number_of("execve")


class Refusals:
    """The listener of one jail. `close` it with the jail."""

    def __init__(self, listener_fd: int) -> None:
        self._fd = listener_fd

    def fileno(self) -> int:
        """For waiting until a call is referred."""
        return self._fd

    def next(self) -> tuple[int, int, int] | None:
        """(id, pid on the host, number) of a call that waits for its answer; None when its caller is gone.

        To be asked only when the descriptor is readable: it waits for a call.
        """
        buffer = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._fd, _RECEIVE, buffer, True)
        except OSError:
            return None
        identity, pid, _, number, *_ = _NOTIFICATION.unpack(buffer)
        return identity, pid, number

    def answer(self, identity: int, allow: bool) -> None:
        """Lets the caller go on: with EPERM, or, `allow`, with its call."""
        data = _ANSWER.pack(identity, 0, 0, _CONTINUE) if allow else _ANSWER.pack(identity, 0, -errno.EPERM, 0)
        try:
            fcntl.ioctl(self._fd, _SEND, bytearray(data), True)
        except OSError:  # the caller is gone, or a signal took it out of its call
            pass

    def close(self) -> None:
        """Calls that are referred from now on give ENOSYS."""
        os.close(self._fd)


def makes_process(number: int) -> bool:
    """Whether a call of this number makes a process, or another program of one."""
    return number in _PROCESS_CALLS
