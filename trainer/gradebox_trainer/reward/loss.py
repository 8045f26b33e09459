"""The Bradley-Terry loss over all pairs of a set of scores.

loss = -1/W * sum over pairs w * log sigmoid(score[better] - score[worse])

W is the number of pairs of the whole optimiser step (their weights' sum), on all devices and in all packs, so that the
gradient does not depend on how the step's trees were packed: it is that of the mean over pairs that are padded and
computed one by one, as TRL's RewardTrainer does for one batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


@dataclass(frozen=True, slots=True)
class PairIndex:
    """Pairs by the places of their scores: better, worse [P] (int64), weight [P]: how often the pair comes."""

    better: Tensor
    worse: Tensor
    weight: Tensor


def pair_loss(scores: Tensor, pairs: PairIndex, total_weight: float) -> Tensor:
    """The loss of these pairs, a scalar in fp32; 0 (with a gradient of 0) where there are none.

    Args:
        scores: [N], any float type.
        total_weight: the weights' sum over the whole step.
    """
    gap = margins(scores, pairs)
    return -(pairs.weight * logsigmoid(gap)).sum() / total_weight


def margins(scores: Tensor, pairs: PairIndex) -> Tensor:
    """score[better] - score[worse], [P], fp32."""
    scores = scores.float()
    return scores[pairs.better] - scores[pairs.worse]


def score_gradient(scores: Tensor, pairs: PairIndex, total_weight: float) -> Tensor:
    """d loss / d scores, [N], fp32. For trees whose branches are computed in several passes.

    The gradient of sum(score_gradient(s) * s) with respect to the weights is the gradient of the loss, so scores that
    are computed first without a graph, then again part by part, give the exact gradient in bounded memory (as in
    gradient caching, Gao et al. 2021).
    """
    result = torch.zeros(len(scores), dtype=torch.float32, device=scores.device)
    pull = pairs.weight * torch.sigmoid(-margins(scores, pairs)) / total_weight
    return result.index_add_(0, pairs.better, -pull).index_add_(0, pairs.worse, pull)
