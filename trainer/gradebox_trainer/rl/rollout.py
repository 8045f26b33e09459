"""Answers from the policy. A sampler yields them in parts, so that the first are graded while the next are written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from gradebox_trainer.rl.answers import Answer


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn; temperature 0 takes the likeliest token."""

    temperature: float
    top_p: float
    max_tokens: int


class Sampler(Protocol):
    """What writes answers."""

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling, seed: int
    ) -> Iterator[list[list[Answer]]]:
        """`count` answers to each prompt, prompts in order, some at a time. The same for the same weights and seed."""
        ...

    def update(self, model: Any) -> None:
        """Takes over the policy's weights."""
        ...


class TransformersSampler:
    """transformers' `generate`, on the policy itself, or on a copy of it where the policy's weights are sharded.

    Args:
        batch: answers that are written at once.
        copied: whether `model` is a copy, which takes over the policy's weights.
    """

    def __init__(self, model: Any, tokenizer: Any, batch: int, *, copied: bool = False) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._batch = batch
        self._copied = copied

    @torch.no_grad()
    def update(self, model: Any) -> None:
        """See `Sampler`."""
        if self._copied:
            for own, weight in zip(self._model.parameters(), model.parameters(), strict=True):
                full = getattr(weight, "full_tensor", None)
                own.copy_(full() if full is not None else weight)

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling, seed: int
    ) -> Iterator[list[list[Answer]]]:
        """See `Sampler`."""
        at_once = max(1, self._batch // count)
        training = self._model.training
        for start in range(0, len(prompts), at_once):
            torch.manual_seed(seed + start)
            self._model.eval()
            try:
                part = self._part(prompts[start : start + at_once], count, sampling)
            finally:
                self._model.train(training)
            yield part

    @torch.no_grad()
    def _part(self, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling) -> list[list[Answer]]:
        width = max(map(len, prompts))
        padding = self._tokenizer.pad_token_id
        ids = torch.full((len(prompts), width), padding)
        attention = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            attention[row, width - len(prompt) :] = 1
        drawn = sampling.temperature > 0
        # What a model's own generation_config says is left out: answers are to come from the distribution trained on.
        how: dict[str, Any] = {"repetition_penalty": 1.0, "temperature": None, "top_p": None, "top_k": None}
        if drawn:
            how |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        outputs = self._model.generate(
            input_ids=ids.to(self._model.device),
            attention_mask=attention.to(self._model.device),
            do_sample=drawn,
            num_return_sequences=count if drawn else 1,
            max_new_tokens=sampling.max_tokens,
            pad_token_id=padding,
            **how,
        )[:, width:].tolist()
        copies = 1 if drawn else count
        per_prompt = count if drawn else 1
        ends = end_tokens(self._model, self._tokenizer)
        return [
            [
                answer
                for tokens in outputs[place * per_prompt : (place + 1) * per_prompt]
                for answer in [make_answer(prompt, tokens, ends, self._tokenizer)] * copies
            ]
            for place, prompt in enumerate(prompts)
        ]


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer."""
    ends = getattr(model.generation_config, "eos_token_id", None)
    return frozenset(ends if isinstance(ends, list) else [ends]) - {None} | {int(tokenizer.eos_token_id)}


def make_answer(prompt: Sequence[int], tokens: Sequence[int], ends: frozenset[int], tokenizer: Any) -> Answer:
    """The answer up to its end token; what stands behind it is padding."""
    end = next((place for place, token in enumerate(tokens) if token in ends), None)
    kept = tuple(tokens if end is None else tokens[: end + 1])
    text = tokenizer.decode(kept, skip_special_tokens=True)
    return Answer(tuple(prompt), kept, text, end is None)
