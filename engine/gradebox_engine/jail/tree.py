"""What a control group does for a jail, for one that has none: done by looking at its processes, in /proc.

Theory of operation. A thread of the worker looks at the jail's processes every few hundredths of a second. When those
of the sandboxes together have more memory than the limit, it ends the largest sandbox, as the OOM killer would, and
counts it: what makes a MEMORY_LIMIT of that is the same code as with a control group. CPU time is added up process by
process, and what a process had used when it was last seen stays counted after its end. The number of tasks is
RLIMIT_NPROC's business, which the sandbox sets in any case: it counts per uid and user namespace, and those are the
jail's own.

Weaker than a control group, and so a tier of its own:
- Memory is bounded by the kernel only per process (`rlimits`: what a process may write to, and its address space); the
  bound on all processes together can be passed for the few hundredths until the next look. Scratch files are bounded by
  their own limit, not counted as memory; neither is kernel memory (page tables, pipes).
- CPU time of children whose parent does not wait for them (SIGCHLD ignored) and that live shorter than the time between
  two looks is not seen. The wall limit is what ends such a program.
"""

import contextlib
import os
import re
import resource
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_LOOK_S = 0.02
_MOST_FOLLOWED = 256  # processes of a program; it may have 64
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_STACKS_BYTES = 512 << 20  # what 64 threads reserve for their stacks; hardly any of it is ever touched


@dataclass
class _Process:
    """What was last seen of one process: CPU seconds of its own, and of the children that it has waited for."""

    started: bytes
    own_s: float
    waited_s: float


def read_proc(pid: int, name: str) -> bytes:
    """A file of /proc/PID, on the host; empty when the process is gone."""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 8192)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _seen(pid: int) -> _Process | None:
    fields = read_proc(pid, "stat").rpartition(b")")[2].split()
    if len(fields) < 20:
        return None
    utime, stime, cutime, cstime = (int(field) / _TICKS_PER_S for field in fields[11:15])
    try:  # finer than ticks
        own_s = time.clock_gettime((~pid << 3) | 2)
    except OSError:
        own_s = utime + stime
    return _Process(fields[19], own_s, cutime + cstime)


def children(pid: int) -> list[int]:
    """The pids of the children of a process, of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, read_proc(pid, f"task/{thread}/children").split())
    return found


def below(pid: int) -> list[int]:
    """A process and those below it. One that forks without end, faster than it is looked at, is not followed so far."""
    family = [pid]
    for member in family:
        if len(family) > _MOST_FOLLOWED:
            break
        family += children(member)
    return family


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had so far, in bytes; 0 when it is gone."""
    return _kibibytes(read_proc(pid, "status"), b"VmHWM")


def _kibibytes(text: bytes, *names: bytes) -> int:
    """The sum, in bytes, of these fields of a file such as /proc/PID/status."""
    total = 0
    for line in text.splitlines():
        name, _, rest = line.partition(b":")
        if name in names:
            total += int(rest.split()[0]) << 10
    return total


def _is_ending(status: bytes) -> bool:
    """Whether a SIGKILL is on its way: what the process still has is as good as given back."""
    pending = re.findall(rb"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)", status, re.MULTILINE)
    return any(int(signals, 16) >> (signal.SIGKILL - 1) & 1 for signals in pending)


def _resident_bytes(pid: int) -> int:
    """Memory that a process has, shared with its parent or not; files that it maps are not counted."""
    status = read_proc(pid, "status")
    return 0 if _is_ending(status) else _kibibytes(status, b"RssAnon", b"RssShmem", b"VmSwap")


def _own_bytes(pid: int) -> int:
    """The same, pages that several processes share counted in parts. Takes the kernel longer."""
    return _kibibytes(read_proc(pid, "smaps_rollup"), b"Pss_Anon", b"Pss_Shmem", b"SwapPss")


class ProcessTree:
    """The processes of one jail. `follow` it once it has started; `remove` ends the looking."""

    name = "rlimits-only"

    def __init__(self) -> None:
        self._root = self._fork_server = 0
        self._lock = threading.Lock()
        self._known: dict[int, _Process] = {}
        self._ended_s = 0.0
        self._limit_bytes = 0
        self._kills = 0
        self._base_bytes = 0
        self._base_data_bytes = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, nsjail_pid: int) -> None:
        """Starts to look at the jail of this nsjail. Raises OSError where the kernel does not tell of children."""
        if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
            raise OSError("without a control group, a kernel with CONFIG_PROC_CHILDREN is needed")
        self._root = nsjail_pid
        (self._fork_server,) = children(nsjail_pid)
        self._base_bytes = _resident_bytes(self._fork_server)
        self._base_data_bytes = _kibibytes(read_proc(self._fork_server, "status"), b"VmData")
        self._thread = threading.Thread(target=self._look, name="process tree", daemon=True)
        self._thread.start()

    def rlimits(self, memory_bytes: int, *, reserves_memory: bool = False) -> tuple[tuple[int, int], ...]:
        """(resource, limit) of each process in a sandbox, beside those that it has in any case.

        None of one that reserves far more than it uses: looking at it is all there is.
        """
        if reserves_memory:
            return ()
        return ((resource.RLIMIT_DATA, self._base_data_bytes + memory_bytes + _STACKS_BYTES),)

    def set_memory(self, limit_bytes: int) -> None:
        """Limits the memory of all sandboxes together."""
        self._limit_bytes = limit_bytes

    def set_tasks(self, limit: int) -> None:
        """Nothing to do: RLIMIT_NPROC limits processes and threads."""

    def oom_kills(self) -> int:
        """How many sandboxes were ended for their memory so far."""
        return self._kills

    def memory_bytes(self) -> int:
        """What the fork server has: nothing that counts, what its children share with it is left out."""
        return 0

    def cpu_time_s(self) -> float:
        """CPU time of everything that was ever seen in the jail; never less than before."""
        with self._lock:
            return self._account()

    def remove(self) -> None:
        """Ends the looking. The processes end with nsjail, which is the init of none but their PID namespace's."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _walk(self) -> dict[int, _Process]:
        """Every process below nsjail, and those seen before that are still there."""
        found: dict[int, _Process] = {}
        waiting = [self._root, *self._known]
        while waiting:
            pid = waiting.pop()
            if pid in found:
                continue
            process = _seen(pid)
            before = self._known.get(pid)
            if process is None or (before is not None and before.started != process.started):
                continue
            found[pid] = process
            waiting += children(pid)
        return found

    def _account(self) -> float:
        """Looks at the clocks. Of those who ended since, either their last figure counts or what was waited for."""
        now = self._walk()
        gone = [process for pid, process in self._known.items() if pid not in now]
        waited_s = sum(
            process.waited_s - (self._known[pid].waited_s if pid in self._known else 0.0)
            for pid, process in now.items()
        )
        # A parent that waited for a child took over what that child had waited for, which is counted already.
        inherited_s = sum(process.waited_s for process in gone)
        self._ended_s += max(0.0, sum(process.own_s for process in gone), waited_s - inherited_s)
        self._known = now
        return self._ended_s + sum(process.own_s for process in now.values())

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_S):
            sandboxes = children(self._fork_server)
            if not sandboxes:
                continue
            with self._lock:
                self._account()
            self._bound(sandboxes)

    def _bound(self, sandboxes: list[int]) -> None:
        """Ends the largest sandbox when together they have more memory than the limit."""
        limit = self._limit_bytes
        families = {pid: below(pid) for pid in sandboxes}

        def used(of: int) -> int:
            return sum(max(0, _resident_bytes(pid) - self._base_bytes) for pid in families[of])

        sizes = {pid: used(pid) for pid in sandboxes}
        if not limit or sum(sizes.values()) <= limit:
            return
        if any(len(family) > 1 for family in families.values()):
            sizes = {pid: sum(map(_own_bytes, family)) for pid, family in families.items()}
            if sum(sizes.values()) <= limit:
                return
        largest = max(sizes, key=sizes.__getitem__)
        with contextlib.suppress(OSError):  # it has just ended
            pidfd = os.pidfd_open(largest)
            try:
                if largest in children(self._fork_server):  # still the one that was measured
                    self._kills += 1
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)
