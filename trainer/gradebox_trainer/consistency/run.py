"""`gradebox filter`: problems and programs → the problems whose tests can be trusted, and what their tests are worth.

Problems go to the engine some at a time. What becomes of one is kept in a file beside the output from the moment it
is known, under a digest of the problem, its programs and the settings, so the same command goes on where it ended.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradebox
from gradebox import Verdict
from gradebox_command.errors import BadArgument
from gradebox_command.files import Problems, read_programs
from gradebox_command.row_log import RowLog
from gradebox_command.rows import read_rows
from gradebox_command.writing import write_rows
from gradebox_trainer.consistency.audit import Audit, audit
from gradebox_trainer.consistency.decide import Decisions, decide
from gradebox_trainer.consistency.matrix import Question, Verdicts, matrices
from gradebox_trainer.consistency.mutants import mutants
from gradebox_trainer.files import beside

_PROBLEMS_AT_ONCE = 32
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


class Filter:
    """One run of the command. `grade`, then `write`. Use it as a context manager."""

    def __init__(self, problems: Path, programs: Path, output: Path, strong: str | None, settings: Settings) -> None:
        """Checks all of the input.

        Args:
            strong: the generator whose programs decide; None: all programs do.

        Raises:
            InputError: a row is wrong.
            BadArgument: no program is the strong model's.
        """
        self._path = problems
        self._output = output
        self._settings = settings
        self._strong: dict[str, list[str]] = {}
        self._others: dict[str, list[str]] = {}
        self._problems = Problems(problems)
        for row in read_programs(programs, self._problems):
            decides = strong is None or row.row.get("generator") == strong
            (self._strong if decides else self._others).setdefault(row.id, []).extend(row.programs)
        if strong is not None and not self._strong:
            raise BadArgument(f"--strong {strong}: no row of {programs} has this generator")
        self._log = RowLog(beside(output, "graded"))
        self._places: dict[str, int] = {row["sha256"]: place for place, row in self._log.rows()}
        self.undecided: list[str] = []
        self.summary: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._problems)

    def _work(self) -> Iterator[Work]:
        for _, row in read_rows(self._path):
            strong, others = self._strong.get(row["id"], []), self._others.get(row["id"], [])
            checked = self._problems[row["id"]]
            asked = [checked, strong, others, asdict(self._settings)]
            digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
            yield Work(row, checked, strong, others, digest)

    def grade(self, client: gradebox.Client, advance: Callable[[int], None]) -> None:
        """Grades what is not yet known. `advance` is told how many problems are done.

        Raises:
            InputError: the engine refuses a problem.
            GradeboxError: no engine is left; what is known is kept.
        """
        waiting = (work for work in self._work() if work.sha256 not in self._places)
        advance(sum(work.sha256 in self._places for work in self._work()))
        for batch in itertools.batched(waiting, _PROBLEMS_AT_ONCE):
            for work, outcome in zip(batch, self._outcomes(client, batch), strict=True):
                if outcome is None:
                    self.undecided.append(work.row["id"])
                else:
                    self._places[work.sha256] = self._log.append({"sha256": work.sha256, **outcome})
            advance(len(batch))

    def _outcomes(self, client: gradebox.Client, batch: Sequence[Work]) -> list[dict[str, Any] | None]:
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
                self._settings.min_tests,
            )
            for number, work in enumerate(batch)
        ]
        audits = self._audits(client, batch, decided, others)
        return [
            None if decisions is None else _outcome(decisions, audits.get(number))
            for number, decisions in enumerate(decided)
        ]

    def _audits(
        self,
        client: gradebox.Client,
        batch: Sequence[Work],
        decided: Sequence[Decisions | None],
        others: Mapping[int, list[Verdicts]],
    ) -> dict[int, Audit]:
        """An audit for each problem that stays, over the tests that it keeps."""
        questions = []
        for number, (work, decisions) in enumerate(zip(batch, decided, strict=True)):
            if decisions is None or decisions.why or decisions.best is None or not self._settings.mutants:
                continue
            tests = [work.checked["tests"][index] for index in decisions.kept]
            programs = mutants(work.strong[decisions.best], self._settings.mutants)
            questions.append(Question(number, work.checked, tests, programs, self._settings.mutant_cpu_time_s))
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
            found[question.key] = audit(failed[question.key], wrong, len(question.tests))
        return found

    def write(self, table: Path | None) -> None:
        """Writes the problems that stay, and one row a test into `table`: kept, or why not, and what it is worth.

        By default the table stands beside the output.
        """
        rows: list[dict[str, Any]] = []
        counts: Counter[str] = Counter()
        whys: dict[str, Counter[str]] = {"problems": Counter(), "tests": Counter(), "flags": Counter()}
        scores: list[float] = []
        kept = write_rows(self._output, self._kept(rows, counts, whys, scores))
        write_rows(table or beside(self._output, "tests"), rows)
        self.summary = {
            "problems": counts["problems"],
            "kept_problems": kept,
            "tests": counts["tests"],
            "kept_tests": counts["kept_tests"],
            "redundant_tests": counts["redundant_tests"],
            "dropped_problems": dict(whys["problems"].most_common()),
            "dropped_tests": dict(whys["tests"].most_common()),
            "flagged_tests": dict(whys["flags"].most_common()),
            "mutation_score": round(sum(scores) / len(scores), 4) if scores else None,
            "undecided": len(self.undecided),
        }

    def _kept(
        self,
        table: list[dict[str, Any]],
        counts: Counter[str],
        whys: Mapping[str, Counter[str]],
        scores: list[float],
    ) -> Iterator[dict[str, Any]]:
        for work in self._work():
            if work.sha256 not in self._places:
                continue
            outcome = self._log.read(self._places[work.sha256])
            counts["problems"] += 1
            for index, (test, judged) in enumerate(zip(work.row["tests"], outcome["tests"], strict=True)):
                kept = not judged["why"] and not outcome["why"]
                why = judged["why"] or outcome["why"]
                counts["tests"] += 1
                counts["kept_tests"] += kept
                counts["redundant_tests"] += kept and judged["redundant"] is True
                if not kept:
                    whys["tests"][why] += 1
                whys["flags"].update(judged["flags"])
                text = test if isinstance(test, str) else json.dumps(test)
                table.append(
                    {"id": work.row["id"], "test_index": index, "test": text, "kept": kept, **judged, "why": why}
                )
            if outcome["why"]:
                whys["problems"][outcome["why"]] += 1
                continue
            if outcome["audit"] and outcome["audit"]["mutation_score"] is not None:
                scores.append(outcome["audit"]["mutation_score"])
            yield _kept_row(work.row, outcome)

    def close(self) -> None:
        self._log.close()
        self._problems.close()

    def __enter__(self) -> "Filter":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _failed_tests(client: gradebox.Client, questions: Sequence[Question]) -> dict[int, list[set[int]]]:
    """For each mutant the tests that fail it.

    Mutants that never end are told by a first run that stops at the first failure: running such a one on all tests
    would cost a time limit each. Of them only that test is known, and the others do not count.
    """
    first = matrices(client, questions, stop_early=True)
    failed: dict[int, list[set[int]]] = {}
    rest: list[tuple[Question, list[int]]] = []
    for question in questions:
        failed[question.key] = [_failing(row) for row in first[question.key]]
        endless = [any(verdict in _ENDLESS for verdict in row) for row in first[question.key]]
        numbers = [n for n, tests in enumerate(failed[question.key]) if tests and not endless[n]]
        programs = [question.programs[number] for number in numbers]
        rest.append((Question(question.key, question.problem, question.tests, programs, question.cpu_time_s), numbers))
    full = matrices(client, [question for question, _ in rest])
    for question, numbers in rest:
        for number, row in zip(numbers, full[question.key], strict=True):
            failed[question.key][number] |= _failing(row)
    return failed


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


def _kept_row(row: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The problem with the tests that stay; `meta.filter` has the audit, and the weights beside the tests."""
    judged = outcome["tests"]
    indexes = [index for index, test in enumerate(judged) if not test["why"]]
    meta = dict(row.get("meta") or {})
    if isinstance(meta.get("votes"), list):
        meta["votes"] = [meta["votes"][index] for index in indexes]
    meta["filter"] = {
        "tests_before": len(judged),
        **(outcome["audit"] or {}),
        "weights": [judged[index]["weight"] for index in indexes],
    }
    return {**row, "tests": [row["tests"][index] for index in indexes], "meta": meta}
