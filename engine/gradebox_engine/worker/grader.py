"""Grades one submission: runs a plan's tests over a program and turns the evidence into one outcome a test.

The judge decides what each test needs by its text alone (`judge.plan`); here it is only carried out: whole-program
tests get a process each; the others share one process that has loaded the program, until one of them times out or
kills it, and the rest get a fresh one.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from gradebox_engine.images.image import PYTHON
from gradebox_engine.jail.launch import Jail
from gradebox_engine.judge.compare import check_stdout
from gradebox_engine.judge.evaluate import Undecided, decide
from gradebox_engine.judge.evidence import Evidence
from gradebox_engine.judge.fast import FastTest
from gradebox_engine.judge.plan import (
    GeneralTest,
    InProcessTest,
    PlannedTest,
    StdioPlanned,
    Unrunnable,
    WholeProgramTest,
    plan,
)
from gradebox_engine.judge.suite import Suite, Verdict
from gradebox_engine.judge.text import shorten
from gradebox_engine.limits import Limits
from gradebox_engine.worker import stdio
from gradebox_engine.worker.compiler import Compiler
from gradebox_engine.worker.interactive import interact
from gradebox_engine.worker.outcome import Graded, TestOutcome, fault_of, whole_test_fault
from gradebox_engine.worker.programs import Files, Program, command, python_program
from gradebox_engine.worker.session import Answer, Session
from gradebox_engine.worker.special import assertion_fault, special_judge
from gradebox_engine.worker.watch import Fault, OomWatch, Watch, over_cpu_limit, over_output_limit
from gradebox_inside import orders

# The fast path's calls go out in batches, so that a hostile program never makes the worker hold too many answers.
_BATCH = 256


class Prepared:
    """A problem as the worker keeps it: its suite, its plan, and what is the same for every program.

    heavy: its tests import a heavy module of the image.
    """

    def __init__(self, suite: Suite, *, heavy: bool = False) -> None:
        self.suite = suite
        self.heavy = heavy
        self.plan = plan(suite)
        self._messages: dict[tuple[int, int], bytes] = {}

    def calls(self, batch: list[FastTest]) -> bytes:
        """The message with a batch's calls."""
        key = (batch[0].index, len(batch))
        message = self._messages.get(key)
        if message is None:
            trees = [tree for test in batch for tree in test.trees]
            flags = [{"consume": consume} for test in batch for consume in test.consume]
            message = self._messages[key] = orders.pack(("calls", 0, trees, flags))
        return message


class Grader:
    """Grades programs for one problem at a time in one jail. Not thread-safe.

    judge_jail: where judge programs run, no submission ever does. compiler: of languages other than Python.
    """

    def __init__(
        self, jail: Jail, cancelled: Callable[[], bool], judge_jail: Callable[[], Jail], compiler: Compiler
    ) -> None:
        self._jail = jail
        self._cancelled = cancelled
        self._judge_jail = judge_jail
        self._compiler = compiler

    def grade(self, problem: Prepared, source: bytes, stop_early: bool) -> Graded:
        """Grades one program. Raises JailDied and Cancelled."""
        return _Submission(
            self._jail, problem, source, stop_early, self._cancelled, self._judge_jail, self._compiler
        ).grade()

    def run(
        self, language: str, source: bytes, stdin: bytes, limits: Limits, files: Files = (), fetch: Sequence[str] = ()
    ) -> stdio.Ran | Fault:
        """Runs a whole program; a fault where it does not compile. Raises JailDied and Cancelled."""
        oom = OomWatch(self._jail)
        try:
            program = python_program(source, files, fetch)
            if language != PYTHON:
                how = self._jail.image.commands[language]
                compiled = self._compiler.compile(self._jail, how, source, oom, self._cancelled)
                if isinstance(compiled, Fault):
                    return compiled
                program = command(self._jail.image, how, compiled, limits, files, fetch)
            return stdio.run(self._jail, program, stdin, limits, oom, self._cancelled, fetch)
        finally:
            self._jail.decoys_opened()


class _Submission:
    def __init__(
        self,
        jail: Jail,
        problem: Prepared,
        source: bytes,
        stop_early: bool,
        cancelled: Callable[[], bool],
        judge_jail: Callable[[], Jail],
        compiler: Compiler,
    ) -> None:
        self._judge_jail = judge_jail
        self._compiler = compiler
        self._jail = jail
        self._problem = problem
        self._suite = problem.suite
        self._source = source
        self._stop_early = stop_early
        self._cancelled = cancelled
        self._oom = OomWatch(jail)
        self._with_oracle = problem.plan.needs_oracle
        limits = problem.suite.limits
        self._batch_size = 1 if limits.isolate or limits.processes > 1 else _BATCH
        self._one_by_one = limits.processes > 1  # nothing is sent ahead: each test's part of what it does is known
        self._outcomes: dict[int, TestOutcome] = {}
        self._session: Session | None = None
        self._session_tests: list[int] = []
        self._failed_load: Session | None = None
        self._evidence: set[Evidence] = set()

    def grade(self) -> Graded:
        tests = self._problem.plan.tests
        try:
            position = 0
            while position < len(tests):
                test = tests[position]
                if self._stopped():
                    self._set(test, Fault(Verdict.SKIPPED, "an earlier test failed and the request stops early"))
                elif test.seal < self._suite.min_seal:
                    text = f"its text needs seal {test.seal.name}; the request accepts {self._suite.min_seal.name}"
                    self._set(test, Fault(Verdict.SKIPPED, text))
                elif isinstance(test, Unrunnable):
                    self._set(test, Fault(Verdict.ENGINE_ERROR, test.message))
                elif isinstance(test, StdioPlanned):
                    self._whole_program(test)
                elif isinstance(test, WholeProgramTest):
                    self._with_test(test)
                elif isinstance(test, FastTest):
                    batch = self._batch(tests, position)
                    position += self._fast(batch)
                    continue
                else:
                    self._one(test)
                position += 1
        finally:
            self._close_session()
            if self._jail.decoys_opened():  # asked however this ends, so that it is not told of the next program
                self._evidence.add(Evidence.TEST_FILE_READ)
        return Graded([self._outcomes[test.index] for test in tests], sorted(self._evidence))

    def _stopped(self) -> bool:
        return self._stop_early and any(o.verdict is not Verdict.PASSED for o in self._outcomes.values())

    def _set(self, test: PlannedTest, fault: Fault | None, cpu_time_s: float = 0.0, wall_time_s: float = 0.0) -> None:
        verdict = fault.verdict if fault else Verdict.PASSED
        message = fault.message if fault else ""
        self._outcomes[test.index] = TestOutcome(verdict, test.seal, cpu_time_s, wall_time_s, 0, message)
        self._session_tests.append(test.index)

    def _not_loaded(self, test: PlannedTest) -> None:
        failed = self._failed_load
        assert failed is not None
        self._set(test, failed.fault, failed.load_cpu_time_s, failed.load_wall_time_s)
        self._outcomes[test.index].memory_bytes = failed.memory_bytes

    def _program(self, text: bytes, *, unit_tests: bool = False) -> Program | Fault:
        """What is run for this text, or why it does not compile."""
        if self._suite.language == PYTHON:
            return python_program(text)
        image = self._jail.image
        language = image.commands[self._suite.language]
        compiled = self._compiler.compile(self._jail, language, text, self._oom, self._cancelled, unit_tests=unit_tests)
        if isinstance(compiled, Fault):
            return compiled
        return command(image, language, compiled, self._suite.limits)

    def _whole_program(self, test: StdioPlanned) -> None:
        program = self._program(self._source)
        if isinstance(program, Fault):
            self._set(test, program)
            return
        stdin = test.stdin.encode("utf-8", "surrogatepass")
        limits = self._suite.limits
        if test.checker.kind == "interactive":
            ran, fault = interact(self._jail, program, self._judge_jail(), test, limits, self._oom, self._cancelled)
        else:
            ran = stdio.run(self._jail, program, stdin, limits, self._oom, self._cancelled)
            fault = ran.fault or self._compare(test, ran)
        self._settle_run(test, ran, fault)

    def _compare(self, test: StdioPlanned, ran: stdio.Ran) -> Fault | None:
        if test.checker.kind == "judge":
            return special_judge(self._judge_jail(), test, ran, self._suite.limits, self._cancelled)
        right, message = check_stdout(test.checker, test.expected_stdout, ran.stdout)
        return None if right else Fault(Verdict.WRONG_ANSWER, shorten(message))

    def _with_test(self, test: WholeProgramTest) -> None:
        """Program and test in one source: what goes before them, the program, the test."""
        suite = self._suite
        language = self._jail.image.commands[suite.language]
        parts = [part.encode("utf-8", "surrogatepass") for part in (suite.test_setup, test.source)]
        text = b"\n".join([*([parts[0]] if suite.test_setup else []), self._source, parts[1]])
        tests = language.unit_tests
        program = self._program(
            text, unit_tests=tests is not None and re.search(tests.pattern, test.source) is not None
        )
        if isinstance(program, Fault):
            self._set(test, program)
            return
        ran = stdio.run(self._jail, program, b"", suite.limits, self._oom, self._cancelled)
        self._settle_run(test, ran, assertion_fault(language, ran))

    def _settle_run(self, test: PlannedTest, ran: stdio.Ran, fault: Fault | None) -> None:
        self._evidence |= ran.evidence
        self._outcomes[test.index] = TestOutcome(
            fault.verdict if fault else Verdict.PASSED,
            test.seal,
            ran.cpu_time_s,
            ran.wall_time_s,
            ran.memory_bytes,
            fault.message if fault else "",
        )

    def _batch(self, tests: tuple[PlannedTest, ...], position: int) -> list[FastTest]:
        """The run of fast tests that starts here, as far as one frame and one process may take it."""
        batch: list[FastTest] = []
        for test in tests[position : position + self._batch_size]:
            if not isinstance(test, FastTest) or test.seal < self._suite.min_seal:
                break
            batch.append(test)
        return batch

    def _ready(self, first: bytes | None = None) -> tuple[Session | None, bool]:
        """A session that has loaded the program, and whether `first` went out with the load. None: it does not load."""
        if self._failed_load is not None:
            return None, False
        if self._session is not None:
            return self._session, False
        session = Session.open(
            self._jail,
            self._suite,
            self._source,
            first,
            with_oracle=self._with_oracle,
            oom=self._oom,
            cancelled=self._cancelled,
        )
        self._session, self._session_tests = session, []
        if session.fault is not None:
            self._close_session()
            self._failed_load = session
            return None, False
        return session, first is not None

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
            self._evidence |= session.evidence
            for index in self._session_tests:
                self._outcomes[index].memory_bytes = session.memory_bytes

    def _fast(self, batch: list[FastTest]) -> int:
        """Grades a batch as far as it goes. Returns how many tests have an outcome.

        That is none where it wrote more than one test may: then it starts again, and its tests come one by one. Which
        of them wrote it would else depend on when it is read.
        """
        calls = self._problem.calls(batch)
        # Of a program with children, its own clock is not the whole: it gets its tests one by one, between two looks.
        many = self._suite.limits.processes > 1
        session, sent = self._ready(None if self._one_by_one else calls)
        if session is None:
            fault = self._failed_load.fault if self._failed_load else None
            if fault is not None and fault.verdict is Verdict.OUTPUT_LIMIT and not self._one_by_one:
                return self._start_again([])
            for test in batch:
                self._not_loaded(test)
            return len(batch)
        before_s = session.process.cpu_time_s() if many else 0.0
        before_bytes = 0 if sent else session.drain()
        if not sent:
            session.send(calls)
        session.process.quiet = True
        watch = Watch(session.process, self._suite.limits)
        undecided: list[FastTest] = []
        done = first_answer = 0
        for test in batch:
            answers = session.answers(first_answer, len(test.trees), watch)
            done += 1
            if session.fault is not None:
                self._set(test, session.fault, watch.cpu_time_s(), watch.wall_time_s())
                break
            first_answer += len(test.trees)
            cpu_time_s = (
                session.process.cpu_time_s() - before_s if many else sum(answer.cpu_time_s for answer in answers)
            )
            if not self._decide(test, answers, session, cpu_time_s):
                undecided.append(test)
            if self._stopped():
                break
        session.process.quiet = False
        over = over_output_limit(session.drain() - before_bytes, self._suite.limits)
        if over is not None and not self._one_by_one:
            return self._start_again(batch[:done])
        if over is not None:
            undecided.clear()
            self._set(batch[0], over, watch.cpu_time_s(), watch.wall_time_s())
        if over is not None or session.fault is not None or self._stopped() or self._suite.limits.isolate:
            self._close_session()
        for test in undecided:  # a value that is not plain data, where only Python's own semantics will do
            self._in_oracle(self._problem.plan.as_general(test))
        return done

    def _start_again(self, decided: list[FastTest]) -> int:
        """What these tests came to is forgotten; they and all others are run one by one. Returns how many are done."""
        self._close_session()
        self._failed_load = None
        self._one_by_one, self._batch_size = True, 1
        for test in decided:
            self._outcomes.pop(test.index, None)
        return 0

    def _decide(self, test: FastTest, answers: list[Answer], session: Session, cpu_time_s: float) -> bool:
        """Sets the test's outcome from the program's answers; False when that takes the oracle."""
        # The times are the program's word (unless it may have children): what they gain by a lie is no more than what
        # passes between two looks at the clocks from outside.
        wall_time_s = sum(answer.wall_time_s for answer in answers)
        if (over := over_cpu_limit(cpu_time_s, self._suite.limits)) is not None:
            self._set(test, over, cpu_time_s, wall_time_s)
            return True
        if test.shortcut is not None and answers[0].value == test.shortcut:
            self._set(test, None, cpu_time_s, wall_time_s)
            return True
        outcomes = [answer.outcome(len(answers)) for answer in answers]
        decision = decide(test, outcomes)
        if isinstance(decision, Undecided):
            return False
        if decision.verdict is not Verdict.PASSED:
            for outcome in outcomes:
                session.raised(outcome)
        self._set(test, fault_of(decision), cpu_time_s, wall_time_s)
        return True

    def _one(self, test: GeneralTest | InProcessTest) -> None:
        if isinstance(test, GeneralTest):
            self._in_oracle(test)
            return
        session, _ = self._ready()
        if session is None:
            self._not_loaded(test)
            return
        result, watch = session.run_beside(test.index, test.kind, test.source)
        self._settle(test, session, result, watch)

    def _in_oracle(self, test: GeneralTest) -> None:
        if self._session is not None and not self._session.has_oracle:
            self._close_session()
        self._with_oracle = True
        session, _ = self._ready()
        if session is None:
            self._not_loaded(test)
            return
        result, watch = session.run_in_oracle(test, self._problem.plan)
        self._settle(test, session, result, watch)

    def _settle(self, test: GeneralTest | InProcessTest, session: Session, result: Any, watch: Watch) -> None:
        """Sets the outcome of a test that ran as a whole; ends a session that cannot go on."""
        session.fault = watch.overwritten() or session.fault
        fault = session.fault or watch.overspent() or whole_test_fault(result, test.kind)
        if fault is not None and type(result) is dict:
            session.raised((result.get("outcome"), result.get("info")))
        self._set(test, fault, watch.cpu_time_s(), watch.wall_time_s())
        if session.fault is not None or self._suite.limits.isolate:
            self._close_session()
