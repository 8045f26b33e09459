"""A program's process, loaded and ready for tests, with its oracle when tests need one.

Theory of operation. `Session.open` starts the program's process and sends it the source; from then on the worker
sends tests, and reads answers, under a `Watch`. When a test breaks a limit or the process dies, the session is closed
(everything in it is killed) and the tests that are left get a new one. The oracle runs test code in a sandbox of its
own; the two talk over a socket pair that the worker made, so that neither holds up the worker.
"""

import contextlib
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from gradebox_engine.jail.channel import INCOMING, REPORT
from gradebox_engine.jail.launch import Jail
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.judge.evaluate import describe, leaves_early
from gradebox_engine.judge.evidence import Evidence, said_by_process
from gradebox_engine.judge.plan import GeneralTest, Plan
from gradebox_engine.judge.suite import CallTest, Suite, Verdict
from gradebox_engine.worker.outcome import load_fault, seen_of
from gradebox_engine.worker.watch import Fault, OomWatch, Watch, cause_of_death, memory_fault
from gradebox_inside import codec
from gradebox_inside.calls import LOADED, split_answer

ORACLE_MEMORY_BYTES = 512 << 20
THREADS = 64  # threads, for each of program and oracle
_SERVED_TIMEOUT_S = 2.0
_LONGEST_US = 10**12
# Answers of one process in all: decoding them is the worker's time, which no limit of the program's counts.
MAX_ANSWER_BYTES = 64 << 20


class Cancelled(Exception):
    """The request that this grading belongs to is no longer wanted."""


class Answer:
    """One answer of the fast path, decoded only as far as it has to be. All of it is the program's word.

    index: -1 when it is no answer at all. value: the encoded value, where that is what it carries.
    """

    __slots__ = ("_payload", "cpu_time_s", "index", "value", "wall_time_s")

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        parts = split_answer(payload)
        self.value: bytes | None = None
        if parts is not None:
            self.index, cpu_us, wall_us, self.value = parts
        else:
            message = self._decoded(REPORT)
            well_formed = message[0] == "answer" and len(message) == 5 and all(type(n) is int for n in message[1:4])
            self.index, cpu_us, wall_us = message[1:4] if well_formed else (-1, 0, 0)
        self.cpu_time_s = min(max(cpu_us, 0), _LONGEST_US) / 1e6
        self.wall_time_s = min(max(wall_us, 0), _LONGEST_US) / 1e6

    def _decoded(self, budget: codec.Budget) -> tuple[Any, ...]:
        try:
            message = codec.decode(self._payload, budget=budget)
        except (codec.CodecError, codec.OverBudget):
            return (None,)
        return message if type(message) is tuple and message else (None,)

    def outcome(self, answers: int = 1) -> Any:
        """What became of the call, as the judge takes it; `answers` of them are held at once, and share a budget."""
        shared = codec.Budget(INCOMING.nodes // answers, INCOMING.depth, INCOMING.bytes)
        message = self._decoded(REPORT if self.value is None else shared)
        return message[4] if len(message) == 5 else ("over_budget",)


class Session:
    """One program's process. `fault` is set when it cannot be used (any more); close it then."""

    def __init__(self, jail: Jail, suite: Suite, oom: OomWatch, cancelled: Callable[[], bool]) -> None:
        self._jail = jail
        self._suite = suite
        self._limits = suite.limits
        self._oom = oom
        self._cancelled = cancelled
        self._stack = contextlib.ExitStack()
        self._oracle_end: socket.socket | None = None
        self._oracle: SandboxedProcess | None = None
        self._serving = False
        self._answer_bytes = 0
        self.process: SandboxedProcess
        self.fault: Fault | None = None
        self.evidence: set[Evidence] = set()
        self.load_cpu_time_s = self.load_wall_time_s = 0.0
        self.memory_bytes = 0

    @classmethod
    def open(
        cls,
        jail: Jail,
        suite: Suite,
        source: bytes,
        first: bytes | None,
        *,
        with_oracle: bool,
        oom: OomWatch,
        cancelled: Callable[[], bool],
    ) -> "Session":
        """Starts a process and loads `source`, then sends `first` at once, to save a turn. Raises JailDied, Cancelled.

        When the program does not load, `fault` says why.
        """
        self = cls(jail, suite, oom, cancelled)
        try:
            self._load(source, first, with_oracle)
        except BaseException:
            self._stack.close()
            raise
        return self

    def _load(self, source: bytes, first: bytes | None, with_oracle: bool) -> None:
        limits, suite = self._limits, self._suite
        self._jail.limit(
            limits.memory_bytes + (ORACLE_MEMORY_BYTES if with_oracle else 0),
            limits.processes + THREADS * (2 if with_oracle else 1),
        )
        peer = None
        if with_oracle:
            self._oracle_end, peer = socket.socketpair()
            self._stack.callback(self._oracle_end.close)
        with_typing = any(isinstance(test, CallTest) for test in suite.tests)
        load = ("load", source, {"name": "program", "with_typing": with_typing})
        orders = (load, first) if first else (load,)
        self.process = SandboxedProcess.start(self._jail, limits, peer=peer, orders=orders)
        if peer:
            peer.close()
        self._stack.push(self.process)
        self.process.quiet = first is not None  # the answers are what there is to wake up for
        watch = Watch(self.process, limits, from_hello=True)
        payload = self._next_payload(watch, self.process)
        message = None if payload is None or payload == LOADED else self._read(self.process, payload)
        if message is not None and message[0] == "noted" and len(message) == 2:
            self.evidence |= said_by_process(message[1])
            message = self._next_message(watch)
        self.load_cpu_time_s, self.load_wall_time_s = watch.cpu_time_s(), watch.wall_time_s()
        if message is None:
            pass
        elif message[0] == "loaded" and len(message) == 2:
            self.evidence |= said_by_process(message[1])
        elif message[0] == "failed" and len(message) == 3:
            self.fault = load_fault(message[1], message[2])
            self.raised(message[1:])
        else:
            self._forged()
        if first is None or self.fault is not None:  # else what it wrote is the first test's, too
            self.fault = watch.overwritten() or self.fault

    def drain(self) -> int:
        """Reads what the program has written so far. Returns how much that is: what comes after belongs to others."""
        self.process.drain_output(self.process.output_bytes + self._limits.output_bytes)
        return self.process.output_bytes

    @property
    def has_oracle(self) -> bool:
        """Whether tests can be run in an oracle beside this program."""
        return self._oracle is not None or self._oracle_end is not None

    def raised(self, outcome: Any) -> None:
        """Looks at what became of a call or a test, by the word of the process: ("raised", info) or something else."""
        if type(outcome) is tuple and len(outcome) == 2 and outcome[0] == "raised" and leaves_early(outcome[1]):
            self.evidence.add(Evidence.EARLY_EXIT)

    def _forged(self) -> None:
        self.evidence.add(Evidence.CHANNEL_WRITE)
        self.fault = Fault(Verdict.RUNTIME_ERROR, "wrote on the engine's channel")

    def _next_message(self, watch: Watch, source: SandboxedProcess | None = None) -> tuple[Any, ...] | None:
        """The next message of the program (or of `source`), or None with `fault` set."""
        source = source or self.process
        payload = self._next_payload(watch, source)
        return None if payload is None else self._read(source, payload)

    def _read(self, source: SandboxedProcess, payload: bytes) -> tuple[Any, ...] | None:
        message = source.read(payload)
        if message is None:
            self._forged()
        return message

    def _next_payload(self, watch: Watch, source: SandboxedProcess) -> bytes | None:
        process = self.process
        while True:
            payload = source.next_payload()
            if payload is not None:
                return payload
            if source is not process and process.has_spoken:  # it is its oracle's turn
                self._forged()
                return None
            fault = watch.exceeded()
            if fault is not None:
                self.fault = fault
                return None
            if process.closed:
                self._died()
                return None
            if source.closed:
                self._oracle_died(source)
                return None
            also = source.channel_fd if source is not process else None
            process.wait(watch.timeout_s(), also)
            if source is not process:
                source.wait(0.0)
            if self._cancelled():
                raise Cancelled

    def _died(self) -> None:
        """The program's end of its channel closed: it died, or it closed it, which comes to the same."""
        used = self.process.cpu_time_s()
        self.drain()
        exited = self.process.end()
        if self.process.malformed:
            self._forged()
            return
        self.fault = cause_of_death(exited, self._oom, self._limits, used)
        if os.WIFEXITED(exited.status):
            self.evidence.add(Evidence.EARLY_EXIT)

    def _oracle_died(self, oracle: SandboxedProcess) -> None:
        exited = oracle.end()
        if self._oom.fired():
            self.fault = Fault(
                Verdict.MEMORY_LIMIT, f"program and test used more than {self._limits.memory_bytes} bytes"
            )
        else:
            self.fault = Fault(Verdict.RUNTIME_ERROR, f"the test ended its own process (status {exited.status})")

    def answers(self, first_index: int, count: int, watch: Watch) -> list[Answer]:
        """The next `count` answers to "calls"; fewer, and `fault` is set, when they do not all come."""
        got: list[Answer] = []
        for index in range(first_index, first_index + count):
            payload = self._next_payload(watch, self.process) if self.fault is None else None
            if payload is None:
                break
            if not self.process.has_spoken:  # what it does from now on is for the next answer
                watch.restart()
            if self._has_fault():
                break
            answer = Answer(payload)
            self._answer_bytes += len(payload)
            if answer.index != index:
                self._forged()
            elif self._answer_bytes > MAX_ANSWER_BYTES:
                self.fault = Fault(Verdict.OUTPUT_LIMIT, "its answers are too large to compare")
            else:
                got.append(answer)
        return got

    def _has_fault(self) -> bool:
        """Whether `fault` is set; a program of which the OOM killer took a child has one, though it goes on."""
        if self._limits.processes > 1 and self._oom.fired():
            self.fault = memory_fault(self._limits)
        return self.fault is not None

    def send(self, message: tuple[Any, ...] | bytes) -> None:
        """Sends a message to the program; one that listens to its oracle is called back first."""
        if self._serving and self._oracle is not None:
            self._oracle.send(("pause",))
            served = self._next_message(Watch(self.process, self._limits, self._oracle))
            if served is not None and served[0] != "served":
                self._forged()
            self._serving = False
        if self.fault is None:
            self.process.send(message)

    def run_beside(self, index: int, kind: str, source: str) -> tuple[Any, Watch]:
        """Runs a test inside the program's process. Returns its result (hostile), or None with `fault` set."""
        self.drain()
        watch = Watch(self.process, self._limits)
        self.send(("in_process", index, kind, self._suite.test_setup, source))
        message = self._next_message(watch) if self.fault is None else None
        if message is not None and not (
            message[0] == "tested" and len(message) == 5 and type(message[1]) is int and message[1] == index
        ):
            self._forged()
        return (None if self._has_fault() or message is None else message[4]), watch

    def run_in_oracle(self, test: GeneralTest, its_plan: Plan) -> tuple[Any, Watch]:
        """Runs a test in the oracle. Returns its result, or None with `fault` set. Raises JailDied, Cancelled."""
        if not self._serving:
            self.process.send(("serve",))
            self._serving = True
        oracle = self._oracle or self._start_oracle(its_plan)
        self.drain()
        watch = Watch(self.process, self._limits, oracle)
        if oracle is None:
            return None, watch
        oracle.send(("test", test.index, test.kind, test.source, {"compared": test.compared}))
        message = self._next_message(watch, oracle)
        if message is None:
            return None, watch
        if message[0] != "tested" or len(message) != 5 or type(message[4]) is not dict:
            self.fault = Fault(Verdict.RUNTIME_ERROR, "the test wrote on the engine's channel")
            return None, watch
        result = message[4]
        if result.get("outcome") == "program_gone":
            self._program_gone(watch)
            return None, watch
        self.process.wait(0.0)  # what it wrote meanwhile came before its last answer to the oracle
        if self.process.malformed or self.process.has_spoken:
            self._forged()
        return (None if self._has_fault() else result), watch

    def _program_gone(self, watch: Watch) -> None:
        """The oracle saw the program's end of their socket close: see what became of it."""
        deadline = time.monotonic() + _SERVED_TIMEOUT_S
        while not self.process.closed and self.fault is None and time.monotonic() < deadline:
            self.process.wait(0.05)
            self.fault = watch.exceeded()
        if self.fault is None and self.process.closed:
            self._died()
        elif self.fault is None:  # alive, and not talking to its oracle as it should
            self._forged()

    def _start_oracle(self, its_plan: Plan) -> SandboxedProcess | None:
        assert self._oracle_end is not None, "the plan has no test for an oracle"
        self._oracle = SandboxedProcess.start(
            self._jail,
            self._limits,
            role="oracle",
            peer=self._oracle_end,
            scratch_of=self.process.jail_pid if its_plan.share_scratch else 0,
        )
        self._oracle_end.close()
        self._stack.push(self._oracle)
        setup_options = {
            "entry_point": self._suite.entry_point,
            "share_random": its_plan.share_random,
            "share_scratch": its_plan.share_scratch,
        }
        self._oracle.send(("setup", self._suite.test_setup, setup_options))
        watch = Watch(self.process, self._limits, self._oracle)
        message = self._next_message(watch, self._oracle)
        if message is not None and message[0] != "ready":
            self.fault = Fault(
                Verdict.RUNTIME_ERROR, "test_setup: " + describe(message[1] if len(message) > 1 else None)
            )
        return self._oracle if self.fault is None else None

    def close(self) -> None:
        """Ends the processes. Their peak memory is known from then on. Raises JailDied."""
        self.evidence |= seen_of(self.process)
        # Its children's memory is told with its end only, and that takes a turn to wait for.
        exited = self.process.end() if self._limits.processes > 1 else self.process.exited
        self.memory_bytes = exited.memory_bytes if exited else self.process.peak_memory_bytes()
        self._stack.close()
