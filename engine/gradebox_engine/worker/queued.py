"""How long processes have waited for a processor: the machine's load, not their own doing."""

import os
import time

from gradebox_engine.jail.tree import read_proc

_BETWEEN_LOOKS_S = 0.02


class Queued:
    """Time that processes, their threads and their descendants have stood in the queue for a processor; seconds.

    The kernel counts it for each thread and forgets it with the thread, so it has to be looked at now and then: what
    a thread has waited since the last look goes with it. Of the time between two looks, all of it counts at most,
    however many have waited: this is what a clock on the wall is to be stopped for.
    """

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._waited_ns: dict[int, int] = {}  # of a thread, at the last look
        self.restart()

    def restart(self) -> None:
        """Counts from now on."""
        self._looked_s = time.monotonic()
        self.queued_s = 0.0

    def look(self) -> float:
        """How long it is so far; costs a few files to read."""
        now = time.monotonic()
        if now - self._looked_s < _BETWEEN_LOOKS_S:
            return self.queued_s
        waited_ns: dict[int, int] = {}
        for pid in self._pids:
            _read_tree(pid, waited_ns)
        more_ns = sum(max(0, ns - self._waited_ns.get(thread, 0)) for thread, ns in waited_ns.items())
        self.queued_s += min(more_ns / 1e9, now - self._looked_s)
        self._waited_ns, self._looked_s = waited_ns, now
        return self.queued_s


def _read_tree(pid: int, waited_ns: dict[int, int]) -> None:
    """Adds the nanoseconds that each thread of a process and of all below it has waited; none of one that is gone."""
    processes = [pid]
    while processes:
        member = processes.pop()
        try:
            threads = os.listdir(f"/proc/{member}/task")
        except OSError:
            continue
        for thread in threads:
            fields = read_proc(member, f"task/{thread}/schedstat").split()
            if len(fields) > 1:
                waited_ns[int(thread)] = int(fields[1])
            processes += map(int, read_proc(member, f"task/{thread}/children").split())
