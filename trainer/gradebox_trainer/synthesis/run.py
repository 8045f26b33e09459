"""`gradebox synthesize`: seeds → answers of a model → problems with tests."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradebox_command.writing import write_rows
from gradebox_trainer.files import beside
from gradebox_trainer.models import Model, Request, Settings
from gradebox_trainer.models.kept import KeptAnswers
from gradebox_trainer.prompts import conversation
from gradebox_trainer.synthesis.answer import SCHEMA, Exercise, Unreadable, read_answer
from gradebox_trainer.synthesis.overlap import Evaluations, NearDuplicates
from gradebox_trainer.synthesis.problems import Draft, drafts
from gradebox_trainer.synthesis.resources import outside_of_code, outside_of_question
from gradebox_trainer.synthesis.seeds import Seed, read_seeds


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command. `tests` are asked for in a prompt; `min_tests` and `max_tests` bound a problem,
    `cpu_time_s` is written into its limits."""

    seeds: Path
    output: Path
    evaluations: tuple[Path, ...]
    answers: int
    tests: int
    min_tests: int
    max_tests: int
    cpu_time_s: float | None
    near_duplicate: float
    contamination_words: int


@dataclass
class Outcome:
    """What became of the seeds: counts by reason."""

    seeds: int = 0
    problems: int = 0
    tests: int = 0
    dropped_seeds: Counter[str] = field(default_factory=Counter)
    dropped_answers: Counter[str] = field(default_factory=Counter)
    dropped_problems: Counter[str] = field(default_factory=Counter)
    dropped_tests: Counter[str] = field(default_factory=Counter)

    def summary(self) -> dict[str, Any]:
        """The numbers, for --json."""
        counts = {name: getattr(self, name) for name in ("seeds", "problems", "tests")}
        reasons = {
            f"dropped_{what}": dict(getattr(self, f"dropped_{what}").most_common())
            for what in ("seeds", "answers", "problems", "tests")
        }
        return {**counts, **reasons}


class Synthesis:
    """One run of the command. `ask` it, then `write` the problems; both go over the seeds in their order."""

    def __init__(self, options: Options, model_name: str, settings: Settings) -> None:
        """Checks all of the input.

        Raises:
            InputError: a seed or an evaluation problem is wrong.
        """
        self.options = options
        self._model_name = model_name
        self._evaluations = Evaluations(options.evaluations, options.contamination_words)
        self._refused: dict[str, tuple[str, str]] = {}
        self.outcome = Outcome(seeds=sum(1 for _ in self._look_at_seeds()))
        self.answers = KeptAnswers(beside(options.output, "answers"), model_name, settings)

    def _look_at_seeds(self) -> Iterator[Seed]:
        """All seeds. Those that no exercise can be made of are found on the way."""
        seen: set[str] = set()
        for seed in read_seeds(self.options.seeds):
            if seed.sha256 in seen:
                self._refused[seed.id] = "a duplicate", ""
            elif outside := outside_of_code(seed.code):
                self._refused[seed.id] = "needs what a test has not", outside
            elif evaluation := self._evaluations.overlap(seed.code, seed.instruction or ""):
                self._refused[seed.id] = "overlaps with an evaluation", evaluation
            seen.add(seed.sha256)
            yield seed

    @property
    def wanted(self) -> int:
        """How many answers the seeds need, those that are there included."""
        return (self.outcome.seeds - len(self._refused)) * self.options.answers

    def ask(self, model: Model, advance: Callable[[int], None]) -> None:
        """Asks the model for the answers that are not there.

        Raises:
            CommandError: the model does not answer. What it answered is kept.
        """
        requests = (self._request(seed) for seed in read_seeds(self.options.seeds) if seed.id not in self._refused)
        asyncio.run(self.answers.ask(model, requests, advance))

    def _request(self, seed: Seed) -> Request:
        messages = conversation(
            "synthesize",
            code=seed.code.strip(),
            instruction=seed.instruction,
            entry_point=seed.entry_point,
            tests=self.options.tests,
        )
        return Request(seed.id, messages, 0, self.options.answers, SCHEMA)

    def write(self) -> None:
        """Writes the problems, and beside them what was dropped, row by row, and why."""
        dropped: list[dict[str, str]] = []
        self.outcome.problems = write_rows(self.options.output, self._problems(dropped))
        write_rows(beside(self.options.output, "dropped"), dropped)

    def _problems(self, dropped: list[dict[str, str]]) -> Iterator[dict[str, Any]]:
        near = NearDuplicates(self.options.near_duplicate)
        for seed in read_seeds(self.options.seeds):
            if seed.id in self._refused:
                why, detail = self._refused[seed.id]
                self.outcome.dropped_seeds[why] += 1
                dropped.append({"seed": seed.id, "what": "seed", "why": why, "detail": detail})
                continue
            for number, draft in enumerate(drafts(self._exercises(seed, dropped))):
                id = seed.id if number == 0 else f"{seed.id}#{number}"
                tests, refused = draft.tests(self.options.max_tests)
                self.outcome.dropped_tests += refused
                why, detail = self._why_not(id, draft, tests, near)
                if why:
                    self.outcome.dropped_problems[why] += 1
                    dropped.append({"seed": seed.id, "what": "problem", "why": why, "detail": detail})
                    continue
                self.outcome.tests += len(tests)
                row = draft.to_row(id, tests, {"seed": seed.id, "model": self._model_name})
                if self.options.cpu_time_s is not None:
                    row["limits"] = {"cpu_time_s": self.options.cpu_time_s}
                yield row

    def _exercises(self, seed: Seed, dropped: list[dict[str, str]]) -> Iterator[Exercise]:
        for number, answer in enumerate(self.answers.answers(self._request(seed))):
            try:
                yield read_answer(answer.text, cut_off=answer.finish_reason == "length")
            except Unreadable as why:
                self.outcome.dropped_answers[str(why)] += 1
                dropped.append({"seed": seed.id, "what": f"answer {number}", "why": str(why), "detail": ""})

    def _why_not(self, id: str, draft: Draft, tests: list[str], near: NearDuplicates) -> tuple[str, str]:
        """Why a problem is dropped, with a detail; nothing for one that stays."""
        if outside := outside_of_question(draft.question):
            return "needs what a test has not", outside
        if len(tests) < self.options.min_tests:
            return f"fewer than {self.options.min_tests} tests", str(len(tests))
        if evaluation := self._evaluations.overlap(draft.question):
            return "overlaps with an evaluation", evaluation
        if twin := near.add(id, draft.question):
            return "nearly the same as another", twin
        return "", ""

    def close(self) -> None:
        self.answers.close()
