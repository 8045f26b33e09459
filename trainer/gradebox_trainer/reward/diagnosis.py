"""What a reward model's scores of held-out programs tell about it. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradebox_trainer.reward.encode import EncodedGroup
from gradebox_trainer.reward.validate import pair_gaps
from gradebox_trainer.transformer.scoring import Scores

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Pairs by the size of their score gap, in bins of equal numbers.

    Attributes:
        said: mean of sigmoid(|gap|) in each bin: the probability that the model gives to its own order.
        right: share of the bin where that order is right.
        error: expected calibration error: the mean over pairs of |said - right| of their bin.
    """

    said: Floats
    right: Floats
    error: float


@dataclass(frozen=True, slots=True)
class LengthBias:
    """How scores follow length, within problems.

    Attributes:
        correlation: of scores and lengths, both less their problem's mean.
        shorter_better, longer_better: accuracy on pairs whose better program is the shorter, the longer one; NaN
            where there are none.
    """

    correlation: float
    shorter_better: float
    longer_better: float


@dataclass(frozen=True, slots=True)
class WorstPair:
    """A pair that the scores order wrongly: its group, its number there, and by how much."""

    group: int
    pair: int
    gap: float


def reliability(groups: Sequence[EncodedGroup], scores: Sequence[Scores], *, bins: int = 10) -> Reliability:
    """The reliability diagram of all pairs."""
    gaps = np.concatenate([pair_gaps(group, values) for group, values in zip(groups, scores, strict=True)])
    order = np.argsort(np.abs(gaps), kind="stable")
    parts = [gaps[part] for part in np.array_split(order, min(bins, len(order)))]
    said = np.array([float((1 / (1 + np.exp(-np.abs(part)))).mean()) for part in parts])
    right = np.array([float(((part > 0) + 0.5 * (part == 0)).mean()) for part in parts])
    sizes = np.array([len(part) for part in parts])
    return Reliability(said, right, float((np.abs(said - right) * sizes).sum() / sizes.sum()))


def centred(values: Sequence[Floats | Scores]) -> Floats:
    """All values, each less the mean of its problem."""
    return np.concatenate([np.asarray(part, np.float64) - float(np.mean(part)) for part in values])


def lengths(groups: Sequence[EncodedGroup]) -> list[Floats]:
    """Tokens of each program, by problem."""
    return [np.array([float(len(branch)) for branch in group.tree.branches]) for group in groups]


def length_bias(groups: Sequence[EncodedGroup], scores: Sequence[Scores]) -> LengthBias:
    """See LengthBias."""
    x, y = centred(lengths(groups)), centred(scores)
    spread = float(x.std() * y.std())
    shorter, longer = [], []
    for group, values, sizes in zip(groups, scores, lengths(groups), strict=True):
        gap = pair_gaps(group, values)
        right = (gap > 0) + 0.5 * (gap == 0)
        difference = sizes[group.better] - sizes[group.worse]
        shorter.extend(right[difference < 0].tolist())
        longer.extend(right[difference > 0].tolist())
    return LengthBias(
        float((x * y).mean() / spread) if spread else 0.0,
        float(np.mean(shorter)) if shorter else float("nan"),
        float(np.mean(longer)) if longer else float("nan"),
    )


def worst_pairs(groups: Sequence[EncodedGroup], scores: Sequence[Scores], count: int) -> list[WorstPair]:
    """The pairs that are wrong by most, one of each problem at most: they tell more than ten of the same."""
    worst = []
    for number, (group, values) in enumerate(zip(groups, scores, strict=True)):
        gaps = pair_gaps(group, values)
        pair = int(gaps.argmin())
        if gaps[pair] < 0:
            worst.append(WorstPair(number, pair, float(gaps[pair])))
    return sorted(worst, key=lambda pair: pair.gap)[:count]
