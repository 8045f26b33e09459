# ruff: noqa: E501 (a table of small programs, one a line)
"""A mix of submissions whose every verdict is known, for tests that disturb the engine while it grades.

Those of `KINDS` go through each path of the engine: the fast path, the oracle, beside the program, whole programs,
special judges, several processes; and end in each way: by themselves, by a limit, by a signal. Many of them compute or
sleep for a tenth of a second, to be met by what is killed meanwhile.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradebox
from gradebox_engine import samples

_LIMITS = {"cpu_time_s": 2.0, "memory_bytes": 256 << 20}
_BUSY = "sum(i * i for i in range(1_000_000))"  # some 50 ms
_ADD = "def f(x):\n    return x + 1\n"
_TESTS = [f"assert f({n}) == {n + 1}" for n in range(4)]


@dataclass(frozen=True, eq=False)
class Case:
    """One program of a problem, and its verdict on every test; or, of the shipped sample, what that says of it."""

    name: str
    problem: gradebox.Problem
    program: str
    expected: tuple[str, ...] | samples.Expectation
    weight: float = 1.0

    def deviation(self, result: gradebox.SubmissionResult) -> str | None:
        """What is wrong with a result; None when it is as it should be."""
        got = tuple(test.verdict.name for test in result.tests)
        if isinstance(self.expected, tuple):
            right = got == self.expected
        else:
            right = len(got) == len(self.problem.tests) and self.expected.allows(result.verdict.name, result.pass_rate)
        if right:
            return None
        said = "; ".join(sorted({test.message for test in result.tests if test.message}))[:400]
        return f"{self.name}: expected {self.expected}, got {got}: {said}"


def _case(
    name: str, program: str, tests: Sequence[Any], expected: str, weight: float = 1.0, limits: Any = None, **more: Any
) -> Case:
    """`expected`: one verdict for all the tests, or one each."""
    words = expected.split()
    problem = gradebox.Problem(tests, limits={**_LIMITS, **(limits or {})}, id=name, **more)
    return Case(name, problem, program, tuple(words * len(tests) if len(words) == 1 else words), weight)


def _stdio(count: int = 1) -> list[dict[str, str]]:
    return [{"stdin": f"{n}\n", "expected_stdout": f"{n + 1}\n"} for n in range(count)]


_JUDGE = "import json, sys\nq = json.load(sys.stdin)\nsys.exit(q['stdout'] != q['expected_stdout'])\n"
_CLASS = "class Box:\n    def __init__(self, n):\n        self.n = n\n    def more(self):\n        self.n += 1\n        return self\n"
_FORKS = (
    "import os\ndef f(x):\n    total = 0\n    for _ in range(3):\n        r, w = os.pipe()\n        if os.fork() == 0:\n"
    "            os.write(w, b'x' * (x + 1)); os._exit(0)\n        total += len(os.read(r, 99)); os.wait()\n    return total\n"
)

KINDS = (
    _case("right", _ADD, _TESTS, "PASSED", 10),
    _case("wrong in part", "def f(x):\n    return 2\n", _TESTS, "WRONG_ANSWER PASSED WRONG_ANSWER WRONG_ANSWER", 4),
    _case("raises", "def f(x):\n    return 1 // x\n", _TESTS, "RUNTIME_ERROR WRONG_ANSWER WRONG_ANSWER WRONG_ANSWER", 4),
    _case("computes", f"def f(x):\n    return {_BUSY} * 0 + x + 1\n", _TESTS[:2], "PASSED", 3),
    _case("computes at load", f"{_BUSY}\n{_ADD}", _TESTS, "PASSED", 2),
    _case("sleeps", f"import time\ntime.sleep(0.1)\n{_ADD}", _TESTS, "PASSED", 2),
    _case("sleeps in a call", "import time\ndef f(x):\n    time.sleep(0.05)\n    return x + 1\n", _TESTS, "PASSED"),
    _case("isolated", _ADD, _TESTS, "PASSED", 2, {"isolate": True}),
    _case("syntax", "def f(x)\n", _TESTS, "COMPILE_ERROR", 2),
    _case("exits early", "import os\ndef f(x):\n    os._exit(0)\n", _TESTS[:2], "RUNTIME_ERROR", 2),
    _case("exits at load", "import os\nos._exit(7)\n", _TESTS[:2], "RUNTIME_ERROR", 2),
    _case("aborts", "import os\ndef f(x):\n    os.abort()\n", _TESTS[:2], "RUNTIME_ERROR", 2),
    _case("recursion", "def f(x):\n    return f(x)\n", _TESTS[:2], "RUNTIME_ERROR", 1),
    _case("large answer", "def f(x):\n    return 'a' * 1_000_000\n", ["assert len(f(1)) == 1_000_000"], "PASSED"),
    _case("calls", _ADD, [{"call": {"args": [n]}, "expected": n + 1} for n in range(4)], "PASSED", 3, entry_point="f"),
    _case("oracle", _ADD, ["for n in range(20):\n    assert f(n) == n + 1"] * 3, "PASSED", 4),
    _case("oracle, wrong", "def f(x):\n    return x + (x < 9)\n", ["for n in range(20):\n    assert f(n) == n + 1"], "WRONG_ANSWER", 3),
    _case("oracle, computes", f"def f(x):\n    {_BUSY}\n    return x + 1\n", ["for n in range(2):\n    assert f(n) == n + 1"], "PASSED", 3),
    _case("oracle, class", _CLASS, ["box = Box(1)\nfor _ in range(5):\n    box.more()\nassert box.n == 6"] * 2, "PASSED", 2),
    _case("oracle, dies", "import os\ndef f(x):\n    os._exit(1)\n", ["for n in range(3):\n    assert f(n)"], "RUNTIME_ERROR", 2),
    _case("unittest", _ADD, [{"unittest": "import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 2)\n"}], "PASSED", 2),
    _case("beside", "def f(x):\n    print(x)\n", ["from unittest.mock import patch\nwith patch('builtins.print') as p:\n    f(1)\n    p.assert_called_once_with(1)"], "PASSED", 2),
    _case("stdio", "print(int(input()) + 1)", _stdio(2), "PASSED", 4),
    _case("stdio, computes", f"{_BUSY}\nprint(int(input()) + 1)", _stdio(), "PASSED", 3),
    _case("stdio, sleeps", "import time\ntime.sleep(0.1)\nprint(int(input()) + 1)", _stdio(), "PASSED", 2),
    _case("stdio, wrong", "print(int(input()))", _stdio(), "WRONG_ANSWER", 2),
    _case("stdio, raises", "raise ValueError", _stdio(), "RUNTIME_ERROR", 2),
    _case("stdio, exit 3", "raise SystemExit(3)", _stdio(), "RUNTIME_ERROR"),
    _case("stdio, aborts", "import os; os.abort()", _stdio(), "RUNTIME_ERROR"),
    _case("special judge", "print(int(input()) + 1)", [{**_stdio()[0], "checker": {"kind": "judge", "source": _JUDGE}}], "PASSED", 2),
    _case("fork refused", "import os\ndef f(x):\n    try:\n        os.fork()\n    except OSError:\n        return x + 1\n", _TESTS[:1], "PASSED", 2),
    _case("forks", _FORKS, ["assert f(0) == 3", "assert f(1) == 6"], "PASSED", 2, {"processes": 4}),
    _case("threads", "import threading\ndef f(x):\n    ts = [threading.Thread(target=sum, args=(range(20000),)) for _ in range(8)]\n    [t.start() for t in ts]; [t.join() for t in ts]\n    return x + 1\n", _TESTS[:2], "PASSED"),
    _case("loops", "def f(x):\n    while x == 1: pass\n    return x + 1\n", _TESTS[:3], "PASSED TIME_LIMIT PASSED", 0.6, {"cpu_time_s": 0.2}),
    _case("stdio, loops", "while True: pass", _stdio(), "TIME_LIMIT", 0.4, {"cpu_time_s": 0.2}),
    _case("memory", "def f(x):\n    a = []\n    while True: a.append(bytearray(1 << 20))\n", _TESTS[:1], "MEMORY_LIMIT", 0.6, {"memory_bytes": 64 << 20}),
    _case("stdio, memory", "a = []\nwhile True: a.append(bytearray(1 << 20))", _stdio(), "MEMORY_LIMIT", 0.4, {"memory_bytes": 64 << 20}),
    _case("floods", "def f(x):\n    while True: print('x' * 10_000)\n", _TESTS[:1], "OUTPUT_LIMIT", 0.6, {"output_bytes": 100_000}),
)  # fmt: skip


def of_sample() -> list[Case]:
    """The shipped sample."""
    return [
        Case(
            f"{sample.problem['id']} {expected.kind}",
            gradebox.Problem.from_dict(sample.problem),
            program,
            expected,
            0.01 if expected.kind == "slow" else 0.1,
        )
        for sample in samples.load()
        for program, expected in zip(sample.programs, sample.expected, strict=True)
    ]


def endless(seed: int, cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Random cases, by weight, as items: the same one up to eight times."""
    choose = random.Random(seed)
    weights = [case.weight for case in cases]
    while True:
        for case in choose.choices(cases, weights, k=1000):
            yield [case] * choose.randint(1, 8 if case.weight >= 1 else 1)


def item(cases: list[Case], key: object) -> gradebox.GradeItem:
    """Cases of one problem as the client takes them."""
    return gradebox.GradeItem(cases[0].problem, [case.program for case in cases], key)
