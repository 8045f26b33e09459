"""Answers that are kept from the moment they arrive, and never asked for again.

They stand in one file beside a command's output, as they came, in the order of arrival. An answer is known by what
was asked (model, conversation, settings, schema) and by its number: a changed prompt is a new question.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from gradebox_command.errors import CommandError, InputError
from gradebox_command.row_log import RowLog
from gradebox_trainer.models import Answer, Model, Refusal, Request, Settings


@dataclass
class Usage:
    """What a run asked for and got. Prices are US dollars per million tokens; cost is None without them."""

    asked: int = 0
    answers: int = 0
    kept_before: int = 0
    refused: int = 0
    cut_off: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def summary(self, prices: tuple[float, float] | None) -> dict[str, Any]:
        """The numbers, for --json."""
        cost = None
        if prices is not None:
            cost = round((self.prompt_tokens * prices[0] + self.completion_tokens * prices[1]) / 1e6, 6)
        return {**asdict(self), "cost_usd": cost}


class KeptAnswers:
    """The answers file of a command's output. Use it as a context manager.

    Raises:
        CommandError: it cannot be written, or another process writes it.
        InputError: it holds something else.
    """

    def __init__(self, path: Path, model_name: str, settings: Settings) -> None:
        self._log = RowLog(path)
        self._asked = {"model": model_name, **asdict(settings)}
        self._places: dict[tuple[str, int], int] = {}
        self.usage = Usage()
        self.refusals: dict[str, str] = {}
        try:
            for number, (place, row) in enumerate(self._log.rows(), 1):
                try:
                    if "refused" not in row:
                        self._places[sys.intern(row["sha256"]), row["number"]] = place
                except KeyError as missing:
                    raise InputError(path, number, str(missing.args[0]), "missing: not an answers file") from None
        except BaseException:
            self.close()
            raise

    async def ask(self, model: Model, requests: Iterable[Request], advance: Callable[[int], None]) -> None:
        """Asks for those answers that are not there yet. `advance` is told of every one.

        Raises:
            CommandError: see `Model.ask`; or nothing at all was answered.
        """
        todo: Iterable[Request] = self._missing(requests, advance)
        while True:
            rests = []
            async for request, answered in model.ask(todo):
                rest = self._keep(request, answered)
                advance(request.count - (rest.count if rest else 0))
                if rest is not None:
                    rests.append(rest)
            if not rests:
                break
            todo = rests  # of servers that give fewer answers at a time than were asked for

        if self.refusals and not self._places:
            reason = next(iter(self.refusals.values()))
            raise CommandError(f"every request was refused: {reason}")

    def _keep(self, request: Request, answered: list[Answer] | Refusal) -> Request | None:
        """Files what came; returns a request for what did not, if anything."""
        sha256 = self._sha256(request)
        if isinstance(answered, Refusal):
            self.usage.refused += request.count
            self.refusals[request.key] = answered.reason
            self._log.append({"key": request.key, "sha256": sha256, "refused": answered.reason})
            return None
        for number, answer in enumerate(answered, request.first):
            row = {"key": request.key, "sha256": sha256, "number": number, **asdict(answer)}
            self._places[sha256, number] = self._log.append(row)
            self.usage.answers += 1
            self.usage.prompt_tokens += answer.prompt_tokens
            self.usage.completion_tokens += answer.completion_tokens
            self.usage.cut_off += answer.finish_reason == "length"
        if len(answered) >= request.count:
            return None
        first, count = request.first + len(answered), request.count - len(answered)
        return Request(request.key, request.messages, first, count, request.schema)

    def _missing(self, requests: Iterable[Request], advance: Callable[[int], None]) -> Iterator[Request]:
        for request in requests:
            sha256 = self._sha256(request)
            wanted = [n for n in range(request.first, request.first + request.count) if (sha256, n) not in self._places]
            self.usage.kept_before += request.count - len(wanted)
            advance(request.count - len(wanted))
            for first, last in _runs(wanted):
                self.usage.asked += last - first + 1
                yield Request(request.key, request.messages, first, last - first + 1, request.schema)

    def answers(self, request: Request) -> list[Answer]:
        """Those of the answers to a request that are there, in the order of their numbers."""
        sha256 = self._sha256(request)
        numbers = range(request.first, request.first + request.count)
        places = (self._places.get((sha256, number)) for number in numbers)
        rows = (self._log.read(place) for place in places if place is not None)
        names = Answer.__dataclass_fields__
        return [Answer(**{name: row[name] for name in names}) for row in rows]

    def _sha256(self, request: Request) -> str:
        asked = {**self._asked, "messages": [dict(message) for message in request.messages], "schema": request.schema}
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def close(self) -> None:
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """(first, last) of each run of numbers that follow one another."""
    start = 0
    for index, number in enumerate(numbers):
        if index + 1 == len(numbers) or numbers[index + 1] != number + 1:
            yield numbers[start], number
            start = index + 1
