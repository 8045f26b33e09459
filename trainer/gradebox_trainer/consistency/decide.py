"""Which tests of a problem stay. Pure: verdicts in, decisions out.

As in AceCoder (Zeng et al. 2025, 3.1): a strong model solves the problem, and the tests that it fails are taken to be
wrong; a problem that has fewer than five left is dropped. Of several programs the best counts, the one that passes
most tests. Ours beside it: a test whose verdict changes when it is run again, in another order, is flaky and goes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gradebox import Verdict

MIN_TESTS = 5

FAILED_BY_BEST = "failed by the best program"
FLAKY = "flaky"
ALL_PASS = "every program passes"
NONE_PASSES = "no program passes"


@dataclass
class Decision:
    """One test.

    Attributes:
        why: why it is dropped; "" for one that stays.
        flags: what else is to be known of it.
        passed, programs: how many of all programs pass it, and how many there are.
    """

    why: str
    flags: list[str] = field(default_factory=list)
    passed: int = 0
    programs: int = 0


@dataclass
class Decisions:
    """The tests of a problem, in order; `best` is the index of the best of the strong model's programs."""

    tests: list[Decision]
    best: int | None
    why: str

    @property
    def kept(self) -> list[int]:
        """The indexes of the tests that stay."""
        return [index for index, test in enumerate(self.tests) if not test.why]


def decide(
    first: Sequence[Sequence[Verdict]],
    again: Sequence[Sequence[Verdict]],
    others: Sequence[Sequence[Verdict]],
    tests: int,
    min_tests: int = MIN_TESTS,
) -> Decisions | None:
    """Decides on a problem's `tests` tests; None where the engine failed on what the decision needs.

    Args:
        first: a row a program of the strong model, a verdict a test.
        again: the same programs, run again with the tests in another order; verdicts in the first order.
        others: programs of other models; they only tell what passes everywhere and nowhere.
    """
    if any(Verdict.ENGINE_ERROR in row for row in (*first, *again)):
        return None
    flaky = {
        index
        for row, row_again in zip(first, again, strict=True)
        for index in range(tests)
        if (row[index] is Verdict.PASSED) != (row_again[index] is Verdict.PASSED)
    }
    steady = [index for index in range(tests) if index not in flaky]
    counts = [sum(row[index] is Verdict.PASSED for index in steady) for row in first]
    best = counts.index(max(counts)) if counts else None
    decisions = []
    for index in range(tests):
        verdicts = [row[index] for row in (*first, *others) if row[index] is not Verdict.ENGINE_ERROR]
        decision = Decision("", passed=verdicts.count(Verdict.PASSED), programs=len(verdicts))
        if len(verdicts) > 1 and decision.passed in (0, len(verdicts)):
            decision.flags.append(ALL_PASS if decision.passed else NONE_PASSES)
        if index in flaky:
            decision.why = FLAKY
        elif best is not None and first[best][index] is not Verdict.PASSED:
            decision.why = FAILED_BY_BEST
        decisions.append(decision)
    if best is None:
        return Decisions(decisions, None, "no program of the strong model")
    kept = sum(not decision.why for decision in decisions)
    return Decisions(decisions, best, f"fewer than {min_tests} tests left" if kept < min_tests else "")
