"""Whole programs: source in, standard input in, output and exit status out. Also `Run` and special judges."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradebox_engine.jail.launch import Jail
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.judge.compare import check_stdout
from gradebox_engine.judge.evaluate import raised_decision
from gradebox_engine.judge.evidence import Evidence
from gradebox_engine.judge.plan import StdioPlanned
from gradebox_engine.judge.suite import Verdict
from gradebox_engine.judge.text import shorten
from gradebox_engine.limits import Limits
from gradebox_engine.worker.outcome import load_fault, seen_of
from gradebox_engine.worker.session import THREADS, Cancelled
from gradebox_engine.worker.watch import Fault, OomWatch, Watch, cause_of_death, memory_fault


@dataclass(frozen=True)
class Ran:
    """One run of a whole program; times in seconds. `fault` is None when it ended by itself with status 0."""

    fault: Fault | None
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    cpu_time_s: float
    wall_time_s: float
    memory_bytes: int
    evidence: frozenset[Evidence] = frozenset()


def _input_file(data: bytes) -> int:
    """A file in memory that holds the standard input: nothing to feed, so nothing to block on."""
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def run(jail: Jail, source: bytes, stdin: bytes, limits: Limits, oom: OomWatch, cancelled: Callable[[], bool]) -> Ran:
    """Runs `source` as `__main__`. Raises JailDied, Cancelled."""
    jail.limit(limits.memory_bytes, limits.processes + THREADS)
    input_fd = _input_file(stdin)
    try:
        order = ("stdio", source, ["program.py"])
        process = SandboxedProcess.start(jail, limits, stdin=input_fd, keep_output=True, orders=(order,))
    finally:
        os.close(input_fd)
    with process:
        watch = Watch(process, limits, from_hello=True)
        fault, report = _until_exit(process, watch, cancelled)
        fault = fault or watch.overspent()
        wall_time_s, cpu_time_s = watch.wall_time_s(), watch.cpu_time_s()
        exited = process.end() if fault else process.finish()
    code = os.waitstatus_to_exitcode(exited.status)
    if fault is None and process.output_bytes > limits.output_bytes:
        fault = Fault(Verdict.OUTPUT_LIMIT, f"wrote more than {limits.output_bytes} bytes")
    if fault is None and limits.processes > 1 and oom.fired():
        fault = memory_fault(limits)
    if fault is None and code != 0:
        fault = _exit_fault(code, report, process, cause_of_death(exited, oom, limits, cpu_time_s))
    return Ran(
        fault=fault,
        exit_code=code if code >= 0 else None,
        stdout=bytes(process.stdout.kept),
        stderr=bytes(process.stderr.kept),
        cpu_time_s=cpu_time_s or exited.cpu_time_s,
        wall_time_s=wall_time_s,
        memory_bytes=exited.memory_bytes,
        evidence=frozenset(seen_of(process)),
    )


def _until_exit(process: SandboxedProcess, watch: Watch, cancelled: Callable[[], bool]) -> tuple[Fault | None, Any]:
    """Waits until the process has ended, or has broken a limit. Its own report, if it made one, only explains."""
    report = None
    while True:
        report = process.last_frame() or report
        fault = watch.exceeded()
        if fault is not None:
            return fault, report
        process.wait(watch.timeout_s(), also=process.pidfd)
        if process.ended():
            while process.wait(0.0) and not process.closed:  # what it said last
                report = process.last_frame() or report
            return None, process.last_frame() or report
        if cancelled():
            raise Cancelled


def _exit_fault(code: int, report: Any, process: SandboxedProcess, death: Fault) -> Fault:
    if code < 0 or death.verdict is Verdict.MEMORY_LIMIT:
        return death
    if type(report) is tuple and report and report[0] == "ended" and len(report) == 3 and report[2]:
        info = report[2]
        if type(info) is dict and info.get("kind") == "compile":
            return load_fault("compile", info)
        decision = raised_decision(info)
        return Fault(
            Verdict.MEMORY_LIMIT if decision.verdict is Verdict.MEMORY_LIMIT else Verdict.RUNTIME_ERROR,
            decision.message,
        )
    last = process.stderr.kept[-400:].decode(errors="replace").strip().splitlines()
    return Fault(Verdict.RUNTIME_ERROR, shorten(f"exit status {code}" + (f": {last[-1]}" if last else "")))


def judge_output(
    jail: Jail, test: StdioPlanned, ran: Ran, limits: Limits, oom: OomWatch, cancelled: Callable[[], bool]
) -> Fault | None:
    """None when the output is right. A special judge runs in a sandbox of its own and says so by exit status 0.

    It reads, on its standard input, JSON with `stdin`, `expected_stdout` and `stdout`. Raises JailDied, Cancelled.
    """
    checker = test.checker
    if checker.kind != "judge":
        right, message = check_stdout(checker, test.expected_stdout, ran.stdout)
        return None if right else Fault(Verdict.WRONG_ANSWER, shorten(message))
    question = {
        "stdin": test.stdin,
        "expected_stdout": test.expected_stdout,
        "stdout": ran.stdout.decode("utf-8", "replace"),
    }
    source = checker.source.encode("utf-8", "surrogatepass")
    judged = run(jail, source, json.dumps(question).encode(), limits, oom, cancelled)
    if judged.fault is None:
        return None
    said = judged.stdout[:200].decode(errors="replace").strip()
    return Fault(Verdict.WRONG_ANSWER, shorten(f"the judge program refused it: {said or judged.fault.message}"))
