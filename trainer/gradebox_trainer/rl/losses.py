"""The policy's loss; pure functions of tensors.

Every token has a weight that is fixed for the whole batch before it is cut into pieces (`token_weights`), and a loss is
the weighted sum over tokens: so the pieces of a batch, whatever their number, add up to its loss and its gradient.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gradebox_trainer.rl.advantages import Sum, same
from gradebox_trainer.rl.estimators import Kl, Mean

_KL_CLAMP = 10.0


def token_weights(mask: Tensor, mean: Mean, *, max_tokens: int, sum_over_processes: Sum = same) -> Tensor:
    """Weights [B, T] of tokens in a batch's loss, 0 where `mask` is.

    `tokens`: equal, 1 in sum. `answers`: an answer's tokens share 1/B. `max_tokens`: each has 1/(B * max_tokens),
    whatever the answer's length (Dr.GRPO). B counts the answers with a token in `mask`, over all processes.
    """
    weights = mask.float()
    lengths = weights.sum(1, keepdim=True)
    if mean == "tokens":
        return weights / sum_over_processes(weights.sum()).clamp(min=1)
    answers = sum_over_processes((lengths > 0).float().sum()).clamp(min=1)
    if mean == "answers":
        return weights / lengths.clamp(min=1) / answers
    return weights / (answers * max_tokens)


@dataclass(frozen=True, slots=True)
class ClippedLoss:
    """A weighted sum over tokens, and which tokens [B, T] were clipped, so that they have no gradient."""

    loss: Tensor
    clipped_low: Tensor
    clipped_high: Tensor


def clipped_loss(
    logps: Tensor, old_logps: Tensor, advantages: Tensor, weights: Tensor, *, clip_low: float, clip_high: float
) -> ClippedLoss:
    """PPO's clipped objective: the sum of -min(ratio * A, clip(ratio, 1 - clip_low, 1 + clip_high) * A), weighted.

    All tensors are [B, T]; `weights` are those of `token_weights`.
    """
    ratio = (logps - old_logps).clamp(-20.0, 20.0).exp()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    per_token = -torch.minimum(ratio * advantages, clipped * advantages)
    low = (ratio < 1 - clip_low) & (advantages < 0)
    high = (ratio > 1 + clip_high) & (advantages > 0)
    return ClippedLoss(_weighted(per_token, weights), low, high)


def log_ratio(logps: Tensor, reference: Tensor) -> Tensor:
    """k1: the log-ratio [B, T] of policy to reference, within ±10; its mean over the policy's tokens is the KL."""
    return (logps.float() - reference.float()).clamp(-_KL_CLAMP, _KL_CLAMP)


def kl_loss(logps: Tensor, reference: Tensor, weights: Tensor, kl: Kl) -> Tensor:
    """The weighted sum of Schulman's estimators of KL(policy || reference), to be minimised: k2 = r²/2,
    k3 = exp(-r) - 1 + r, where r is the log-ratio, clamped above -10 for k3. Both are capped at 10."""
    ratio = logps.float() - reference.float()
    if kl == "k2_loss":
        per_token = ratio**2 / 2
    elif kl == "k3_loss":
        ratio = ratio.clamp(min=-_KL_CLAMP)
        per_token = (-ratio).exp() - 1 + ratio
    else:
        raise ValueError(f"{kl} is no loss")
    return _weighted(per_token.clamp(max=_KL_CLAMP), weights)


def _weighted(per_token: Tensor, weights: Tensor) -> Tensor:
    # Not a product alone: what stands where there is no token may be infinite.
    return torch.where(weights > 0, per_token * weights, 0.0).sum()
