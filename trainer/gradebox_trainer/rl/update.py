"""One step's answers into the policy's weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradebox_trainer.rl.advantages import scored
from gradebox_trainer.rl.answers import Answer, in_step, pad, pieces
from gradebox_trainer.rl.estimators import Estimator
from gradebox_trainer.rl.losses import clipped_loss, kl_loss, token_weights
from gradebox_trainer.rl.policy import answer_logps
from gradebox_trainer.rl.settings import RLSettings
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.training.optimizer import clip_gradients, set_learning_rate


@dataclass(frozen=True, slots=True)
class Experience:
    """A step's answers with all that the loss needs; tensors are on the CPU.

    Attributes:
        rewards: [B], NaN where missing.
        advantages: [B, T].
        old_logps: [B, T], of the policy that wrote the answers; None where the first update is the only one.
        reference_logps: [B, T], or None where no KL is asked for.
    """

    answers: Sequence[Answer]
    rewards: Tensor
    advantages: Tensor
    old_logps: Tensor | None
    reference_logps: Tensor | None


def answer_mask(answers: Sequence[Answer]) -> Tensor:
    """[B, T], 1 for an answer's tokens."""
    lengths = torch.tensor([len(answer.tokens) for answer in answers])
    return (torch.arange(max(1, int(lengths.max())))[None] < lengths[:, None]).float()


class Updater:
    """Makes optimiser steps; counts in means over tokens are those of all processes."""

    def __init__(
        self, model: Any, optimizer: Any, settings: RLSettings, estimator: Estimator, padding: int, processes: Processes
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._settings = settings
        self._estimator = estimator
        self._padding = padding
        self._processes = processes

    def update(self, experience: Experience, learning_rate: float) -> dict[str, float]:
        """All updates of a step; the figures of the loss. A step in which no answer has a reward changes nothing."""
        set_learning_rate(self._optimizer, learning_rate)
        count = len(experience.answers)
        parts = self._settings.updates_per_step
        size = count // parts
        figures: list[dict[str, float]] = []
        for part in range(parts):
            figure = self._one(experience, list(range(part * size, (part + 1) * size if part + 1 < parts else count)))
            if figure is not None:
                figures.append(figure)
        skipped = {"gradebox/skipped_updates": float(parts - len(figures))}
        if not figures:
            return skipped
        return {name: sum(figure[name] for figure in figures) / len(figures) for name in figures[0]} | skipped

    def _one(self, experience: Experience, indexes: list[int]) -> dict[str, float] | None:
        answers = [experience.answers[index] for index in indexes]
        rows = torch.tensor(indexes)
        mask = scored(experience.rewards[rows], answer_mask(experience.answers)[rows])
        if not float(self._sum(mask.sum().float())):
            return None
        weights = token_weights(
            mask,
            self._estimator.mean,
            max_tokens=self._settings.max_answer_tokens,
            sum_over_processes=self._sum,
        )
        token_share = token_weights(mask, "tokens", max_tokens=1, sum_over_processes=self._sum)
        sums = torch.zeros(5)
        for piece in in_step(pieces(answers, self._settings.train_tokens), self._processes):
            sums += self._backward(experience, answers, indexes, piece, weights, token_share)
        norm = clip_gradients(self._model, self._settings.max_gradient_norm)
        finite = bool(torch.isfinite(norm))
        if finite:
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        loss, kl, entropy, low, high = self._sum(sums).tolist()
        return {
            "loss": loss,
            "kl": kl,
            "entropy": entropy,
            "clip_ratio/low_mean": low,
            "clip_ratio/high_mean": high,
            "clip_ratio/region_mean": low + high,
            "grad_norm": float(norm),
            "gradebox/not_finite": float(not finite),
        }

    def _backward(
        self,
        experience: Experience,
        answers: Sequence[Answer],
        indexes: Sequence[int],
        piece: list[int],
        weights: Tensor,
        token_share: Tensor,
    ) -> Tensor:
        """Gradients of some of the answers; their part of loss, KL, entropy and clipped tokens."""
        device = self._processes.device
        idle = not piece  # nothing left here: the first answer once more, with no weight
        piece = piece or [0]
        batch = pad([answers[index] for index in piece], self._padding, device)
        width = batch.answer_width
        rows = torch.tensor(piece)
        whole = torch.tensor([indexes[index] for index in piece])
        weight = weights[rows, :width].to(device) * (not idle)
        share = token_share[rows, :width].to(device) * (not idle)
        advantages = experience.advantages[whole, :width].to(device)
        logps, entropy = answer_logps(self._model, batch, self._settings.temperature)
        old = logps.detach() if experience.old_logps is None else experience.old_logps[whole, :width].to(device)
        clipped = clipped_loss(
            logps,
            old,
            advantages,
            weight,
            clip_low=self._settings.clip_low,
            clip_high=self._settings.clip_high,
        )
        loss = clipped.loss
        kl = torch.zeros((), device=device)
        if experience.reference_logps is not None:
            reference = experience.reference_logps[whole, :width].to(device)
            if self._estimator.kl != "k1_reward" and self._settings.kl_coef:
                loss = loss + self._settings.kl_coef * kl_loss(logps, reference, weight, self._estimator.kl)
            kl = ((logps.detach() - reference) * share).sum()
        (loss * self._processes.world).backward()  # sharded gradients are means over processes
        shares = (entropy, clipped.clipped_low, clipped.clipped_high)
        return torch.stack([loss.detach(), kl, *((values * share).sum() for values in shares)]).cpu()

    def _sum(self, values: Tensor) -> Tensor:
        return self._processes.sum(values.to(self._processes.device)).cpu()
