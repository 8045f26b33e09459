"""The program's answers and a fast test → a decision."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from gradebox_engine.judge.fast import FastTest
from gradebox_engine.judge.frame import Frame, Incomplete, ProgramRaised, Undecidable
from gradebox_engine.judge.suite import Verdict
from gradebox_engine.judge.text import shorten


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and, where it is not PASSED, a message of at most 300 characters."""

    verdict: Verdict
    message: str = ""


class Undecided(Enum):
    """Why there is no decision (yet)."""

    NEEDS_GENERAL = "the answers are not plain data, or too costly to judge: run the test in the oracle"
    INCOMPLETE = "the outcome of a call that has not answered is needed"


NEEDS_GENERAL: Final = Undecided.NEEDS_GENERAL
INCOMPLETE: Final = Undecided.INCOMPLETE
PASSED: Final = Decision(Verdict.PASSED)


def decide(test: FastTest, outcomes: list[Any]) -> Decision | Undecided:
    """Decides a test from the outcomes of its trees, in order.

    An outcome is ("value", v), ("raised", info) or ("over_budget",). There may be fewer than there are trees: what
    comes first may settle it; else INCOMPLETE. Never raises, whatever the outcomes hold.
    """
    frame = Frame(outcomes)
    try:
        if test.check.holds(frame):
            return PASSED
        return Decision(Verdict.WRONG_ANSWER, test.check.explain(frame))
    except ProgramRaised as raised:
        return raised_decision(raised.info)
    except (Undecidable, RecursionError, MemoryError):
        return NEEDS_GENERAL
    except Incomplete:
        return INCOMPLETE
    except AssertionError as error:
        return Decision(Verdict.WRONG_ANSWER, shorten(f"not true: {error}"))
    except Exception as error:
        return Decision(Verdict.RUNTIME_ERROR, shorten(f"{type(error).__name__}: {_said(error)}"))


def _said(error: Exception) -> str:
    """An exception's text, where it has one: the program may have chosen what is in it."""
    try:
        return str(error)
    except Exception:  # a key with too many digits or levels
        return ""


def raised_decision(info: Any) -> Decision:
    """The decision on an exception that left the program, from what its process says of it (hostile).

    As in plain Python, an AssertionError is a failed test wherever it comes from.
    """
    names = _names(info)
    message = describe(info)
    if "AssertionError" in names:
        return Decision(Verdict.WRONG_ANSWER, message)
    if "MemoryError" in names:
        return Decision(Verdict.MEMORY_LIMIT, message)
    if "SystemExit" in names:
        return Decision(Verdict.RUNTIME_ERROR, shorten(f"exited early: {message}"))
    return Decision(Verdict.RUNTIME_ERROR, message)


def leaves_early(info: Any) -> bool:
    """Whether an exception that left the program is one that ends an interpreter, by its process's word."""
    return "SystemExit" in _names(info)


def _names(info: Any) -> set[str]:
    """An exception's type and its bases, of what a process said of it."""
    info = info if type(info) is dict else {}
    bases = info.get("mro")
    said = [info.get("type"), *(bases if type(bases) in (list, tuple) else ())]
    return {name for name in said if type(name) is str}


def describe(info: Any) -> str:
    """The text of an exception that a process reported; anything but the expected dict is ignored."""
    info = info if type(info) is dict else {}
    name, message, line = info.get("type"), info.get("message"), info.get("line")
    text = name[:100] if type(name) is str and name else "an exception"
    if type(message) is str and message:
        text += f": {message[:300]}"
    if type(line) is int and 0 < line < 10**9:
        text += f" (line {line})"
    return shorten(text)
