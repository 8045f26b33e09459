"""Answers as tokens, and batches of them as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradebox_trainer.training.distributed import Processes


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `tokens` include the end token where the model ended it; else it is `truncated`."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts padded on the left, answers on the right.

    Attributes:
        ids: [B, P + T].
        attention: [B, P + T], 1 where there is a token.
        mask: [B, T], 1 for an answer's tokens.
    """

    ids: Tensor
    attention: Tensor
    mask: Tensor

    @property
    def answer_width(self) -> int:
        """T."""
        return int(self.mask.shape[1])


def pad(answers: Sequence[Answer], padding: int, device: torch.device) -> Batch:
    """A batch as wide as its longest prompt and its longest answer."""
    prompt_width = max(len(answer.prompt) for answer in answers)
    answer_width = max(1, *(len(answer.tokens) for answer in answers))
    ids = torch.full((len(answers), prompt_width + answer_width), padding)
    attention = torch.zeros_like(ids)
    for row, answer in enumerate(answers):
        start = prompt_width - len(answer.prompt)
        end = prompt_width + len(answer.tokens)
        ids[row, start:end] = torch.tensor(answer.prompt + answer.tokens)
        attention[row, start:end] = 1
    return Batch(ids.to(device), attention.to(device), attention[:, prompt_width:].to(device))


def pieces(answers: Sequence[Answer], token_budget: int) -> list[list[int]]:
    """Indexes of the answers, in groups of like length that have at most `token_budget` tokens with their padding
    (an answer that has more is alone)."""
    order = sorted(range(len(answers)), key=lambda index: len(answers[index].prompt) + len(answers[index].tokens))
    result: list[list[int]] = []
    prompt_width = answer_width = 0
    for index in order:
        answer = answers[index]
        wider = (max(prompt_width, len(answer.prompt)), max(answer_width, len(answer.tokens)))
        if result and (len(result[-1]) + 1) * sum(wider) <= token_budget:
            result[-1].append(index)
            prompt_width, answer_width = wider
        else:
            result.append([index])
            prompt_width, answer_width = len(answer.prompt), len(answer.tokens)
    return result


def in_step(parts: list[list[int]], processes: Processes) -> list[list[int]]:
    """The parts, with as many empty ones behind as another process has more: sharded layers are gathered by all."""
    if processes.world == 1:
        return parts
    most = torch.tensor(len(parts), device=processes.device)
    torch.distributed.all_reduce(most, torch.distributed.ReduceOp.MAX)
    return parts + [[] for _ in range(int(most) - len(parts))]
