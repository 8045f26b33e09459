"""Language models behind one interface: an OpenAI-compatible endpoint, vLLM in this process, transformers.

A `Request` asks for answers number `first` up to `first + count` to one conversation. Answers are numbered, so that
what is missing after an interruption can be asked for alone; a model that can be seeded takes the number into its
seed.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Settings:
    """How answers are drawn. `max_tokens` bounds one answer."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One conversation to be answered.

    Attributes:
        key: what the caller knows it by.
        messages: `{"role", "content"}` each.
        first: number of the first answer that is wanted, from 0.
        count: how many are wanted, from 1.
        schema: JSON schema that the answers should follow, where the model can be held to one.
    """

    key: str
    messages: tuple[Mapping[str, str], ...]
    first: int = 0
    count: int = 1
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as it came. Tokens of the prompt are counted at the first answer of a request only."""

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model cannot answer this conversation (too long, filtered): asking again is of no use."""

    reason: str


class Model(Protocol):
    """What answers requests."""

    @property
    def name(self) -> str:
        """What the answers are filed under."""
        ...

    def ask(self, requests: Iterable[Request]) -> AsyncIterator[tuple[Request, list[Answer] | Refusal]]:
        """Answers requests, in any order, possibly with fewer answers at a time than were asked for: then the same
        request comes several times. Takes from `requests` no more than it is working on.

        Raises:
            CommandError: the model is not there, or does not answer any more.
        """
        ...
