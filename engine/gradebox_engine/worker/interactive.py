"""Interactive problems: a judge program and the submission, each reading what the other writes.

Theory of operation. Two processes in two jails: the judge is a special judge (see `special`: its files but output.txt,
its exit status; its message is on standard error) whose standard input is what the submission writes, and the
submission reads what the judge writes. The worker
stands between them and passes bytes on, so that each has its own limits: who floods the other meets its own output
limit, and who is flooded is not blamed. When one of them ends, the other's input ends.

Whose fault it is:
- The submission breaks a limit, or ends otherwise than with status 0: its own, unless the judge has refused it before.
- The judge refuses: WRONG_ANSWER. It accepts and the submission goes on: the submission has until its limits to end.
- Both wait and nothing moves until the wall limit: TIME_LIMIT when the judge waits for the submission (it reads from
  it, or writes what the submission does not read); ENGINE_ERROR when the judge does something else.
- The judge fails: ENGINE_ERROR.
"""

import contextlib
import os
import select
from collections.abc import Callable

from gradebox_engine.jail.launch import Jail
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.jail.tree import read_proc
from gradebox_engine.judge.plan import StdioPlanned
from gradebox_engine.judge.suite import Verdict
from gradebox_engine.limits import Limits
from gradebox_engine.worker.programs import Program
from gradebox_engine.worker.session import Cancelled
from gradebox_engine.worker.special import judge_fault, judge_limits, judge_program
from gradebox_engine.worker.stdio import Ran, Running
from gradebox_engine.worker.watch import Fault, OomWatch

_LONGEST_WAIT_S = 0.05
_DEADLOCK = "program and judge program waited for each other: the program sleeps, or has not flushed what it wrote"
_READ, _WRITE = b"0", b"1"  # numbers of the calls, as /proc/PID/syscall has them on x86-64
_ON_ARM = {"aarch64": (b"63", b"64")}


class _Pipe:
    """The way into one process's standard input; takes whatever comes, and holds what does not fit yet."""

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._write_fd, False)
        self._waiting = bytearray()
        self._ends = False

    def feed(self, data: bytes) -> None:
        """Passes data on."""
        if self._write_fd >= 0:
            self._waiting += data
            self.flush()

    def flush(self) -> None:
        """Passes on what has waited, as much as there is room for."""
        while self._waiting and self._write_fd >= 0:
            try:
                del self._waiting[: os.write(self._write_fd, self._waiting)]
            except BlockingIOError:
                return
            except OSError:  # the other end is closed
                self.close()
        if self._ends:
            self.close()

    def end(self) -> None:
        """Nothing more will come."""
        self._ends = True
        self.flush()

    @property
    def waits_on(self) -> int | None:
        """The descriptor that has to become writable, if any."""
        return self._write_fd if self._waiting and self._write_fd >= 0 else None

    def close_read(self) -> None:
        """The process has its end."""
        os.close(self.read_fd)
        self.read_fd = -1

    def close(self) -> None:
        """Closes our ends."""
        self._waiting.clear()
        for fd in (self._write_fd, self.read_fd):
            if fd >= 0:
                os.close(fd)
        self._write_fd = self.read_fd = -1


def interact(
    jail: Jail,
    program: Program,
    judge_jail: Jail,
    test: StdioPlanned,
    limits: Limits,
    oom: OomWatch,
    cancelled: Callable[[], bool],
) -> tuple[Ran, Fault | None]:
    """Runs the two against each other. Returns the submission's run, and what is wrong with it.

    Raises JailDied, Cancelled.
    """
    with contextlib.ExitStack() as stack:
        to_judge, to_program = _Pipe(), _Pipe()
        stack.callback(to_judge.close)
        stack.callback(to_program.close)
        its_limits = judge_limits(limits, len(test.stdin) + len(test.expected_stdout))
        judging = Running(
            judge_jail, judge_program(test), to_judge.read_fd, its_limits, OomWatch(judge_jail), frozenset()
        )
        stack.enter_context(judging.process)
        to_judge.close_read()
        running = Running(jail, program, to_program.read_fd, limits, oom, frozenset())
        stack.enter_context(running.process)
        to_program.close_read()
        judging.process.stdout.forward = to_program.feed
        running.process.stdout.forward = to_judge.feed
        return _Talk(running, judging, to_program, to_judge, cancelled).result()


class _Talk:
    def __init__(
        self, running: Running, judging: Running, to_program: _Pipe, to_judge: _Pipe, cancelled: Callable[[], bool]
    ) -> None:
        self._running = running
        self._judging = judging
        self._to_program = to_program
        self._to_judge = to_judge
        self._cancelled = cancelled

    def result(self) -> tuple[Ran, Fault | None]:
        """Passes on what they write until both have ended, or one of them breaks a limit."""
        ran: Ran | None = None
        judged: Ran | None = None
        while ran is None or judged is None:
            self._wait(ran is None, judged is None)
            if ran is None and (ended := self._look(self._running)) is not None:
                blames_judge = _timed_out(ended[0]) and judged is None and not _waits_for_other(self._judging.process)
                ran = self._running.end(ended[0])
                self._to_judge.end()
                if blames_judge:
                    return ran, Fault(Verdict.ENGINE_ERROR, "the judge program neither answered nor read in time")
                if ended[0] is not None and judged is None:  # it broke a limit: the judge has nothing to wait for
                    return ran, Fault(Verdict.TIME_LIMIT, _DEADLOCK) if _timed_out(ended[0]) else ended[0]
            if judged is None and (ended := self._look(self._judging)) is not None:
                if _timed_out(ended[0]) and ran is None and _waits_for_other(self._judging.process):
                    fault = Fault(Verdict.TIME_LIMIT, _DEADLOCK)
                    return self._running.end(fault), fault
                judged = self._judging.end(ended[0])
                self._to_program.end()
                if ran is None and (refused := judge_fault(judged, judged.stderr)) is not None:
                    return self._running.end(refused), refused
        # The program cannot have noticed the judge's end before we did: how it ended is its own doing.
        return ran, ran.fault or judge_fault(judged, judged.stderr)

    def _look(self, one: Running) -> tuple[Fault | None] | None:
        """Whether it has ended (None inside), or broken a limit; None: it goes on."""
        process = one.process
        while (payload := process.next_payload()) is not None:
            one.take(payload)
        if (fault := one.watch.exceeded()) is not None:
            return (fault,)
        if not process.ended():
            return None
        while process.wait(0.0) and not process.closed:
            pass
        while (payload := process.next_payload()) is not None:
            one.take(payload)
        process.drain_output()
        return (None,)

    def _wait(self, program_runs: bool, judge_runs: bool) -> None:
        """Waits until one of them has written, read or ended; passes on what there is."""
        poller = select.poll()
        going = [one for one, runs in ((self._running, program_runs), (self._judging, judge_runs)) if runs]
        for one in going:
            for fd in (*one.process.descriptors(), one.process.pidfd):
                poller.register(fd, select.POLLIN)
        for pipe in (self._to_program, self._to_judge):
            if pipe.waits_on is not None:
                poller.register(pipe.waits_on, select.POLLOUT)
        timeout_s = min(_LONGEST_WAIT_S, *(one.watch.timeout_s() for one in going))
        ready = {fd for fd, _ in poller.poll(timeout_s * 1000)}
        for one in going:
            if not ready.isdisjoint(one.process.descriptors()):
                one.process.wait(0.0)
        for pipe in (self._to_program, self._to_judge):
            pipe.flush()
        if self._cancelled():
            raise Cancelled


def _timed_out(fault: Fault | None) -> bool:
    """Whether it is the wall limit that was broken: nobody worked, somebody waited."""
    return fault is not None and fault.verdict is Verdict.TIME_LIMIT and "wall" in fault.message


def _waits_for_other(process: SandboxedProcess) -> bool:
    """Whether a judge stands in a read of its standard input, or in a write to its standard output."""
    read, write = _ON_ARM.get(os.uname().machine, (_READ, _WRITE))
    fields = read_proc(process.host_pid, "syscall").split()
    return len(fields) > 1 and (fields[0], int(fields[1], 16)) in ((read, 0), (write, 1))
