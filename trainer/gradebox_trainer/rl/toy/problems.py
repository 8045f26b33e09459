"""Tiny programming problems: chains of one to three steps, with tests, and programs of mixed quality for them.

A *template* is a chain of steps without constants ("sort, skip k, sum"). One in four templates is held out as a whole;
of the others some problems (constants) are. What is fitted to the rest meets neither. Everything follows from a seed.
"""

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from gradebox_trainer.rl.toy.steps import STEPS, Kind, Step

TESTS = 6
HELD_OUT_TEMPLATES = 4  # one in so many
HELD_OUT_PROBLEMS = 8
ENTRY_POINT = "f"
_NAMES: dict[Kind, str] = {"int": "a number", "list": "a list of numbers", "str": "a text"}
_HASTE = 0.7  # scales the weights of slips
_SWAPPED, _FORGOTTEN, _UNFINISHED = 0.03, 0.03, 0.03  # of a corpus's programs, beside the slips of steps
_FROM_ANYWHERE = 0.5  # of the lines of a stray program that go astray and could have another constant


@dataclass(frozen=True, slots=True)
class ToyProblem:
    """A problem, and its chain of (step, constant, wording)."""

    chain: tuple[tuple[Step, Any, str], ...]

    @property
    def template(self) -> str:
        """The chain without its constants, such as `sort+skip+sum`."""
        return "+".join(step.name for step, _, _ in self.chain)

    @property
    def id(self) -> str:
        """Its template with its constants: the same problem in other words has the same id."""
        return "+".join(step.name + ("" if k is None else f"-{k}") for step, k, _ in self.chain)

    @property
    def prompt(self) -> str:
        """What the programmer is told."""
        steps = ", then ".join(phrase for _, _, phrase in self.chain)
        return f"# x is {_NAMES[self.chain[0][0].takes]}: {steps}\n"

    def answer(self, x: Any) -> Any:
        """What a right program gives for x."""
        for step, k, _ in self.chain:
            x = step.does(x, k)
        return x

    def tests(self) -> list[str]:
        """Asserts; the same for the same id."""
        rng = random.Random(zlib.crc32(self.id.encode()))
        inputs = [_input(self, rng, number) for number in range(TESTS)]
        return [f"assert {ENTRY_POINT}({x!r}) == {self.answer(x)!r}" for x in inputs]

    def row(self) -> dict[str, Any]:
        """A row of a problems file."""
        return {
            "id": self.id,
            "prompt": self.prompt,
            "entry_point": ENTRY_POINT,
            "tests": self.tests(),
            "limits": {"cpu_time_s": 1.0},
            "meta": {"template": self.template, "split": split_of(self)},
        }


def split_of(problem: ToyProblem) -> str:
    """`train`, `held_out_template` or `held_out_problem`: by the names alone, whatever was made before."""
    if len(problem.chain) > 1 and _bucket("t" + problem.template, HELD_OUT_TEMPLATES):
        return "held_out_template"
    return "held_out_problem" if _bucket("p" + problem.id, HELD_OUT_PROBLEMS) else "train"


def problems(seed: int, *splits: str) -> Iterator[ToyProblem]:
    """Distinct problems of these splits, without end (there are some hundred thousand)."""
    rng = random.Random(f"problems {seed}")
    seen: set[str] = set()
    while True:
        problem = _problem(rng)
        if problem.id not in seen and split_of(problem) in splits:
            seen.add(problem.id)
            yield problem


def right_program(problem: ToyProblem) -> str:
    """A program that passes the problem's tests."""
    return _program([step.right.format(k=k) for step, k, _ in problem.chain])


def mixed_program(problem: ToyProblem, rng: random.Random) -> str:
    """A program as found in the wild: often with a slip in one step or more, rarely with a step forgotten, two
    exchanged, or an end that is missing."""
    lines = []
    for step, k, _ in problem.chain:
        written = [(step.right, 1.0), *((text, _HASTE * weight) for text, weight in step.slips)]
        line = rng.choices([text for text, _ in written], [weight for _, weight in written])[0]
        lines.append(line.format(k=k))
    luck = rng.random()
    if len(lines) > 1 and luck < _SWAPPED:
        at = rng.randrange(len(lines) - 1)
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
    elif len(lines) > 1 and luck < _SWAPPED + _FORGOTTEN:
        del lines[rng.randrange(len(lines))]
    elif luck < _SWAPPED + _FORGOTTEN + _UNFINISHED:
        return _program(lines).rpartition("    return")[0]
    return _program(lines)


def stray_program(problem: ToyProblem, rng: random.Random) -> str:
    """A program of which at least one line has another constant, or is from anywhere, for another kind of value too:
    a corpus has few such ones, but a policy in search of a high score comes to them."""
    lines = [step.right.format(k=k) for step, k, _ in problem.chain]
    for at in rng.sample(range(len(lines)), rng.randint(1, len(lines))):
        step = problem.chain[at][0]
        text = step.right
        if not step.constants or rng.random() < _FROM_ANYWHERE:
            step = rng.choice(STEPS)
            text = rng.choice([step.right, *(slip for slip, _ in step.slips)])
        lines[at] = text.format(k=rng.choice(step.constants) if step.constants else None)
    return _program(lines)


def corpus(seed: int, size: int) -> list[tuple[ToyProblem, str]]:
    """Pairs of a problem of the split `train` and a program of mixed quality."""
    rng = random.Random(f"programs {seed}")
    stream = problems(seed, "train")
    return [(problem, mixed_program(problem, rng)) for problem, _ in zip(stream, range(size), strict=False)]


def rows(chosen: Sequence[ToyProblem]) -> list[dict[str, Any]]:
    """Rows of a problems file."""
    return [problem.row() for problem in chosen]


def _program(lines: Sequence[str]) -> str:
    return "def f(x):\n" + "".join(f"    {line}\n" for line in lines) + "    return x\n"


@cache
def _steps_of(kind: Kind) -> tuple[Step, ...]:
    return tuple(step for step in STEPS if step.takes == kind)


def _problem(rng: random.Random) -> ToyProblem:
    kind: Kind = rng.choices(("int", "list", "str"), (3, 4, 3))[0]
    chain: list[tuple[Step, Any, str]] = []
    for _ in range(rng.choices((1, 2, 3), (2, 6, 1))[0]):
        step = rng.choice([s for s in _steps_of(kind) if not chain or s is not chain[-1][0]])
        k = rng.choice(step.constants) if step.constants else None
        chain.append((step, k, rng.choice(step.phrases).format(k=k)))
        kind = step.gives
    return ToyProblem(tuple(chain))


def _input(problem: ToyProblem, rng: random.Random, number: int) -> Any:
    kind = problem.chain[0][0].takes
    bounds = [k for _, k, _ in problem.chain if isinstance(k, int)]
    if kind == "int":
        return rng.choice((rng.randint(-30, -1), rng.randint(0, 12), rng.randint(8, 60), *bounds))
    if kind == "str":
        letters = [k for _, k, _ in problem.chain if isinstance(k, str)]
        return "".join(rng.choice((*"aeinrst", *letters * 3)) for _ in range(rng.randint(3, 9)))
    if number == 0:
        return []
    return [rng.choice((rng.randint(-9, 20), rng.randint(0, 12), *bounds)) for _ in range(rng.randint(3, 9))]


def _bucket(name: str, of: int) -> bool:
    return zlib.crc32(name.encode()) % of == 0
