"""Best-of-n: how often the program that a reward model likes best, of n, is right. Pure functions.

With N labelled and scored programs of a problem, the expectation over all subsets of n of them is computed, not one
draw: with programs in order of their scores, the i-th best (from 1) is the best of a random subset with probability
C(N - i, n - 1) / C(N, n) (as pass@k of Chen et al. 2021 is over subsets). It is unbiased for the best of n fresh
programs. Programs of equal score share their places: as likely each, as if ties were broken at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gradebox_trainer.statistics import resample

Floats = npt.NDArray[np.float64]
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Samples:
    """One problem's programs: whether each is right (or its pass rate), and its score. Both [N]."""

    right: Floats
    score: Floats


@dataclass(frozen=True, slots=True)
class Point:
    """One n of a curve: the mean over problems and its 95 % interval, by bootstrap over problems."""

    n: int
    problems: int
    best: float
    low: float
    high: float
    random: float
    oracle: float
    gain: float
    gain_low: float
    gain_high: float


def first_of_subset(total: int, n: int) -> Floats:
    """[N] probability that the i-th in order (from 0) is the first of a random subset of n of them."""
    result = np.zeros(total)
    probability = n / total
    for place in range(total - n + 1):
        result[place] = probability
        # C(N-i-2, n-1) / C(N-i-1, n-1), step by step: binomials of 128 of 1,000 have no room in a float
        left = total - place - 1
        probability *= (left - n + 1) / left if left else 0.0
    return result


def expected_best(samples: Samples, n: int) -> float:
    """What the best-scored of n of the problem's programs is worth, in expectation.

    Raises:
        ValueError: there are fewer than n programs.
    """
    total = len(samples.score)
    if total < n:
        raise ValueError(f"best of {n} needs {n} programs, there are {total}")
    order = np.argsort(-samples.score, kind="stable")
    score, right = samples.score[order], samples.right[order]
    starts = np.flatnonzero(np.concatenate([[True], score[1:] != score[:-1]]))
    sizes = np.diff(np.append(starts, total))
    shared = np.repeat(np.add.reduceat(right, starts) / sizes, sizes)
    return float(first_of_subset(total, n) @ shared)


def expected_oracle(samples: Samples, n: int) -> float:
    """The same for whoever knows which are right: pass@n."""
    return expected_best(Samples(samples.right, samples.right), n)


def curve(problems: Sequence[Samples], sizes: Sequence[int] = SIZES, *, seed: int = 0) -> list[Point]:
    """A point for each n that some problem has programs for; each over the problems that have so many."""
    points = []
    for n in sizes:
        able = [samples for samples in problems if len(samples.score) >= n]
        if not able:
            break
        best, oracle = (np.array([f(samples, n) for samples in able]) for f in (expected_best, expected_oracle))
        random = np.array([float(samples.right.mean()) for samples in able])
        draws = resample(len(able), seed=seed)
        low, high = np.percentile(best[draws].mean(1), [2.5, 97.5])
        gain_low, gain_high = np.percentile((best - random)[draws].mean(1), [2.5, 97.5])
        points.append(
            Point(
                n=n,
                problems=len(able),
                best=float(best.mean()),
                low=float(low),
                high=float(high),
                random=float(random.mean()),
                oracle=float(oracle.mean()),
                gain=float((best - random).mean()),
                gain_low=float(gain_low),
                gain_high=float(gain_high),
            )
        )
    return points
