"""From what the engine and a reward model say to one number, or None where the engine owes it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradebox import SubmissionResult
from gradebox.integrations._grader import _all_passed
from gradebox_trainer.rl.settings import RewardMix


def execution_reward(result: SubmissionResult, kind: str) -> float | None:
    """From 0 to 1; None where nothing but an error of the engine stands between the program and a verdict."""
    return result.pass_rate if kind == "pass_rate" else _all_passed(result)


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """Mean and standard deviation of a reward model's scores, fixed for a run: a difference in score keeps its worth
    while the policy moves."""

    mean: float
    std: float

    @classmethod
    def of(cls, scores: Sequence[float]) -> "ScoreScale":
        """Of a first batch; of none, 0 and 1."""
        if not scores:
            return cls(0.0, 1.0)
        mean = sum(scores) / len(scores)
        return cls(mean, math.sqrt(sum((score - mean) ** 2 for score in scores) / len(scores)))

    def __call__(self, score: float) -> float:
        """The score in standard deviations from the mean."""
        return (score - self.mean) / max(self.std, 1e-6)


def mixed_reward(mix: RewardMix, execution: float | None, score: float | None, in_format: bool) -> float | None:
    """The weighted sum.

    Args:
        execution: from 0 to 1; None: the engine's fault, so there is no reward, whatever the other terms say.
        score: normalised; None only where its weight is 0, or where there is no program: then it counts as the
            smallest sensible one, three standard deviations below the mean.
    """
    reward = mix.format_weight * in_format
    if mix.execution_weight:
        if execution is None:
            return None
        reward += mix.execution_weight * execution
    if mix.model_weight:
        reward += mix.model_weight * (-3.0 if score is None else score)
    return reward
