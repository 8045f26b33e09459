"""From rewards of whole answers to an advantage for every token; pure functions of tensors.

B answers of at most T tokens. A reward that is NaN is missing (the engine's fault): its answer counts in no mean and no
variance, and its advantages are 0; whoever computes the loss leaves it out, too (`scored`).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gradebox_trainer.rl.estimators import Estimator

_GROUP_EPSILON = 1e-4
_WHITEN_VARIANCE = 1e-8

type Sum = Callable[[Tensor], Tensor]


def same(total: Tensor) -> Tensor:
    """The sum over all processes where there is one."""
    return total


def scored(rewards: Tensor, mask: Tensor) -> Tensor:
    """`mask` [B, T] without the answers whose reward [B] is missing."""
    return mask.bool() & ~rewards.isnan().unsqueeze(1)


def advantages(
    rewards: Tensor,
    mask: Tensor,
    groups: Tensor,
    estimator: Estimator,
    *,
    kl: Tensor | None = None,
    kl_coef: float = 0.0,
    sum_over_processes: Sum = same,
) -> Tensor:
    """One advantage a token, [B, T] in float32; 0 where there is no token, or no reward.

    As OpenRLHF's `compute_advantages_and_returns`: the shaped reward stands at an answer's last token, minus
    `kl_coef * kl` at every token; a token's return is the sum from it to the end; `whiten` normalises returns over the
    tokens of all answers. Discounting is 1.

    Args:
        rewards: [B], NaN where missing.
        mask: [B, T], 1 for an answer's tokens (from its first to its end token).
        groups: [B] integers; the answers to one prompt share theirs, and are all in one process.
        kl: [B, T], log-ratio of the policy that wrote the answers to the reference (k1); None: no KL in the reward.
        sum_over_processes: adds up a tensor over data-parallel processes, for `whiten`.
    """
    mask = scored(rewards, mask)
    token_rewards = torch.zeros(mask.shape, dtype=torch.float32, device=rewards.device)
    if kl is not None and kl_coef:
        token_rewards -= kl_coef * kl.float()
    shaped = shape_rewards(rewards.float(), groups, estimator)
    has_tokens = mask.any(1)
    last = mask.shape[1] - 1 - mask.long().flip(1).argmax(1)
    rows = torch.arange(len(rewards), device=rewards.device)
    token_rewards[rows[has_tokens], last[has_tokens]] += shaped[has_tokens]
    returns = (token_rewards * mask).nan_to_num(0.0).flip(1).cumsum(1).flip(1) * mask
    return whiten(returns, mask, sum_over_processes) if estimator.scale == "whiten" else returns


def shape_rewards(rewards: Tensor, groups: Tensor, estimator: Estimator) -> Tensor:
    """Rewards [B] minus the baseline, divided by the group's scale. NaN stays NaN.

    An answer with no other in its group that has a reward: 0 for `others`, and for the groups' mean.
    """
    if estimator.baseline == "none":
        return rewards
    _, at = groups.unique(return_inverse=True)
    there = ~rewards.isnan()
    known = rewards.nan_to_num(0.0)
    zeros = torch.zeros(int(at.max()) + 1, dtype=rewards.dtype, device=rewards.device)
    count = zeros.index_add(0, at, there.to(rewards.dtype))[at]
    total = zeros.index_add(0, at, known)[at]
    if estimator.baseline == "others":
        centred = rewards - (total - known) / (count - 1).clamp(min=1)
        return torch.where((count <= 1) & there, 0.0, centred)
    centred = rewards - total / count.clamp(min=1)
    if estimator.scale != "group":
        return centred
    squares = zeros.index_add(0, at, centred.nan_to_num(0.0) ** 2)[at]
    return centred / ((squares / (count - 1).clamp(min=1)).sqrt() + _GROUP_EPSILON)


def whiten(values: Tensor, mask: Tensor, sum_over_processes: Sum = same) -> Tensor:
    """Values [B, T] with mean 0 and variance 1 over the tokens of `mask`, weighted by token; 0 elsewhere.

    The variance is the population's, at least 1e-8, as OpenRLHF has it.
    """
    weights = mask.to(values.dtype)
    count, total = sum_over_processes(torch.stack([weights.sum(), (values * weights).sum()]))
    count = count.clamp(min=1)
    centred = (values - total / count) * weights
    variance = sum_over_processes((centred**2).sum()) / count
    return centred * variance.clamp(min=_WHITEN_VARIANCE).rsqrt()


def zero_variance_share(rewards: Tensor, groups: Tensor) -> float:
    """The share of groups whose rewards are all equal: from them, a group baseline learns nothing."""
    same_reward = []
    for group in groups.unique():
        known = rewards[groups == group]
        known = known[~known.isnan()]
        if len(known) > 1:
            same_reward.append(bool((known == known[0]).all()))
    return sum(same_reward) / len(same_reward) if same_reward else 0.0
