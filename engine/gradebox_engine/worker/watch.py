"""Limits on one test case, read on clocks outside the process that is watched."""

import os
import signal
import time
from dataclasses import dataclass

from gradebox_engine.jail.launch import Exited, Jail
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.judge.suite import Verdict
from gradebox_engine.limits import Limits, longest_wall_time_s
from gradebox_engine.worker.queued import Queued

_CORES = os.cpu_count() or 1
_SHORTEST_WAIT_S = 0.002
_LONGEST_WAIT_S = 0.5
_FIRST_LOOK_S = 0.05
_NAMED_SIGNALS = frozenset(signal.Signals)  # real-time signals are not in it


@dataclass(frozen=True)
class Fault:
    """Why a test case did not come to an answer."""

    verdict: Verdict
    message: str


class Watch:
    """One test case's share of a process's CPU time, wall time and output, from `restart` on.

    The wall limit is a net for sleepers and must not depend on load: time that a thread of the program, a child, or
    the test's own process stood in the queue for a processor is not counted, so a busy machine never makes a
    TIME_LIMIT of an honest program.

    from_hello: a process with orders may be at work before anybody here looks; all of that counts.
    """

    def __init__(
        self,
        process: SandboxedProcess,
        limits: Limits,
        oracle: SandboxedProcess | None = None,
        *,
        from_hello: bool = False,
    ) -> None:
        self._process = process
        self._oracle = oracle
        self._limits = limits
        self._queued = Queued(process.host_pid, *([oracle.host_pid] if oracle else []))
        # A test's own code gets more: every step of it is a message.
        self._oracle_cpu_limit_s = 4 * limits.cpu_time_s + 2
        self.restart()
        if from_hello:
            self._output_bytes = 0
            if not process.counts_jail:
                self._cpu_s, self._start_s = process.begun_cpu_s, process.begun_s

    def restart(self) -> None:
        """A new test case begins now."""
        self._cpu_s = self._process.cpu_time_s()
        self._oracle_cpu_s = self._oracle.cpu_time_s() if self._oracle else 0.0
        self._start_s = time.monotonic()
        self._look_s = self._start_s + self._next_look_s(0.0, _FIRST_LOOK_S)
        self._queued.restart()
        self._output_bytes = self._process.output_bytes

    def cpu_time_s(self) -> float:
        """CPU time of the program since the start of the test case."""
        used = self._process.cpu_time_s() - self._cpu_s
        if self._oracle and self._process.counts_jail:
            used -= self._oracle.cpu_time_s() - self._oracle_cpu_s
        return max(0.0, used)

    def wall_time_s(self) -> float:
        """Wall time since the start of the test case."""
        return time.monotonic() - self._start_s

    def timeout_s(self) -> float:
        """How long to sleep before the next look at the clocks: `exceeded` looks when its time has come."""
        return max(0.0, self._look_s - time.monotonic())

    def _next_look_s(self, cpu_time_s: float, longest_s: float) -> float:
        threads = _CORES if self._process.counts_jail else 1
        return min(longest_s, max(_SHORTEST_WAIT_S, (self._limits.cpu_time_s - cpu_time_s) / threads))

    def overspent(self) -> Fault | None:
        """TIME_LIMIT where too much CPU time is used, also by what has come to an answer before anybody looked."""
        return over_cpu_limit(self.cpu_time_s(), self._limits)

    def overwritten(self) -> Fault | None:
        """OUTPUT_LIMIT where too much was written, also by what has come to an answer before anybody read it."""
        self._process.drain_output(self._output_bytes + self._limits.output_bytes)
        return over_output_limit(self._process.output_bytes - self._output_bytes, self._limits)

    def exceeded(self) -> Fault | None:
        """The limit that the test case has broken, if any. The clocks are read when `timeout_s` has passed."""
        limits = self._limits
        written = over_output_limit(self._process.output_bytes - self._output_bytes, limits)
        if written is not None:
            return written
        now_s = time.monotonic()
        if now_s < self._look_s:
            return None
        cpu_time_s = self.cpu_time_s()
        if (overspent := over_cpu_limit(cpu_time_s, limits)) is not None:
            return overspent
        wall_time_s = now_s - self._start_s
        longest_s = _LONGEST_WAIT_S if wall_time_s > _FIRST_LOOK_S else _FIRST_LOOK_S
        self._look_s = now_s + self._next_look_s(cpu_time_s, longest_s)
        queued_s = self._queued.look() if wall_time_s > _FIRST_LOOK_S else 0.0  # not for every quick test
        if wall_time_s > limits.wall_time_s + queued_s or wall_time_s > longest_wall_time_s(limits):
            return Fault(Verdict.TIME_LIMIT, f"took more than {limits.wall_time_s:g} s of wall time")
        if self._oracle and self._oracle.cpu_time_s() - self._oracle_cpu_s > self._oracle_cpu_limit_s:
            return Fault(
                Verdict.TIME_LIMIT, f"the test's own code used more than {self._oracle_cpu_limit_s:g} s of CPU time"
            )
        return None


def over_output_limit(output_bytes: int, limits: Limits) -> Fault | None:
    """OUTPUT_LIMIT where this much output is too much."""
    if output_bytes <= limits.output_bytes:
        return None
    return Fault(Verdict.OUTPUT_LIMIT, f"wrote more than {limits.output_bytes} bytes")


def over_cpu_limit(cpu_time_s: float, limits: Limits) -> Fault | None:
    """TIME_LIMIT where this much CPU time is too much."""
    if cpu_time_s <= limits.cpu_time_s:
        return None
    return Fault(Verdict.TIME_LIMIT, f"used more than {limits.cpu_time_s:g} s of CPU time")


class OomWatch:
    """Tells whether the OOM killer took a process of this jail since the last look."""

    def __init__(self, jail: Jail) -> None:
        self._jail = jail
        self._seen = jail.oom_kills()

    def fired(self) -> bool:
        """True once for every time that it did."""
        count = self._jail.oom_kills()
        fired = count > self._seen
        self._seen = count
        return fired


def memory_fault(limits: Limits) -> Fault:
    """The verdict on a program of which the OOM killer took a process, be it a child that the program outlives."""
    return Fault(Verdict.MEMORY_LIMIT, f"used more than {limits.memory_bytes} bytes of memory")


def cause_of_death(exited: Exited, oom: OomWatch, limits: Limits, cpu_used_s: float) -> Fault:
    """The verdict on a process that ended when it should not have."""
    if os.WIFSIGNALED(exited.status):
        number = os.WTERMSIG(exited.status)
        if number == signal.SIGKILL and oom.fired():
            return memory_fault(limits)
        if number in (signal.SIGKILL, signal.SIGXCPU) and cpu_used_s > limits.cpu_time_s:
            return Fault(Verdict.TIME_LIMIT, f"used more than {limits.cpu_time_s:g} s of CPU time")
        why = ": a system call that no program here may make" if number == signal.SIGSYS else ""
        name = signal.Signals(number).name if number in _NAMED_SIGNALS else f"signal {number}"
        return Fault(Verdict.RUNTIME_ERROR, f"killed by {name}{why}")
    code = os.waitstatus_to_exitcode(exited.status)
    return Fault(Verdict.RUNTIME_ERROR, f"exited early with status {code}")
