"""Answers about one seed → problems with clean tests. Pure: no model, no engine, no file.

Answers that pose the same question (white space aside) make one problem, and their tests are joined: a test that
several answers give has as many votes. An answer with a question of its own makes a problem of its own.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gradebox_trainer.synthesis.answer import Exercise
from gradebox_trainer.synthesis.asserts import Assert, Unfit, read_assert

MIN_TESTS = 5
MAX_TESTS = 20


@dataclass
class Draft:
    """A problem that is being made.

    Attributes:
        votes: how many answers gave a test, by its text, in the order in which tests first came.
        refused: tests that were left out, by reason.
    """

    question: str
    entry_point: str
    answers: int = 0
    votes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    _questions: dict[str, str] = field(default_factory=dict)

    def add(self, tests: Iterable[str]) -> None:
        """Takes the tests of one more answer."""
        self.answers += 1
        fit: dict[str, Assert] = {}
        for source in tests:
            try:
                test = read_assert(source, self.entry_point)
            except Unfit as why:
                self.refused[str(why)] += 1
                continue
            if test.text in fit:
                self.refused["duplicate"] += 1
            fit[test.text] = test
        for text, test in fit.items():
            self.votes[text] += 1
            self._questions[text] = test.question

    def tests(self, max_tests: int) -> tuple[list[str], Counter[str]]:
        """The tests that stay, those with most votes first, and why others do not.

        Of tests that contradict each other (the same call, another answer) the one with most votes stays, and none
        where that is a tie.
        """
        refused = Counter(self.refused)
        asked: dict[str, list[str]] = {}
        for text in self.votes:
            asked.setdefault(self._questions[text], []).append(text)
        kept: list[str] = []
        for texts in asked.values():
            texts.sort(key=lambda text: -self.votes[text])
            winner = len(texts) == 1 or self.votes[texts[0]] > self.votes[texts[1]]
            refused["contradicted"] += len(texts) - winner
            kept += texts[:winner]
        place = {text: number for number, text in enumerate(self.votes)}
        kept.sort(key=lambda text: (-self.votes[text], place[text]))
        refused["more than asked for"] += max(0, len(kept) - max_tests)
        return kept[:max_tests], +refused

    def to_row(self, id: str, tests: list[str], meta: dict[str, Any]) -> dict[str, Any]:
        """The problem as a row of a problems file."""
        row: dict[str, Any] = {"id": id, "question": self.question, "entry_point": self.entry_point, "tests": tests}
        if any("math." in test for test in tests):
            row["test_setup"] = "import math"
        row["meta"] = {**meta, "answers": self.answers, "votes": [self.votes[test] for test in tests]}
        return row


def drafts(exercises: Iterable[Exercise]) -> list[Draft]:
    """The problems that the answers about one seed pose, in the order of the answers."""
    found: dict[tuple[str, str], Draft] = {}
    for exercise in exercises:
        key = (" ".join(exercise.question.split()), exercise.entry_point)
        draft = found.setdefault(key, Draft(exercise.question, exercise.entry_point))
        draft.add(exercise.tests)
    return list(found.values())
