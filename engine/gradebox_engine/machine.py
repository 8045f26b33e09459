"""What this machine, or the container around us, has: cores and memory that can be promised."""

import math
import os
from pathlib import Path

import psutil

# Beside what a program may use: worker, jail, fork server, and the oracle's process.
WORKER_OVERHEAD_BYTES = 256 << 20
# Left to the rest of the machine and to the front process.
RESERVED_BYTES = 512 << 20

_CGROUP = Path("/sys/fs/cgroup")
_MEMORY_FILES = ("memory.max", "memory/memory.limit_in_bytes")
_V2_CPU_FILE = "cpu.max"
_V1_CPU_FILES = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Cores that this process may run on, within the container's CPU quota; at least 1."""
    cores = len(os.sched_getaffinity(0))
    quota = _cpu_quota(cgroup)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def memory_budget(cgroup: Path = _CGROUP) -> int:
    """Bytes that may be promised to programs and workers together."""
    total = psutil.virtual_memory().total
    for name in _MEMORY_FILES:
        limit = _integers(cgroup / name)
        if limit:
            total = min(total, limit[0])
    return int(max(total - RESERVED_BYTES, total // 2))


def worker_count(memory_bytes: int, *, cores: int, budget: int) -> int:
    """As many workers as there are cores, if each program can have `memory_bytes`; at least 1."""
    return max(1, min(cores, budget // (memory_bytes + WORKER_OVERHEAD_BYTES)))


def memory_ceiling(workers: int, *, budget: int) -> int:
    """The most memory a program can have so that all workers together stay within the budget."""
    return max(budget // workers - WORKER_OVERHEAD_BYTES, budget // workers // 2)


def _cpu_quota(cgroup: Path) -> float | None:
    both = _integers(cgroup / _V2_CPU_FILE)
    if len(both) < 2:
        both = [n for name in _V1_CPU_FILES for n in _integers(cgroup / name)]
    return both[0] / both[1] if len(both) >= 2 and both[0] > 0 and both[1] > 0 else None


def _integers(path: Path) -> list[int]:
    """The integers of a cgroup file; none where there is no such file or no limit ("max", -1)."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return [] if "max" in words else [int(word) for word in words]
