"""Judge programs: special judges and those that talk with the program; whose fault what is."""

from typing import Any

import pytest

import gradebox
from gradebox import Verdict

SUM = """
import json, sys
asked = json.load(sys.stdin)
assert open("input.txt").read() == asked["stdin"]
assert open("answer.txt").read() == asked["expected_stdout"]
assert open("output.txt", "rb").read().decode("utf-8", "surrogateescape") == asked["stdout"]
assert sys.argv[1:] == ["input.txt", "answer.txt", "output.txt"]
numbers = asked["stdout"].split()
if numbers == ["crash"]:
    1 / 0
if numbers == ["spin"]:
    while True: pass
if numbers == ["fail"]:
    sys.exit(3)
if numbers == ["hoard"]:
    hoard = bytearray(4 << 30)
    hoard[::4096] = b"1" * len(hoard[::4096])
if not all(number.isdigit() for number in numbers):
    print("that is no list of numbers")
    sys.exit(43)
print("the sum is", sum(map(int, numbers)))
sys.exit(42 if sum(map(int, numbers)) == int(asked["expected_stdout"]) else 1)
"""

GUESS = """
import sys
secret = int(open("input.txt").read())
for _ in range(12):
    line = sys.stdin.readline()
    if not line.strip().isdigit():
        print("no number", file=sys.stderr)
        sys.exit(1)
    guess = int(line)
    print("equal" if guess == secret else "less" if secret < guess else "more", flush=True)
    if guess == secret:
        sys.exit(0)
print("too many guesses", file=sys.stderr)
sys.exit(1)
"""

HALVES = """
low, high = 0, 1000
while True:
    middle = (low + high) // 2
    print(middle, flush=True)
    said = input()
    if said == "equal":
        break
    low, high = (low, middle - 1) if said == "less" else (middle + 1, high)
"""


def judged(engine: gradebox.Engine, program: str, kind: str, judge: str, stdin: str = "", **limits: Any) -> Any:
    test = {"stdin": stdin, "expected_stdout": "7", "checker": {"kind": kind, "source": judge}}
    limits = {"cpu_time_s": 1, "wall_time_s": 3, **limits}
    return engine.grade([program], tests=[test], limits=limits)[0].tests[0]


@pytest.mark.parametrize(
    ("program", "verdict", "said"),
    [
        ("print(3, 4)", Verdict.PASSED, ""),
        ("print(3, 5)", Verdict.WRONG_ANSWER, "the sum is 8"),
        ("print('three')", Verdict.WRONG_ANSWER, "that is no list of numbers"),
        ("import sys; sys.stdout.buffer.write(bytes([255, 10]))", Verdict.WRONG_ANSWER, "that is no list"),
        ("print('crash')", Verdict.ENGINE_ERROR, "the judge program failed: ZeroDivisionError"),
        ("print('spin')", Verdict.ENGINE_ERROR, "the judge program failed: used more than 5 s of CPU time"),
        ("print('fail')", Verdict.ENGINE_ERROR, "the judge program failed"),
        ("print('hoard')", Verdict.ENGINE_ERROR, "the judge program failed: "),
        ("print(3, 4); raise SystemExit(2)", Verdict.RUNTIME_ERROR, "2"),
    ],
)
def test_a_special_judge(engine: gradebox.Engine, program: str, verdict: Verdict, said: str) -> None:
    result = judged(engine, program, "judge", SUM)
    assert (result.verdict, said in result.message) == (verdict, True), result
    assert result.seal is gradebox.Seal.SEALED


@pytest.mark.parametrize(
    ("judge", "verdict"),
    [
        ("", Verdict.PASSED),
        ("assert False, 'so'", Verdict.WRONG_ANSWER),
        ("import os; os._exit(1)", Verdict.WRONG_ANSWER),
        ("import os; os._exit(9)", Verdict.ENGINE_ERROR),
        ("import os; os.kill(os.getpid(), 9); os.abort()", Verdict.ENGINE_ERROR),
        ("this is no Python", Verdict.ENGINE_ERROR),
        ("import ctypes; ctypes.string_at(0)", Verdict.ENGINE_ERROR),
        ("while True: print('flood')", Verdict.ENGINE_ERROR),
    ],
)
def test_what_a_judge_says_by_its_end(engine: gradebox.Engine, judge: str, verdict: Verdict) -> None:
    judge = judge or "pass"
    assert judged(engine, "print(7)", "judge", judge).verdict is verdict


@pytest.mark.parametrize(
    ("program", "verdict", "said"),
    [
        (HALVES, Verdict.PASSED, ""),
        ("for n in range(1000): print(n, flush=True); input()", Verdict.WRONG_ANSWER, "too many guesses"),
        ("print('x')", Verdict.WRONG_ANSWER, "no number"),
        ("1 / 0", Verdict.RUNTIME_ERROR, "ZeroDivisionError"),
        ("input()", Verdict.TIME_LIMIT, "waited for each other"),
        ("import time; time.sleep(60)", Verdict.TIME_LIMIT, "waited for each other"),
        ("while True: pass", Verdict.TIME_LIMIT, "CPU time"),
        ("import sys\nwhile True: sys.stdout.write('1' * 10000)", Verdict.OUTPUT_LIMIT, ""),
        (HALVES + "raise SystemExit(4)", Verdict.RUNTIME_ERROR, "4"),
        (HALVES + "import time; time.sleep(60)", Verdict.TIME_LIMIT, "wall"),
        (HALVES + "print('more than was asked')", Verdict.PASSED, ""),
        ("import os; os.close(1); os.close(0); os.kill(os.getpid(), 11)", Verdict.RUNTIME_ERROR, "SIGSEGV"),
    ],
)
def test_an_interactive_problem(engine: gradebox.Engine, program: str, verdict: Verdict, said: str) -> None:
    result = judged(engine, program, "interactive", GUESS, "637", wall_time_s=1.5)
    assert (result.verdict, said in result.message) == (verdict, True), result


@pytest.mark.parametrize(
    ("judge", "verdict"),
    [
        ("import time; time.sleep(60)", Verdict.ENGINE_ERROR),
        ("while True: pass", Verdict.ENGINE_ERROR),
        ("1 / 0", Verdict.ENGINE_ERROR),
        ("import sys; sys.stdin.read()", Verdict.TIME_LIMIT),
        ("while True: print('flood' * 100000)", Verdict.ENGINE_ERROR),
        ("import os; os.close(0); os.close(1)", Verdict.PASSED),
    ],
)
def test_a_judge_that_does_not_talk(engine: gradebox.Engine, judge: str, verdict: Verdict) -> None:
    program = "import sys\nprint(1, flush=True)\nsys.stdin.readline()"
    if verdict is Verdict.ENGINE_ERROR and "print" in judge:
        program += "\nimport time\ntime.sleep(60)"
    result = judged(engine, program, "interactive", judge, wall_time_s=1.5)
    assert result.verdict is verdict, result


def test_the_program_cannot_reach_its_judge(engine: gradebox.Engine) -> None:
    """Another jail: no process, no file of it is in sight."""
    program = """
import os
seen = [p for p in os.listdir("/proc") if p.isdigit() and int(p) not in (1, os.getpid())]
seen += [f for f in os.listdir("/tmp")] + [f for f in ("input.txt", "answer.txt") if os.path.exists(f)]
print(637 if not seen else 1, flush=True)
input()
"""
    assert judged(engine, program, "interactive", GUESS, "637").verdict is Verdict.PASSED
