"""What is to be tested, as the judge sees it, and its two vocabularies: verdicts and seals."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from gradebox_engine.limits import Limits


class Verdict(IntEnum):
    """What the judge says of a test case or of a submission; the numbers are the wire's."""

    UNSPECIFIED = 0
    PASSED = 1
    WRONG_ANSWER = 2
    RUNTIME_ERROR = 3
    COMPILE_ERROR = 4
    TIME_LIMIT = 5
    MEMORY_LIMIT = 6
    OUTPUT_LIMIT = 7
    SKIPPED = 8
    ENGINE_ERROR = 9


class Seal(IntEnum):
    """How far a verdict can be trusted: larger is stronger; the numbers are the wire's."""

    UNSPECIFIED = 0
    IN_PROCESS = 1
    COMPARED = 2
    SEALED = 3


@dataclass(frozen=True, slots=True)
class Checker:
    """How standard output is compared: "lines", "exact", "tokens", "float", "unordered", "judge" or "interactive".

    `rel_tol` and `abs_tol` are for "float"; `source` is the program of a special judge, or one that talks with the
    program.
    """

    kind: str = "lines"
    rel_tol: float = 0.0
    abs_tol: float = 0.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class CodeTest:
    """Python statements, usually one assert, in which the program's names can be used."""

    source: str


@dataclass(frozen=True, slots=True)
class StdioTest:
    """A run of the whole program on `stdin`; both texts may hold surrogates for bytes that are no UTF-8."""

    stdin: str
    expected_stdout: str
    checker: Checker = Checker()


@dataclass(frozen=True, slots=True)
class CallTest:
    """A call of the entry point with JSON values."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    expected: Any


@dataclass(frozen=True, slots=True)
class UnittestTest:
    """A test module: unittest classes or pytest-style functions."""

    source: str


type Test = CodeTest | StdioTest | CallTest | UnittestTest


@dataclass(frozen=True)
class Suite:
    """All tests of one problem and what they share."""

    tests: tuple[Test, ...]
    entry_point: str | None = None
    test_setup: str = ""
    language: str = "python"
    image: str | None = None
    limits: Limits = field(default_factory=Limits)
    min_seal: Seal = Seal.UNSPECIFIED
