"""What grading one test case came to."""

import os
import signal
from dataclasses import dataclass
from typing import Any

from gradebox_engine.jail.launch import Exited
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.judge.evaluate import Decision, describe, raised_decision
from gradebox_engine.judge.evidence import Evidence
from gradebox_engine.judge.suite import Seal, Verdict
from gradebox_engine.judge.text import shorten
from gradebox_engine.worker.watch import Fault


@dataclass
class TestOutcome:
    """One test case's result; times in seconds, memory in bytes."""

    verdict: Verdict
    seal: Seal
    cpu_time_s: float = 0.0
    wall_time_s: float = 0.0
    memory_bytes: int = 0
    message: str = ""


@dataclass(frozen=True)
class Graded:
    """A submission's outcomes, one a test in index order, and what else was seen of the program."""

    outcomes: list[TestOutcome]
    evidence: list[Evidence]


def seen_of(process: SandboxedProcess, exited: Exited | None = None) -> set[Evidence]:
    """What was seen of a process from outside, whatever it says. exited: how its command ended, if it has one."""
    seen = set()
    exited = exited or process.exited
    status = exited.status if exited else 0
    if process.refused_calls or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS):
        seen.add(Evidence.DENIED_SYSTEM_CALL)  # SIGSYS is what the filters kill by
    if process.malformed:
        seen.add(Evidence.CHANNEL_WRITE)
    return seen


def fault_of(decision: Decision) -> Fault | None:
    """A decision as a fault; None when it is PASSED."""
    return None if decision.verdict is Verdict.PASSED else Fault(decision.verdict, decision.message)


def load_fault(kind: Any, info: Any) -> Fault:
    """The verdict on a program that did not load; `kind` ("compile" or "raised") and `info` are its process's word."""
    if kind == "compile":
        return Fault(Verdict.COMPILE_ERROR, describe(info))
    decision = raised_decision(info)
    # No test has failed yet: an AssertionError of the program's own is an error like any other.
    verdict = Verdict.RUNTIME_ERROR if decision.verdict is Verdict.WRONG_ANSWER else decision.verdict
    return Fault(verdict, shorten("while loading: " + decision.message))


def whole_test_fault(result: Any, kind: str) -> Fault | None:
    """The verdict on a test that ran as a whole, in the oracle or beside the program, from its report (hostile).

    Silence never means passed.
    """
    outcome, info = (result.get("outcome"), result.get("info")) if type(result) is dict else (None, None)
    if outcome == "passed":
        ran = result.get("ran")
        if kind == "unittest" and not (type(ran) is int and ran > 0):
            return Fault(Verdict.WRONG_ANSWER, "no test ran")
        return None
    if outcome == "failed":
        return Fault(Verdict.WRONG_ANSWER, describe(info))
    if outcome == "raised":
        return fault_of(raised_decision(info))
    if outcome == "over_budget":
        return Fault(Verdict.OUTPUT_LIMIT, "an answer is too large to be sent")
    return Fault(Verdict.RUNTIME_ERROR, "the test came to no result")
