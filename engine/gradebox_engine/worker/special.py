"""Verdicts on a whole program's run where comparing its output is not all: judge programs, and tests inside it.

A judge program (special judge, checker) is Python, written by whoever wrote the problem. It runs in a sandbox of its
own, in a jail in which no submission ever runs. What it is given stands on its standard input, as JSON:

    {"stdin": …, "stdout": …, "expected_stdout": …}       of the test case, of the program's run, of the test case

and in files of its folder, which its arguments name as Kattis and testlib have them (input, answer; output):

    sys.argv[1:] == ["input.txt", "answer.txt", "output.txt"]

Bytes of the program's output that are no UTF-8 are lone surrogates in the JSON; the file has them as they were. It says
what it thinks by its exit status, with a message for the result in the first line of its standard output:

    0, 42            right (testlib's _ok, Kattis' accept)
    1, 2, 43         wrong (testlib's _wa and _pe, Kattis' reject); a failed `assert` is one
    anything else    the judge's own failure: an exception, testlib's _fail (3), a limit. That is an ENGINE_ERROR, never
                     the program's fault: a judge has to take whatever a program may write.

Its limits are the engine's defaults, or the test's where these are larger.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace

from gradebox_engine.images.image import Language
from gradebox_engine.jail.launch import Jail
from gradebox_engine.judge.plan import StdioPlanned
from gradebox_engine.judge.suite import Verdict
from gradebox_engine.judge.text import shorten
from gradebox_engine.limits import Limits
from gradebox_engine.worker import stdio
from gradebox_engine.worker.programs import Files, Program, python_program
from gradebox_engine.worker.watch import Fault, OomWatch

RIGHT = frozenset((0, 42))
WRONG = frozenset((1, 2, 43))
INPUT_FILE, ANSWER_FILE, OUTPUT_FILE = "input.txt", "answer.txt", "output.txt"


def judge_limits(limits: Limits, given_bytes: int) -> Limits:
    """What a judge program may use for a test case with these limits; `given_bytes` is what it is given to read."""
    own = Limits()
    return replace(
        own,
        cpu_time_s=max(own.cpu_time_s, limits.cpu_time_s),
        wall_time_s=max(own.wall_time_s, limits.wall_time_s),
        memory_bytes=max(own.memory_bytes, limits.memory_bytes),
        disk_bytes=max(own.disk_bytes, limits.disk_bytes, 2 * given_bytes),
    )


def judge_program(test: StdioPlanned, more: Files = ()) -> Program:
    """The judge of a test case, with the files that it is given."""
    files = [(INPUT_FILE, _bytes(test.stdin)), (ANSWER_FILE, _bytes(test.expected_stdout)), *more]
    source = test.checker.source.encode("utf-8", "surrogatepass")
    return python_program(source, files, argv=[name for name, _ in files])


def special_judge(
    jail: Jail, test: StdioPlanned, ran: stdio.Ran, limits: Limits, cancelled: Callable[[], bool]
) -> Fault | None:
    """None when the judge program takes the run's output. Raises JailDied, Cancelled."""
    question = {
        "stdin": test.stdin,
        "expected_stdout": test.expected_stdout,
        "stdout": ran.stdout.decode("utf-8", "surrogateescape"),
    }
    program = judge_program(test, [(OUTPUT_FILE, ran.stdout)])
    given = json.dumps(question).encode()
    judged = stdio.run(jail, program, given, judge_limits(limits, len(given)), OomWatch(jail), cancelled)
    return judge_fault(judged, judged.stdout)


def judge_fault(judged: stdio.Ran, says: bytes) -> Fault | None:
    """What a judge program's end says of the submission; None: it is right. says: where its message stands."""
    fault = judged.fault
    broke_limit = fault is not None and fault.verdict is not Verdict.RUNTIME_ERROR
    if judged.exit_code in RIGHT and not broke_limit:
        return None
    said = shorten(says[:400].decode(errors="replace").strip().partition("\n")[0])
    # Python itself ends with a status for "wrong" when an exception gets through.
    if judged.exit_code in WRONG and not broke_limit and judged.raised in ("", "SystemExit", "AssertionError"):
        why = said or (fault.message if fault is not None and judged.raised else "")
        return Fault(Verdict.WRONG_ANSWER, shorten("the judge program refused it" + (f": {why}" if why else "")))
    why = fault.message if fault is not None else f"exit status {judged.exit_code}"
    return Fault(Verdict.ENGINE_ERROR, shorten(f"the judge program failed: {why}"))


def assertion_fault(language: Language, ran: stdio.Ran) -> Fault | None:
    """The verdict on a run of program and test in one source; None: passed."""
    if ran.fault is None:
        for text in language.failed_quietly:
            if re.search(b"^" + re.escape(text.encode()), ran.stderr, re.MULTILINE):
                return Fault(Verdict.WRONG_ANSWER, stdio.telling_line(ran.stderr))
        return None
    if ran.fault.verdict is Verdict.RUNTIME_ERROR:
        for text in language.assertion:
            if (found := text.encode()) in ran.stderr or found in ran.stdout:
                line = stdio.telling_line(ran.stderr) or stdio.telling_line(ran.stdout)
                return Fault(Verdict.WRONG_ANSWER, shorten(line))
    return ran.fault


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
