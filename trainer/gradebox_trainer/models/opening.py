"""The model that a command's options name."""

import os
from dataclasses import dataclass

from gradebox_command.errors import BadArgument
from gradebox_trainer.models import Model, Settings

BACKENDS = ("endpoint", "vllm", "transformers")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which model, where, and how much may be asked of it.

    Attributes:
        prices: US dollars per million tokens of prompts and of answers.
    """

    name: str
    backend: str
    endpoint: str | None
    concurrency: int
    requests_per_minute: int | None
    tokens_per_minute: int | None
    prices: tuple[float, float] | None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise BadArgument(f"--backend must be one of {', '.join(BACKENDS)}, is {self.backend!r}")
        if self.backend == "endpoint" and not self.endpoint:
            raise BadArgument("--endpoint (or OPENAI_BASE_URL) says where the model is; --backend: another way")


def open_model(choice: Choice, settings: Settings) -> Model:
    """Connects to the endpoint, or loads the model into this process."""
    if choice.backend == "endpoint":
        from gradebox_trainer.models.endpoint import Endpoint, Traffic

        assert choice.endpoint is not None  # by Choice
        traffic = Traffic(choice.concurrency, choice.requests_per_minute, choice.tokens_per_minute)
        # Servers without a key take any; the client wants one.
        return Endpoint(choice.name, choice.endpoint, os.environ.get("OPENAI_API_KEY") or "none", settings, traffic)
    if choice.backend == "vllm":
        from gradebox_trainer.models.local import Vllm

        return Vllm(choice.name, settings)
    from gradebox_trainer.models.local import Transformers

    return Transformers(choice.name, settings)


def parse_prices(text: str | None) -> tuple[float, float] | None:
    """`0.15,0.6` as two numbers. Raises BadArgument."""
    if text is None:
        return None
    try:
        prompt, answer = map(float, text.split(","))
    except ValueError:
        raise BadArgument(f"--prices must be two numbers with a comma between, is {text!r}") from None
    return prompt, answer
