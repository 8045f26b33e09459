"""An OpenAI-compatible endpoint: vLLM's server, SGLang, llama.cpp, a hosted service.

Servers differ in what they take. What a server refuses with status 400 is asked for again with less, in the order of
`_LESS`; once an answer came that way, the run stays with it.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import openai
from aiolimiter import AsyncLimiter

from gradebox_command.errors import CommandError, one_line
from gradebox_trainer.models import Answer, Refusal, Request, Settings

_LESS: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({"response_format"}),
    frozenset({"response_format", "seed", "n"}),
)
"""Parameters that are left out, from nothing to all that a server may not know."""

_CHARACTERS_PER_TOKEN = 3.5  # of code and English in current tokenizers; for the rate limit alone
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What may be asked of the endpoint.

    Attributes:
        concurrency: requests under way at once.
        requests_per_minute, tokens_per_minute: None for no limit.
        attempts: how often one request is tried before the run ends.
        timeout_s: for one answer of the server.
    """

    concurrency: int = 16
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    attempts: int = 8
    timeout_s: float = 600.0


class Endpoint:
    """A model that a server has. `api_key` goes to the server alone, and into no file."""

    def __init__(self, name: str, base_url: str, api_key: str, settings: Settings, traffic: Traffic) -> None:
        self.name = name
        self._base_url = base_url
        self._api_key = api_key
        self._settings = settings
        self._traffic = traffic
        self._less = 0
        self._max_tokens = "max_tokens"
        self._not_before_s = 0.0
        self._completion_tokens, self._completions = 0, 0
        self._requests = _limiter(traffic.requests_per_minute)
        self._tokens = _limiter(traffic.tokens_per_minute)
        self.retries = 0

    async def ask(self, requests: Iterable[Request]) -> AsyncIterator[tuple[Request, list[Answer] | Refusal]]:
        """See `Model.ask`."""
        waiting = iter(requests)
        tasks: dict[asyncio.Task[list[Answer] | Refusal], Request] = {}
        client = openai.AsyncOpenAI(
            base_url=self._base_url, api_key=self._api_key, timeout=self._traffic.timeout_s, max_retries=0
        )
        try:
            while True:
                while len(tasks) < self._traffic.concurrency and (request := next(waiting, None)) is not None:
                    tasks[asyncio.create_task(self._answer(client, request))] = request
                if not tasks:
                    return
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield tasks.pop(task), task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()

    async def _answer(self, client: openai.AsyncOpenAI, request: Request) -> list[Answer] | Refusal:
        less = self._less
        attempt = 0
        while True:
            await self._wait_for_turn(request)
            try:
                body = await client.chat.completions.with_raw_response.create(**self._parameters(request, less))
                answers = self._answers(request, body.http_response.json())
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if "max_completion_tokens" in str(error) and self._max_tokens == "max_tokens":
                    self._max_tokens = "max_completion_tokens"
                elif less + 1 < len(_LESS):
                    less = max(less + 1, self._less)
                else:
                    return Refusal(one_line(str(error), 300))
                continue
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                raise CommandError(f"{self._base_url}: {one_line(str(error), 300)}") from None
            except (openai.APIConnectionError, openai.APIStatusError, ValueError) as error:
                attempt += 1
                status = error.status_code if isinstance(error, openai.APIStatusError) else None
                if attempt >= self._traffic.attempts or (
                    status is not None and 400 <= status < 500 and status not in _AGAIN
                ):
                    raise CommandError(
                        f"{self._base_url} does not answer (tried {attempt} times): {one_line(str(error), 300)}"
                    ) from None
                self.retries += 1
                self._back_off(error, attempt)
                continue
            self._less = max(self._less, less)
            return answers

    def _parameters(self, request: Request, less: int) -> dict[str, Any]:
        settings = self._settings
        parameters: dict[str, Any] = {
            "model": self.name,
            "messages": list(request.messages),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            self._max_tokens: settings.max_tokens,
            "seed": settings.seed + request.first,
        }
        if request.count > 1:
            parameters["n"] = request.count
        if request.schema is not None:
            parameters["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": request.schema},
            }
        return {name: value for name, value in parameters.items() if name not in _LESS[less]}

    def _answers(self, request: Request, body: Mapping[str, Any]) -> list[Answer]:
        """The choices of a response's body. Raises ValueError where it is not one (a proxy's page, an empty list)."""
        try:
            choices = sorted(body["choices"], key=lambda choice: choice.get("index", 0))[: request.count]
            texts = [choice["message"].get("content") or "" for choice in choices]
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a chat completion: {error!r}") from None
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("a chat completion without an answer")
        usage = body.get("usage") or {}
        prompt, completion = int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)
        self._completion_tokens += completion
        self._completions += len(texts)
        common = {key: body[key] for key in ("id", "model", "system_fingerprint") if body.get(key)}
        return [
            Answer(
                text=text,
                finish_reason=str(choice.get("finish_reason") or ""),
                prompt_tokens=prompt if number == 0 else 0,
                completion_tokens=completion // len(texts) + (number < completion % len(texts)),
                raw={**common, "choice": choice},
            )
            for number, (text, choice) in enumerate(zip(texts, choices, strict=True))
        ]

    async def _wait_for_turn(self, request: Request) -> None:
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            prompt = sum(len(message["content"]) for message in request.messages) / _CHARACTERS_PER_TOKEN
            one = self._completion_tokens / self._completions if self._completions else self._settings.max_tokens
            await self._tokens.acquire(min(prompt + request.count * one, self._tokens.max_rate))
        loop = asyncio.get_running_loop()
        while (now := loop.time()) < self._not_before_s:
            await asyncio.sleep(self._not_before_s - now)

    def _back_off(self, error: Exception, attempt: int) -> None:
        """Nobody asks before the time that the server names; without one, waits grow and are spread at random."""
        wait_s = _retry_after_s(error)
        if wait_s is None:
            wait_s = random.uniform(0.5, 1.0) * min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempt - 1))
        self._not_before_s = max(self._not_before_s, asyncio.get_running_loop().time() + wait_s)


_AGAIN = (408, 409, 425, 429)


def _limiter(per_minute: int | None) -> AsyncLimiter | None:
    return AsyncLimiter(per_minute, 60) if per_minute else None


def _retry_after_s(error: Exception) -> float | None:
    """What the server said in Retry-After (in seconds; a date is passed over) or Retry-After-Ms."""
    if not isinstance(error, openai.APIStatusError):
        return None
    for header, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return max(0.0, float(error.response.headers[header]) * unit_s)
        except (KeyError, ValueError):
            continue
    return None
