"""Whole programs: source in, standard input in, output and exit status out."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gradebox_engine.jail.channel import INCOMING, REPORT
from gradebox_engine.jail.launch import Exited, Jail
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.judge.evaluate import raised_decision
from gradebox_engine.judge.evidence import Evidence
from gradebox_engine.judge.suite import Verdict
from gradebox_engine.judge.text import shorten
from gradebox_engine.limits import Limits
from gradebox_engine.worker.outcome import load_fault, seen_of
from gradebox_engine.worker.programs import Program
from gradebox_engine.worker.running import until_exit
from gradebox_engine.worker.session import THREADS
from gradebox_engine.worker.watch import Fault, OomWatch, Watch, cause_of_death, memory_fault

MAX_FETCHED_BYTES = 64 << 20  # of all files that one run leaves
_NAMES_ERROR = re.compile(
    r"^(?:Uncaught )?[\w.$]*(?:Error|Exception)\b|^Exception in |^panic: |panicked at|^terminate called|^fatal error"
    r"|[Aa]ssert"
)


@dataclass(frozen=True)
class Ran:
    """One run of a whole program; times in seconds. `fault` is None when it ended by itself with status 0.

    raised: the type of the exception that ended it, by its process's word; "" for none, and where there is no word.
    """

    fault: Fault | None
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    cpu_time_s: float
    wall_time_s: float
    memory_bytes: int
    evidence: frozenset[Evidence] = frozenset()
    files: dict[str, bytes] = field(default_factory=dict)
    raised: str = ""


def input_file(data: bytes) -> int:
    """A file in memory that holds the standard input: nothing to feed, so nothing to block on."""
    fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class _Report:
    """What a process says of its end, and the files that it leaves. All of it is hostile, and bounded."""

    def __init__(self, process: SandboxedProcess, fetch: frozenset[str]) -> None:
        self._process = process
        self._fetch = fetch
        self._bytes = 0
        self.ended: Any = None  # of a Python program: ("ended", status, info)
        self.exited: Exited | None = None
        self.files: dict[str, bytes] = {}

    def take(self, payload: bytes) -> Fault | None:
        """Takes one message; what is none that is expected explains nothing."""
        match self._process.read(payload, INCOMING if self._fetch else REPORT):
            case ("ended", _, _) as message:
                self.ended = message
            case ("exited", status, peak_bytes) if _is_status(status) and type(peak_bytes) is int:
                self.exited = Exited(status, 0.0, max(0, min(peak_bytes, 1 << 50)))
            case ("file", name, content) if name in self._fetch and type(content) is bytes:
                self._bytes += len(content)
                if self._bytes > MAX_FETCHED_BYTES:
                    return Fault(Verdict.OUTPUT_LIMIT, f"its files have more than {MAX_FETCHED_BYTES} bytes")
                self.files[name] = content
        return None

    @property
    def raised(self) -> str:
        """The type of the exception that ended a Python program."""
        info = self.ended[2] if self.ended is not None else None
        name = info.get("type") if type(info) is dict else None
        return name if type(name) is str else ""


def _is_status(status: Any) -> bool:
    return type(status) is int and 0 <= status <= 0xFFFF and (os.WIFEXITED(status) or os.WIFSIGNALED(status))


def run(
    jail: Jail,
    program: Program,
    stdin: bytes,
    limits: Limits,
    oom: OomWatch,
    cancelled: Callable[[], bool],
    fetch: Sequence[str] = (),
) -> Ran:
    """Runs a whole program to its end. fetch: the files that it was ordered to tell. Raises JailDied, Cancelled."""
    input_fd = input_file(stdin)
    try:
        running = Running(jail, program, input_fd, limits, oom, frozenset(fetch))
    finally:
        os.close(input_fd)
    with running.process:
        fault = until_exit(running.process, running.watch, cancelled, running.take)
        return running.end(fault)


class Running:
    """A whole program's process, until its end. Raises JailDied."""

    def __init__(
        self, jail: Jail, program: Program, stdin: int, limits: Limits, oom: OomWatch, fetch: frozenset[str]
    ) -> None:
        program.put_on_shelf(jail)
        jail.limit(limits.memory_bytes, limits.processes + THREADS + len(program.granted))
        self._program = program
        self._limits = limits
        self._oom = oom
        self.process = program.start(jail, limits, stdin=stdin)
        self.watch = Watch(self.process, limits, from_hello=True)
        self._report = _Report(self.process, fetch)
        self.take = self._report.take

    def end(self, fault: Fault | None) -> Ran:
        """Ends the process, which has ended by itself where there is no fault. Raises JailDied."""
        process, report, program = self.process, self._report, self._program
        fault = fault or self.watch.overspent()
        wall_time_s, cpu_time_s = self.watch.wall_time_s(), self.watch.cpu_time_s()
        exited = process.end() if fault else process.finish()
        if program.tells_exit and report.exited is not None and os.WIFEXITED(exited.status):
            exited = replace(report.exited, cpu_time_s=exited.cpu_time_s)
        fault = fault or end_fault(process, program, exited, report.ended, self._limits, self._oom, cpu_time_s)
        code = os.waitstatus_to_exitcode(exited.status)
        return Ran(
            fault=fault,
            exit_code=code if code >= 0 else None,
            stdout=bytes(process.stdout.kept),
            stderr=bytes(process.stderr.kept),
            cpu_time_s=cpu_time_s or exited.cpu_time_s,
            wall_time_s=wall_time_s,
            memory_bytes=exited.memory_bytes,
            evidence=frozenset(seen_of(process, exited)),
            files=report.files,
            raised=report.raised,
        )


def end_fault(
    process: SandboxedProcess,
    program: Program,
    exited: Exited,
    said: Any,
    limits: Limits,
    oom: OomWatch,
    cpu_time_s: float,
) -> Fault | None:
    """What is wrong with how a program ended that had broken no limit until then; None: nothing."""
    code = os.waitstatus_to_exitcode(exited.status)
    if process.output_bytes > limits.output_bytes:
        return Fault(Verdict.OUTPUT_LIMIT, f"wrote more than {limits.output_bytes} bytes")
    if limits.processes > 1 and oom.fired():
        return memory_fault(limits)
    if code == 0:
        return None
    death = cause_of_death(exited, oom, limits, cpu_time_s)
    if any(text in process.stderr.kept for text in program.out_of_memory):
        return memory_fault(limits)
    return _exit_fault(code, said, process, death)


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
    line = telling_line(process.stderr.kept)
    return Fault(Verdict.RUNTIME_ERROR, shorten(f"exit status {code}" + (f": {line}" if line else "")))


def telling_line(stderr: bytes | bytearray) -> str:
    """The line of a program's last words that says most.

    Python's is the last; Java, Go, Rust and JavaScript write where it happened below it.
    """
    lines = [line.strip() for line in stderr[-4096:].decode(errors="replace").splitlines() if line.strip()]
    if not lines or any(line.startswith("Traceback (most recent") for line in lines):
        return (lines or [""])[-1]
    return next((line for line in lines if _NAMES_ERROR.search(line)), lines[-1])
