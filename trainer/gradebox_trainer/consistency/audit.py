"""How well the tests of a problem tell right programs from wrong ones. Pure: which test fails which program.

- mutation score: the mutants of a passing program that some test fails, of all of them. A mutant that never ends
  counts here alone: which of the tests it would fail is not asked, since each answer would take a time limit;
- a smallest set: greedy set cover (Chvátal 1979) over the wrong programs; tests outside of it are redundant, since
  those in it fail every program that any test fails;
- weight of a test: a wrong program is worth 1, shared by the tests that fail it; a problem's weights add up to 1. So
  the only test to notice a mistake weighs more than one of many.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Audit:
    """What the tests are worth.

    Attributes:
        mutants, killed: how many mutants there were, and how many of them some test fails.
        mutation_score: killed / mutants; None without mutants.
        needed: indexes of a smallest set of tests, in the order in which they were chosen.
        weights: one a test; all 0 where no test fails any program.
    """

    mutants: int
    killed: int
    mutation_score: float | None
    needed: tuple[int, ...]
    weights: tuple[float, ...]


def audit(mutants: Sequence[Set[int]], endless: int, programs: Sequence[Set[int]], tests: int) -> Audit:
    """Audits `tests` tests.

    Args:
        mutants: for each mutant that ends the indexes of the tests that fail it.
        endless: how many mutants do not end.
        programs: the same for programs of models.
    """
    count = len(mutants) + endless
    killed = sum(bool(failed) for failed in mutants) + endless
    wrong = [failed for failed in (*mutants, *programs) if failed]
    weights = [0.0] * tests
    for failed in wrong:
        for test in failed:
            weights[test] += 1 / len(failed)
    return Audit(
        mutants=count,
        killed=killed,
        mutation_score=round(killed / count, 4) if count else None,
        needed=_cover(wrong, tests),
        weights=tuple(round(weight / len(wrong), 6) if wrong else 0.0 for weight in weights),
    )


def _cover(wrong: Sequence[Set[int]], tests: int) -> tuple[int, ...]:
    """Greedily the test that fails most of the programs not yet failed; the first of those that are equal."""
    left = {number: failed for number, failed in enumerate(wrong)}
    chosen: list[int] = []
    while left:
        counts = [sum(test in failed for failed in left.values()) for test in range(tests)]
        best = counts.index(max(counts))
        chosen.append(best)
        left = {number: failed for number, failed in left.items() if best not in failed}
    return tuple(chosen)
