"""What a benchmark grades: small programs with 16 asserts each, or HumanEval's own solutions.

A question of AceCode's shape has about 16 asserts and 16 programs. Here the questions differ in
their text, as they do there: what an engine works out once a question, it works out once in 16.
"""

import gzip
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

QUESTIONS = 32
PROGRAMS_A_QUESTION = 16

_PROGRAM = '''
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

_CASES: tuple[tuple[int, ...], ...] = (
    (), (1,), (99,), (1, 2, 3), (1, 99, 2), (99, 99), (4, 4, 99, 4, 4), (0, 0, 0), (50, 60, 70),
    (-1, -2, 99, -3), (3, 1, 4, 1, 5, 9, 2, 6), (98, 1, 97, 2), (7, 99, 99, 7), (10, 20, 30, 99),
    (5, 99, 5, 99, 5), (2, 4, 8, 16, 32),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """A program with its asserts. `inputs` and `expected`: the same as data, where there is that."""

    question: str
    program: str
    entry_point: str
    test_setup: str
    tests: list[str]
    inputs: list[list[Any]] | None = None
    expected: list[Any] | None = None

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))


def synthetic() -> list[Item]:
    """QUESTIONS x PROGRAMS_A_QUESTION programs that pass their 16 asserts."""
    items = []
    for question in range(QUESTIONS):
        name, limit = f"run_sums_{question}", 40 + question
        inputs = [[list(case)] for case in _CASES]
        expected = [_run_sums(list(case), limit) for case in _CASES]
        tests = [f"assert {name}({case[0]!r}) == {right!r}" for case, right in zip(inputs, expected, strict=True)]
        for number in range(PROGRAMS_A_QUESTION):
            program = _PROGRAM.format(name=name, limit=limit, number=number)
            items.append(Item(name, program, name, "", tests, inputs, expected))
    return items


def _run_sums(readings: list[int], limit: int) -> list[int]:
    namespace: dict[str, Any] = {}
    exec(_PROGRAM.format(name="run_sums", limit=limit, number=0), namespace)
    result: list[int] = namespace["run_sums"](readings)
    return result


def humaneval(folder: Path) -> list[Item]:
    """The canonical solutions in a data folder's problems/humaneval.jsonl.gz, with their asserts.

    Raises OSError where the file cannot be read.
    """
    items = []
    with gzip.open(folder / "problems" / "humaneval.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            program = row["prompt"] + row["canonical_solution"]
            setup = row.get("test_setup") or ""
            items.append(Item(row["id"], program, row["entry_point"], setup, row["tests"]))
    return items
