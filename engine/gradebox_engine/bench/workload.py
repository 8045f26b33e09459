"""What a benchmark grades: programs that pass, with their tests.

A question of AceCode's shape has about 16 asserts and 16 programs. Here the questions differ in their text, as they do
there: what an engine works out once a question, it works out once in 16.
"""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradebox_engine import samples
from gradebox_engine.bench.cases import Cases, cases_of

PROGRAMS_A_QUESTION = 16


@dataclass(frozen=True, slots=True)
class Item:
    """A program with its tests, in the form that a problems file has. `cases`: the asserts as data, if they can be."""

    question: str
    program: str
    tests: list[str | dict[str, str]]
    entry_point: str = ""
    test_setup: str = ""
    cases: Cases | None = None

    def to_json(self) -> str:
        """As one line. Inputs and expected values stand in it as Python's literals: JSON has no tuples and no sets."""
        row: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__ if name != "cases"}
        if self.cases is not None:
            row |= {"inputs": repr(self.cases.inputs), "expected": repr(self.cases.expected)}
        return json.dumps(row)


@dataclass(frozen=True, slots=True)
class Workload:
    """Items, what they are, and how many units of work one of them is."""

    title: str
    items: list[Item]
    unit: str = "grading"
    units_per_item: int = 1


_RUN_SUMS = '''
def {name}(readings, limit={limit}):
    """Sums of the neighbouring readings that do not stand above the limit, run by run."""
    runs, total, open_run = [], 0, False
    for reading in readings:
        if reading <= limit:
            total, open_run = total + reading, True
        elif open_run:
            runs.append(total)
            total, open_run = 0, False
    if open_run:
        runs.append(total)
    return runs

# program {number}
'''

_READINGS: tuple[tuple[int, ...], ...] = (
    (), (1,), (99,), (1, 2, 3), (1, 99, 2), (99, 99), (4, 4, 99, 4, 4), (0, 0, 0), (50, 60, 70),
    (-1, -2, 99, -3), (3, 1, 4, 1, 5, 9, 2, 6), (98, 1, 97, 2), (7, 99, 99, 7), (10, 20, 30, 99),
    (5, 99, 5, 99, 5), (2, 4, 8, 16, 32),
)  # fmt: skip


def sixteen_asserts() -> Workload:
    """Programs that pass their 16 asserts."""
    items = []
    for question in range(32):
        name, limit = f"run_sums_{question}", 40 + question
        namespace: dict[str, Any] = {}
        exec(_RUN_SUMS.format(name=name, limit=limit, number=0), namespace)
        cases = Cases(name, [[list(readings)] for readings in _READINGS], [])
        for (readings,) in cases.inputs:
            cases.expected.append(namespace[name](readings))
        for number in range(PROGRAMS_A_QUESTION):
            program = _RUN_SUMS.format(name=name, limit=limit, number=number)
            items.append(Item(name, program, cases.asserts(), name, cases=cases))
    return Workload("a program with 16 asserts", items)


def humaneval(folder: Path | None) -> Workload:
    """The canonical solutions in a data folder's problems/humaneval.jsonl.gz, with their asserts.

    Those problems of which every assert is `assert f(literals) == literal`, so that checkers that take data can grade
    them. Without a folder: the shipped sample's right programs, with those of their tests that have this form. Raises
    OSError where the file cannot be read.
    """
    rows = _sample_solutions() if folder is None else _canonical_solutions(folder)
    items = []
    for row, program in rows:
        cases = cases_of(row["tests"], row.get("entry_point"))
        if cases is not None:
            setup = row.get("test_setup") or ""
            items.append(Item(row["id"], program, list(row["tests"]), cases.entry_point, setup, cases))
    whole = "assert problems of the sample" if folder is None else "canonical solutions of HumanEval"
    return Workload(f"{len(items)} {whole}", items)


def _canonical_solutions(folder: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    with gzip.open(folder / "problems" / "humaneval.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield row, row["prompt"] + row["canonical_solution"]


def _sample_solutions() -> Iterator[tuple[Mapping[str, Any], str]]:
    for sample in samples.load():
        right = [p for p, e in zip(sample.programs, sample.expected, strict=True) if e.kind == "right"]
        if right:
            tests = [test for test in sample.problem["tests"] if cases_of([test], None)]
            yield {**sample.problem, "tests": tests}, right[0]


_SPREAD = '''
import numpy as np

def {name}(values):
    """How far the values lie from the nearest multiple of {step}, at most, and their sum."""
    array = np.asarray(values, dtype=np.int64)
    away = np.abs(array - {step} * np.round(array / {step}).astype(np.int64))
    return int(away.max()), int(array.sum())

# program {number}
'''


def numpy_imports() -> Workload:
    """Programs that import numpy and do little with it."""
    items = []
    for question in range(8):
        name, step = f"spread_{question}", 10 + 2 * question
        cases = Cases(name, [], [])
        for away in range(4):
            values = [step, 3 * step - away, 5 * step + 1]
            cases.inputs.append([values])
            cases.expected.append((max(away, 1), sum(values)))
        for number in range(PROGRAMS_A_QUESTION):
            program = _SPREAD.format(name=name, step=step, number=number)
            items.append(Item(name, program, cases.asserts(), name, cases=cases))
    return Workload("a program that imports numpy", items)


_LEDGER = """
import sys

def main():
    balances = {{}}
    for line in sys.stdin:
        name, amount = line.split()
        balances[name] = balances.get(name, {start}) + int(amount)
    for name in sorted(balances):
        print(name, balances[name])

# program {number}
main()
"""


def ten_stdin_cases() -> Workload:
    """Whole programs with 10 pairs of input and output each."""
    items = []
    for question in range(8):
        tests: list[str | dict[str, str]] = []
        for case in range(10):
            booked = [(f"account{n % 4}", n * case - question) for n in range(12)]
            balances: dict[str, int] = {}
            for name, amount in booked:
                balances[name] = balances.get(name, question) + amount
            stdin = "".join(f"{name} {amount}\n" for name, amount in booked)
            stdout = "".join(f"{name} {balances[name]}\n" for name in sorted(balances))
            tests.append({"stdin": stdin, "expected_stdout": stdout})
        for number in range(PROGRAMS_A_QUESTION):
            items.append(Item(f"ledger_{question}", _LEDGER.format(start=question, number=number), tests))
    return Workload("stdin/stdout, 10 cases a program", items, "test case", 10)
