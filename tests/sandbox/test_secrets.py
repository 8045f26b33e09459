"""What must never be in a process that runs a program: the tests' expected values, and anything of an earlier one."""

import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from gradebox_engine.jail.launch import Jail
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.judge.suite import CallTest, CodeTest, Seal, StdioTest, Suite, Test, UnittestTest, Verdict
from gradebox_engine.limits import Ceilings, Limits
from gradebox_engine.worker.compiler import Compiler
from gradebox_engine.worker.grader import Grader, Prepared

Run = Any  # the fixture of conftest.py

LIMITS = Limits(cpu_time_s=20, wall_time_s=90, memory_bytes=256 << 20, disk_bytes=16 << 20)

# Looks for two halves that stand side by side, without ever putting them together.
SEARCH = '''
def found(first, second):
    """How often the halves stand side by side in this process's memory."""
    first, second, count = first.encode(), second.encode(), 0
    for line in open("/proc/self/maps"):
        fields = line.split()
        if fields[1][0] != "r" or fields[-1].startswith("[v"):
            continue
        start, end = (int(part, 16) for part in fields[0].split("-"))
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(start)
            data = memory.read(end - start)
        at = data.find(first)
        while at >= 0:
            count += data[at + len(first) : at + len(first) + len(second)] == second
            at = data.find(first, at + 1)
    return count
'''


class Markers:
    """Random texts by name, which stand nowhere else in any memory."""

    def __init__(self) -> None:
        self.halves: dict[str, tuple[str, str]] = {}

    def __call__(self, name: str) -> str:
        """The whole text of a name, always the same."""
        first, second = self.halves.setdefault(name, (os.urandom(6).hex(), os.urandom(6).hex()))
        return first + second


def grade(jail: Jail, source: str, *tests: Test, setup: str = "", prepared: Prepared | None = None) -> Any:
    """One outcome a test."""
    suite = Suite(tests=tests, entry_point="f", test_setup=setup, limits=LIMITS)
    grader = Grader(jail, lambda: False, lambda: jail, Compiler(Ceilings()))
    return grader.grade(prepared or Prepared(suite), source.encode(), False).outcomes


CASE = """
import unittest
from unittest import mock
class T(unittest.TestCase):
    def test(self):
        {with_}self.assertEqual(f({one!r}, {two!r}), {expected!r})
"""


def of_all_kinds(one: str, two: str, expected: str) -> list[Test]:
    """f(one, two) == expected, asked in every way; the last one runs beside the program."""
    names = {"one": one, "two": two, "expected": expected}
    return [
        CodeTest(f"assert f({one!r}, {two!r}) == {expected!r}"),
        CallTest((one, two), {}, expected),
        CodeTest(f"for a, b in [({one!r}, {two!r})]:\n    assert f(a, b) == {expected!r}"),
        UnittestTest(CASE.format(with_="", **names)),
        StdioTest(f"{one} {two}", expected),
        UnittestTest(CASE.format(with_="with mock.patch('program.g', 1): ", **names)),
    ]


TELLS_WHAT_IT_FINDS = (
    SEARCH
    + """
g = 0
def f(first, second):
    return first + second if found(first, second) else "nothing"
if __name__ == "__main__":
    print(f(*input().split()))
"""
)


def test_expected_values_are_in_no_programs_memory(jail: Jail) -> None:
    markers = Markers()
    tests = []
    for n in range(6):
        expected = markers(str(n))
        tests.append(of_all_kinds(*markers.halves[str(n)], expected)[n])
    *sealed, beside = grade(jail, TELLS_WHAT_IT_FINDS, *tests)
    assert [(o.verdict, o.seal) for o in sealed] == [(Verdict.WRONG_ANSWER, Seal.SEALED)] * 5, sealed
    # The control: where a test's text is in the process, this search finds what it expects.
    assert (beside.verdict, beside.seal) == (Verdict.PASSED, Seal.IN_PROCESS), beside


LOOK = """
import sys
for line in sys.stdin.read().split("\\n"):
    name, first, second = line.split("|")
    if found(first, second):
        print(name)
"""
FIRST = """
g = {source!r}
def f(a, b):
    return a
if __name__ == "__main__":
    print(input(), {output!r})
"""


def test_nothing_of_an_earlier_submission_is_in_memory(jail: Jail, run: Run) -> None:
    m = Markers()
    source = FIRST.format(source=m("source"), output=m("output"))
    kinds = [of_all_kinds(m(f"argument {n}"), m(f"second argument {n}"), m(f"expected {n}"))[n] for n in range(6)]
    outcomes = grade(jail, source, *kinds, setup=f"helper = {m('setup')!r}\n")
    assert {o.verdict for o in outcomes} == {Verdict.WRONG_ANSWER}, outcomes
    stdin = "\n".join(f"{name}|{first}|{second}" for name, (first, second) in m.halves.items()).encode()
    assert len(m.halves) == 21
    ran = run(SEARCH + LOOK, stdin=stdin, cpu_time_s=20)
    assert (ran.fault, ran.stdout) == (None, b""), ran
    control = run(f"own = {m('source')!r}\n" + SEARCH + LOOK, stdin=stdin, cpu_time_s=20)
    assert control.stdout == b"source\n", "the search does not find what is there"


def test_a_tests_process_holds_no_earlier_test(jail: Jail) -> None:
    """A test's own code is trusted no more than a program: it looks for the tests before it."""
    m = Markers()
    kinds = [of_all_kinds(m(f"a {n}"), m(f"b {n}"), m(f"expected {n}"))[n] for n in range(6)]
    grade(jail, "g = 0\ndef f(a, b): return a", *kinds, setup=f"helper = {m('setup')!r}\n")
    pairs = list(m.halves.values())
    look = f"{SEARCH}\nseen = [pair for pair in {pairs!r} if found(*pair)]\nassert f(seen, 0) == []"
    control = f"own = {m('setup')!r}\n{look}"
    clean, found = grade(jail, "def f(a, b): return a", CodeTest(look), CodeTest(control))
    assert (clean.verdict, clean.seal) == (Verdict.PASSED, Seal.SEALED), clean
    assert found.verdict is Verdict.WRONG_ANSWER, found


@pytest.fixture
def sent() -> Iterator[list[Any]]:
    """All that the worker sends into a jail: specs of processes, and messages to them."""
    log: list[Any] = []
    spawn, send = Jail.spawn, SandboxedProcess.send

    def logged_spawn(self: Jail, spec: dict[str, Any], descriptors: tuple[int, ...]) -> None:
        log.append((replace_pid(spec), len(descriptors)))
        spawn(self, spec, descriptors)

    def logged_send(self: SandboxedProcess, *messages: Any) -> None:
        log.append(messages)
        send(self, *messages)

    with mock.patch.object(Jail, "spawn", logged_spawn), mock.patch.object(SandboxedProcess, "send", logged_send):
        yield log


def replace_pid(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec without the number of the process that files are shared with."""
    return {**spec, "scratch_of": bool(spec["scratch_of"])}


def test_a_jail_is_told_the_same_whether_a_problem_is_new_or_kept(jail: Jail, sent: list[Any]) -> None:
    """What the engine keeps of a problem is kept outside: inside nothing differs but, by a little, the time."""
    tests = tuple(of_all_kinds("a", "b", "ab"))
    source = "g = 0\ndef f(a, b):\n    return a + b\nif __name__ == '__main__': print(f(*input().split()))"
    kept = Prepared(Suite(tests=tests, entry_point="f", limits=LIMITS))
    logs = []
    for prepared in (kept, kept, None):
        sent.clear()
        outcomes = grade(jail, source, *tests, prepared=prepared)
        assert {o.verdict for o in outcomes} == {Verdict.PASSED}, outcomes
        logs.append(list(sent))
    assert len(logs[0]) > 8
    assert logs[1] == logs[0] and logs[2] == logs[0]
    sent.clear()
    grade(jail, source + "\n", *tests)
    assert sent != logs[0], "the log does not tell two programs apart"
