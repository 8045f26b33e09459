"""The consistency filter's decisions, mutants and audit, as pure functions."""

import ast

import pytest

from gradebox import Verdict
from gradebox_trainer.consistency.audit import audit
from gradebox_trainer.consistency.decide import ALL_PASS, FAILED_BY_BEST, FLAKY, NONE_PASSES, decide
from gradebox_trainer.consistency.mutants import mutants

LETTERS = {"P": Verdict.PASSED, "W": Verdict.WRONG_ANSWER, "R": Verdict.RUNTIME_ERROR, "E": Verdict.ENGINE_ERROR}


def rows(*texts: str) -> list[list[Verdict]]:
    return [[LETTERS[letter] for letter in text] for text in texts]


def test_tests_that_the_best_program_fails_go() -> None:
    matrix = rows("PWPPPP", "PPWWWW")

    found = decide(matrix, matrix, [], 6)

    assert found is not None
    assert (found.best, found.why) == (0, "")
    assert [test.why for test in found.tests] == ["", FAILED_BY_BEST, "", "", "", ""]
    assert [test.passed for test in found.tests] == [2, 1, 1, 1, 1, 1]


def test_a_problem_with_fewer_than_five_tests_left_goes() -> None:
    matrix = rows("PWPPP")

    found = decide(matrix, matrix, [], 5)

    assert found is not None and found.why == "fewer than 5 tests left"
    assert found.kept == [0, 2, 3, 4]
    assert decide(matrix, matrix, [], 5, min_tests=4) == found.__class__(found.tests, 0, "")


def test_a_test_whose_verdict_changes_is_flaky_and_decides_no_best() -> None:
    first, again = rows("PPPPPPW", "PPPPPWP"), rows("PPPPPPP", "PPPPPWP")

    found = decide(first, again, [], 7)

    assert found is not None
    assert found.tests[6].why == FLAKY
    assert found.best == 0
    assert found.kept == [0, 1, 2, 3, 4, 5]


def test_another_kind_of_failure_is_no_flake() -> None:
    found = decide(rows("PPPPPW"), rows("PPPPPR"), [], 6)

    assert found is not None and found.tests[5].why == FAILED_BY_BEST


def test_what_every_program_passes_or_none_is_flagged() -> None:
    matrix = rows("PPW")

    found = decide(matrix, matrix, rows("PWW", "PEW"), 3, min_tests=1)

    assert found is not None
    assert [test.flags for test in found.tests] == [[ALL_PASS], [], [NONE_PASSES]]
    assert [(test.passed, test.programs) for test in found.tests] == [(3, 3), (1, 2), (0, 3)]


def test_nothing_is_decided_on_the_engines_failure_and_without_the_strong_model() -> None:
    assert decide(rows("PE"), rows("PP"), [], 2) is None
    assert decide(rows("PP"), rows("PE"), [], 2) is None
    found = decide([], [], rows("PP"), 2)
    assert found is not None and (found.best, found.why) == (None, "no program of the strong model")


PROGRAM = '''
def f(xs: list[int] = [], /, *, limit: int = 3) -> int:
    """It has 1 docstring."""
    total = 0
    for x in xs:
        if x > limit and not x % 2:
            total += x
        elif x == 10:
            break
    return total
'''


def test_mutants_are_other_programs_each_with_one_change() -> None:
    found = mutants(PROGRAM, limit=1000)

    assert len(found) == len(set(found)) > 15
    assert ast.unparse(ast.parse(PROGRAM)) not in found
    for text in found:
        compile(text, "mutant", "exec")
        assert "It has 1 docstring." in text
        assert "list[int]" in text
    for change in (
        "x >= limit",
        "x <= limit",
        "x > limit or not",
        "and x % 2",
        "x // 2",
        "total -= x",
        "x != 10",
        "x == 11",
        "x == 9",
        "continue",
        "return None",
        "total = 1",
        "limit: int=4",
        "if not (x > limit",
    ):
        assert any(change in text for text in found), change


def test_mutants_are_drawn_the_same_way_every_time() -> None:
    every, some = mutants(PROGRAM, limit=1000), mutants(PROGRAM, limit=7)

    assert len(some) == 7 and set(some) <= set(every)
    assert some == mutants(PROGRAM, limit=7)
    assert [text for text in every if text in some] == some
    assert mutants(PROGRAM, limit=0) == []
    assert mutants("def f(:", limit=5) == []


def test_the_audit_scores_covers_and_weighs() -> None:
    found = audit([{0, 1}, {1}, set(), {2}], programs=[{0, 1}], tests=4)

    assert (found.mutants, found.killed, found.mutation_score) == (4, 3, 0.75)
    assert found.needed == (1, 2)
    assert found.weights == pytest.approx((0.25, 0.5, 0.25, 0.0))
    assert sum(found.weights) == pytest.approx(1)


def test_an_audit_without_wrong_programs() -> None:
    found = audit([], programs=[set()], tests=2)

    assert (found.mutation_score, found.needed, found.weights) == (None, (), (0.0, 0.0))
