"""Answers about one seed become problems; seeds and questions that no test can do justice to are left out."""

import pytest

from gradebox_trainer.synthesis.answer import Exercise
from gradebox_trainer.synthesis.problems import drafts
from gradebox_trainer.synthesis.resources import outside_of_code, outside_of_question


def test_the_same_question_is_one_problem_and_its_tests_have_votes() -> None:
    answers = [
        Exercise("Write f.\n", "f", ("assert f(1) == 1", "assert f(2) == 2")),
        Exercise("Write  f.", "f", ("assert f(2) == 2, 'again'", "assert f(3) == 3")),
        Exercise("Write f, but otherwise.", "f", ("assert f(1) == 9",)),
    ]

    first, second = drafts(answers)

    tests, refused = first.tests(max_tests=20)
    assert tests == ["assert f(2) == 2", "assert f(1) == 1", "assert f(3) == 3"]
    assert not refused
    assert first.to_row("a", tests, {})["meta"] == {"answers": 2, "votes": [2, 1, 1]}
    assert second.tests(20)[0] == ["assert f(1) == 9"]


def test_contradictions_go_by_votes_and_a_tie_goes_altogether() -> None:
    answers = [
        Exercise("f", "f", ("assert f(1) == 1", "assert f(2) == 2", "assert f(1) > 0")),
        Exercise("f", "f", ("assert f(1) == 1", "assert f(2) == 3")),
        Exercise("f", "f", ("assert f(1) == 7",)),
    ]

    tests, refused = drafts(answers)[0].tests(20)

    assert tests == ["assert f(1) == 1", "assert f(1) > 0"]
    assert refused == {"contradicted": 3}


def test_what_is_refused_is_counted_and_a_problem_has_no_more_tests_than_asked_for() -> None:
    sources = ("assert f(1) == 1", "assert f(1) == 1", "assert f(x) == 1", "assert f(2) == 2", "assert f(3) == 3")
    draft = drafts([Exercise("f", "f", sources)])[0]

    tests, refused = draft.tests(max_tests=2)

    assert tests == ["assert f(1) == 1", "assert f(2) == 2"]
    assert refused == {"duplicate": 1, "not constant": 1, "more than asked for": 1}


def test_tests_that_need_math_get_it() -> None:
    draft = drafts([Exercise("f", "f", ("assert math.isclose(f(1), 1.5)",))])[0]

    assert draft.to_row("a", draft.tests(9)[0], {})["test_setup"] == "import math"
    assert "test_setup" not in draft.to_row("a", ["assert f(1)"], {})


@pytest.mark.parametrize(
    ("code", "outside"),
    [
        ("import math\nfrom collections import deque\ndef f(x): return math.sqrt(x)", None),
        ("import numpy as np", "imports numpy"),
        ("import os.path", "imports os"),
        ("from . import helper", "imports its own package"),
        ("def f(): return open('x').read()", "calls open"),
        ("def f(): return input()", "calls input"),
        ("import datetime\ndef f(): return datetime.datetime.now()", "reads the clock"),
        ("def f(:", "not Python"),
    ],
)
def test_code_that_needs_something_from_outside(code: str, outside: str | None) -> None:
    assert outside_of_code(code) == outside


@pytest.mark.parametrize(
    ("question", "outside"),
    [
        ("Write f(numbers), which sums them up in order.", None),
        ("Fetch https://example.org and count.", "names an address"),
        ("Read a number from standard input.", "speaks of 'standard input'"),
    ],
)
def test_questions_that_need_something_from_outside(question: str, outside: str | None) -> None:
    assert outside_of_question(question) == outside
