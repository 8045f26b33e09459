"""`gradebox sample`: problems → answers of a model → programs.

A row of the output is one problem's programs by one generator, in the order of its answers. An answer without a
program is counted (`meta.without_code`) and makes none.
"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gradebox import extract_code
from gradebox_command.errors import InputError
from gradebox_command.rows import json_kind, read_rows
from gradebox_command.writing import write_rows
from gradebox_trainer.files import beside
from gradebox_trainer.models import Model, Request, Settings
from gradebox_trainer.models.kept import KeptAnswers
from gradebox_trainer.prompts import conversation


class Sampling:
    """One run of the command."""

    def __init__(
        self, problems: Path, output: Path, generator: str, model_name: str, count: int, settings: Settings
    ) -> None:
        """Checks all of the input.

        Raises:
            InputError: a problem has no text, or the output is there and is no programs file.
        """
        self._path = problems
        self._output = output
        self.generator = generator
        self._settings = settings
        self._count = count if settings.temperature > 0 else 1  # greedy answers are all the same
        self.problems = sum(1 for _ in self._requests())
        self.programs = 0
        self.without_code = 0
        for line, row in self._others():
            if not isinstance(row.get("programs"), list):
                raise InputError(output, line, "programs", "missing: not a programs file")
        self.answers = KeptAnswers(beside(output, "answers"), model_name, settings)

    @property
    def wanted(self) -> int:
        """How many answers the problems need, those that are there included."""
        return self.problems * self._count

    def ask(self, model: Model, advance: Callable[[int], None]) -> None:
        """Asks the model for the answers that are not there.

        Raises:
            CommandError: the model does not answer. What it answered is kept.
        """
        asyncio.run(self.answers.ask(model, (request for _, request in self._requests()), advance))

    def _requests(self) -> Iterator[tuple[dict[str, Any], Request]]:
        """Each problem's row with its request."""
        for line, row in read_rows(self._path):
            id = row.get("id")
            if not isinstance(id, str) or not id:
                raise InputError(self._path, line, "id", "missing" if id is None else "must be a string, not empty")
            question = next((row[field] for field in ("question", "prompt") if row.get(field) is not None), None)
            if not isinstance(question, str):
                what = "missing" if question is None else f"must be a string, is {json_kind(question)}"
                raise InputError(self._path, line, "question", what)
            messages = conversation(
                "sample",
                question=question.strip(),
                entry_point=row.get("entry_point"),
                language=(row.get("language") or "python").capitalize(),
            )
            yield row, Request(id, messages, 0, self._count)

    def _others(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows of other generators that the output has."""
        if self._output.exists():
            for line, row in read_rows(self._output):
                if row.get("generator") != self.generator:
                    yield line, row

    def write(self) -> None:
        """Writes the programs; those of other generators stay in front of them."""
        write_rows(self._output, self._rows())

    def _rows(self) -> Iterator[dict[str, Any]]:
        for _, row in self._others():
            yield row
        settings = self._settings
        sampled = {"temperature": settings.temperature, "top_p": settings.top_p, "max_tokens": settings.max_tokens}
        for row, request in self._requests():
            programs = [
                extract_code(answer.text, language=row.get("language") or "python", entry_point=row.get("entry_point"))
                for answer in self.answers.answers(request)
            ]
            found = [program for program in programs if program is not None]
            self.programs += len(found)
            self.without_code += len(programs) - len(found)
            meta = {"sampled": sampled, "without_code": len(programs) - len(found)}
            yield {"id": request.key, "generator": self.generator, "programs": found, "meta": meta}

    def summary(self) -> dict[str, Any]:
        """The numbers, for --json."""
        names = ("generator", "problems", "programs", "without_code")
        return {name: getattr(self, name) for name in names}
