"""What an engine says of some problems: which tests stay, and what those are worth. Plain data, a row a problem."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import gradebox
from gradebox import Verdict
from gradebox_trainer.consistency.audit import Audit, audit
from gradebox_trainer.consistency.decide import Decisions, decide
from gradebox_trainer.consistency.matrix import Question, Verdicts, matrices
from gradebox_trainer.consistency.mutants import mutants

_ENDLESS = (Verdict.TIME_LIMIT, Verdict.MEMORY_LIMIT, Verdict.OUTPUT_LIMIT)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a decision hangs on, beside the problem and its programs.

    Attributes:
        min_tests: a problem with fewer tests left is dropped.
        mutants: of the best program, for the audit; 0 for none.
        mutant_cpu_time_s: limit of a test on a mutant, of which many never end.
    """

    min_tests: int = 5
    mutants: int = 30
    mutant_cpu_time_s: float = 0.25


@dataclass(frozen=True, slots=True)
class Work:
    """A problem with its programs: those of the strong model, and those of others."""

    row: Mapping[str, Any]
    checked: Mapping[str, Any]
    strong: Sequence[str]
    others: Sequence[str]
    sha256: str


def outcomes(client: gradebox.Client, batch: Sequence[Work], settings: Settings) -> list[dict[str, Any] | None]:
    """What becomes of each problem; None where the engine failed on what the decision needs.

    Raises:
        InputError: the engine refuses a problem.
        GradeboxError: no engine is left.
    """

    def questions(programs: Callable[[Work], Sequence[str]], step: int) -> list[Question]:
        return [
            Question(number, work.checked, work.checked["tests"][::step], programs(work))
            for number, work in enumerate(batch)
            if programs(work)
        ]

    strong = matrices(client, questions(lambda work: work.strong, 1))
    again = matrices(client, questions(lambda work: work.strong, -1), fresh=True)
    others = matrices(client, questions(lambda work: work.others, 1))
    decided = [
        decide(
            strong.get(number, []),
            [row[::-1] for row in again.get(number, [])],
            others.get(number, []),
            len(work.checked["tests"]),
            settings.min_tests,
        )
        for number, work in enumerate(batch)
    ]
    audits = _audits(client, batch, decided, others, settings)
    return [
        None if decisions is None else _outcome(decisions, audits.get(number))
        for number, decisions in enumerate(decided)
    ]


def _audits(
    client: gradebox.Client,
    batch: Sequence[Work],
    decided: Sequence[Decisions | None],
    others: Mapping[int, list[Verdicts]],
    settings: Settings,
) -> dict[int, Audit]:
    """An audit for each problem that stays, over the tests that it keeps."""
    questions = []
    for number, (work, decisions) in enumerate(zip(batch, decided, strict=True)):
        if decisions is None or decisions.why or decisions.best is None or not settings.mutants:
            continue
        tests = [work.checked["tests"][index] for index in decisions.kept]
        programs = mutants(work.strong[decisions.best], settings.mutants)
        questions.append(Question(number, work.checked, tests, programs, settings.mutant_cpu_time_s))
    failed = _failed_tests(client, questions)
    found = {}
    for question in questions:
        decisions = decided[question.key]
        assert decisions is not None  # of those that were asked about
        place = {index: position for position, index in enumerate(decisions.kept)}
        wrong = [
            {place[index] for index in place if row[index] not in (Verdict.PASSED, Verdict.ENGINE_ERROR)}
            for row in others.get(question.key, [])
        ]
        known, endless = failed[question.key]
        found[question.key] = audit(known, endless, wrong, len(question.tests))
    return found


def _failed_tests(client: gradebox.Client, questions: Sequence[Question]) -> dict[int, tuple[list[set[int]], int]]:
    """For each problem: the tests that fail each mutant that ends, and how many mutants do not end.

    Those are told by a first run that stops at the first failure; what a mutant fails after that is asked of the
    others alone. Mutants on which the engine fails are left out.
    """
    first = matrices(client, questions, stop_early=True)
    survived: dict[int, list[set[int]]] = {}
    endless: dict[int, int] = {}
    rest: list[Question] = []
    for question in questions:
        rows = [row for row in first[question.key] if Verdict.ENGINE_ERROR not in row]
        endless[question.key] = sum(any(verdict in _ENDLESS for verdict in row) for row in rows)
        survived[question.key] = [set() for row in rows if not _failing(row)]
        failing = [
            program
            for program, row in zip(question.programs, first[question.key], strict=True)
            if _failing(row) and not any(verdict in (*_ENDLESS, Verdict.ENGINE_ERROR) for verdict in row)
        ]
        rest.append(replace(question, programs=failing))
    full = matrices(client, rest)
    return {key: ([*map(_failing, full[key]), *survived[key]], endless[key]) for key in survived}


def _failing(row: Verdicts) -> set[int]:
    passed = (Verdict.PASSED, Verdict.SKIPPED, Verdict.ENGINE_ERROR)
    return {index for index, verdict in enumerate(row) if verdict not in passed}


def _outcome(decisions: Decisions, found: Audit | None) -> dict[str, Any]:
    """What is kept of a problem: plain data."""
    place = {index: position for position, index in enumerate(decisions.kept)}
    tests = []
    for index, test in enumerate(decisions.tests):
        position = place.get(index) if found is not None else None
        worth = {
            "weight": found.weights[position] if found is not None and position is not None else None,
            "redundant": position not in found.needed if found is not None and position is not None else None,
        }
        tests.append({**asdict(test), **worth})
    summary = None
    if found is not None:
        summary = {
            "mutants": found.mutants,
            "killed": found.killed,
            "mutation_score": found.mutation_score,
            "needed_tests": len(found.needed),
        }
    return {"why": decisions.why, "best": decisions.best, "tests": tests, "audit": summary}
