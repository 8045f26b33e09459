"""Where the CPU time of a grading goes: samples of all cores while one way grades, by process and by kind of work.

    python -m tests.benchmarks.cpu_profile [--work asserts] [--way gradebox] [--seconds 10] [--data ../shared/data]

Prints a table of CPU milliseconds a grading. Needs root and perf (apt-get install linux-perf); everything else that
starts meanwhile is in the figures, so it should be nothing.
"""

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from gradebox_engine.bench import ways, workload
from gradebox_engine.bench.measure import Bench, Drivers

SAMPLES_PER_S = 1999
WORK: dict[str, Callable[[Path | None], workload.Workload]] = {
    "asserts": lambda _: workload.sixteen_asserts(),
    "humaneval": workload.humaneval,
    "stdio": lambda _: workload.ten_stdin_cases(),
}
WAYS = {way.name: way for way in (ways.gradebox(), ways.sandbox(), ways.floor(), ways.fork_harness(), ways.python())}

# By the functions of the kernel on a sample's stack; the first line that has one of them names it.
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("page faults", ("exc_page_fault",)),
    ("ends of processes", ("do_exit", "do_group_exit", "release_task", "wait_consider_task")),
    ("new namespaces", ("create_new_namespaces", "ksys_unshare", "__x64_sys_setns")),
    ("clone", ("kernel_clone", "ret_from_fork")),
    ("exec", ("__x64_sys_execve",)),
    ("mounts", ("path_mount", "__x64_sys_mount")),
    ("seccomp", ("__seccomp_filter", "seccomp_set_mode_filter", "seccomp_prepare_filter")),
    ("mapping of memory", tuple(f"__x64_sys_{name}" for name in ("mmap", "munmap", "brk", "mprotect", "madvise"))),
    ("messages", tuple(f"__x64_sys_{name}" for name in (
        "sendmsg", "recvmsg", "sendto", "recvfrom", "read", "write", "writev", "poll", "epoll_wait", "epoll_ctl",
        "select", "pselect6", "pipe2", "socketpair", "close", "close_range", "dup2", "dup3", "ioctl", "shutdown",
        "futex",
    ))),
    ("files and other calls", ("do_syscall_64",)),
)  # fmt: skip


class Roles:
    """Which process is which: those that stand before the sampling by their command, the rest by what starts them."""

    def __init__(self, drivers: Sequence[int]) -> None:
        self._known = dict.fromkeys(psutil.pids(), "")
        for pid in drivers:
            for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
                with contextlib.suppress(psutil.Error):  # a program that has just ended
                    self._known[process.pid] = _role(process, drivers)

    def of(self, pid: int, name: str) -> str:
        """The role of a sampled process; "" for what is not the grading's."""
        if name.startswith(("kworker", "ksoftirqd", "rcu_", "migration")):
            return "kernel threads"
        return "" if pid == 0 or name.startswith("perf") else self._known.get(pid, "program")


def _role(process: psutil.Process, drivers: Sequence[int]) -> str:
    command = " ".join(process.cmdline())
    if process.pid in drivers:
        return "client"
    for role, mark in (("nsjail", "nsjail "), ("worker", "gradebox_engine.worker"), ("fork server", "forkserver.main")):
        if mark in command:
            return role
    return "front" if "gradebox_engine" in command else "other"


def samples(file: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Process, its name and the functions on its stack, innermost first, of each sample."""
    command = ["perf", "script", "-i", str(file), "-F", "comm,pid,ip,sym"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        pid, name = -1, ""
        stack: list[str] = []
        for line in process.stdout:
            if line.strip() and not line[0].isspace():
                name, _, number = line.strip().rpartition(" ")
                pid, name, stack = int(number), name.strip(), []
            elif line.strip():
                address, _, function = line.strip().partition(" ")
                stack.append(function if len(address) == 16 and address.startswith("ffff") else "")
            elif pid >= 0:
                yield pid, name, stack
                pid = -1


def kind_of(stack: Sequence[str]) -> str:
    """What a sample was doing."""
    kernel = [function for function in stack if function]
    if not kernel:
        return "its own code"
    for kind, functions in KINDS:
        if any(function.removeprefix("asm_") in functions for function in kernel):
            return kind
    return "interrupts and scheduling"


def profile(drivers: Drivers, pids: Sequence[int], items: int) -> tuple[Counter[tuple[str, str]], int]:
    """Samples while so many items are graded, by role and kind; and how many units of work that was."""
    roles = Roles(pids)
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        file = Path(folder) / "perf.data"
        command = ["perf", "record", "-a", "-g", "-e", "cpu-clock", "-F", str(SAMPLES_PER_S), "-o", str(file)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as recorder:
            spent = drivers.grade(items)
            recorder.terminate()
        counts = Counter((roles.of(pid, name), kind_of(stack)) for pid, name, stack in samples(file))
    return Counter({key: count for key, count in counts.items() if key[0]}), spent.units


def main() -> int:
    """Profiles one way on one kind of work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", choices=list(WORK), default="asserts")
    parser.add_argument("--way", choices=list(WAYS), default="gradebox")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--data", type=Path)
    arguments = parser.parse_args()
    if shutil.which("perf") is None:
        parser.error("there is no perf: apt-get install linux-perf")
    work, way = WORK[arguments.work](arguments.data), WAYS[arguments.way]
    with Bench(work, [way.name]) as bench:
        drivers = bench.start(way)
        items = drivers.warm_up(arguments.seconds, None)
        counts, units = profile(drivers, drivers.pids, items)
    table = Table("process", "work", "ms", "share", title=f"{way.title}: {work.title}; CPU ms per {work.unit}")
    total = sum(counts.values())
    by_role: Counter[str] = Counter()
    for (role, _), count in counts.items():
        by_role[role] += count
    milliseconds = 1000 / SAMPLES_PER_S / units
    for role, of_role in by_role.most_common():
        table.add_row(role, "", f"{of_role * milliseconds:.2f}", f"{of_role / total:.0%}", style="bold")
        for (its, kind), count in counts.most_common():
            if its == role and count >= total / 200:
                table.add_row("", kind, f"{count * milliseconds:.2f}", f"{count / total:.0%}")
    table.add_row("all", "", f"{total * milliseconds:.2f}", f"{units} {work.unit}s", style="bold")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
