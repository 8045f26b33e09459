"""Intervals by bootstrap over problems."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RESAMPLES = 2000


def resample(problems: int, *, seed: int = 0, times: int = RESAMPLES) -> npt.NDArray[np.int64]:
    """[times, problems]: which problems each resample has. Problems, not programs: those of one are alike."""
    return np.random.default_rng(seed).integers(0, problems, (times, problems))


def bootstrap_mean(values: Floats, *, seed: int = 0) -> tuple[float, float, float]:
    """The mean over problems, and its 95 % percentile interval.

    Args:
        values: one for each problem; at least one.
    """
    means = values[resample(len(values), seed=seed)].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(values.mean()), float(low), float(high)
