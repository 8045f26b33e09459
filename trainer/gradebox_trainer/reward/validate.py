"""How well scores order pairs of held-out problems."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from gradebox_trainer.reward.encode import EncodedGroup
from gradebox_trainer.statistics import bootstrap_mean
from gradebox_trainer.transformer.scoring import Scores

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures over held-out problems.

    Attributes:
        accuracy: share of pairs whose better program scores higher; equal scores count one half.
        margin: mean of score[better] - score[worse].
        loss: mean over pairs.
        problem_accuracy: the mean over problems of each one's accuracy, so that none counts more for its pairs.
        low, high: 95 % interval of `problem_accuracy` by bootstrap over problems.
        problems, pairs: how many.
    """

    accuracy: float
    margin: float
    loss: float
    problem_accuracy: float
    low: float
    high: float
    problems: int
    pairs: int

    def figures(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def compare(groups: Sequence[EncodedGroup], scores: Sequence[Scores]) -> Validation:
    """The figures of given scores: one array for each group, one score for each branch."""
    gaps = [pair_gaps(group, values) for group, values in zip(groups, scores, strict=True)]
    correct = [(gap > 0) + 0.5 * (gap == 0) for gap in gaps]
    every, right = np.concatenate(gaps), np.concatenate(correct)
    by_problem = np.array([float(values.mean()) for values in correct])
    mean, low, high = bootstrap_mean(by_problem)
    return Validation(
        accuracy=float(right.mean()),
        margin=float(every.mean()),
        loss=float(np.logaddexp(0, -every).mean()),
        problem_accuracy=mean,
        low=low,
        high=high,
        problems=len(groups),
        pairs=len(every),
    )


def pair_gaps(group: EncodedGroup, scores: Scores) -> Floats:
    """[P] score[better] - score[worse]."""
    values = scores.astype(np.float64)
    return values[group.better] - values[group.worse]
