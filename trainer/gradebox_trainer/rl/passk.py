"""pass@k without bias, and best-of-n; pure functions."""

from collections.abc import Sequence


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that at least one of k samples, drawn without putting back from `samples` of which `passed` passed,
    passed: 1 - C(n - c, k) / C(n, k), the unbiased estimator of Chen et al. (arXiv:2107.03374).

    Raises:
        ValueError: k is above the number of samples.
    """
    if not 0 < k <= samples:
        raise ValueError(f"pass@{k} of {samples} samples")
    if samples - passed < k:
        return 1.0
    missed = 1.0
    for left in range(samples - passed + 1, samples + 1):
        missed *= 1.0 - k / left
    return 1.0 - missed


def best_of(scores: Sequence[float], passed: Sequence[bool], n: int) -> float:
    """How often the best-scored of n samples passed, over all subsets of n of the samples (n <= len(scores)).

    A sample that has r samples with a smaller score is the best of C(r, n - 1) subsets. Equal scores: the first wins.
    """
    if not 0 < n <= len(scores):
        raise ValueError(f"best of {n} of {len(scores)} samples")
    order = sorted(range(len(scores)), key=lambda index: (scores[index], -index))
    total = 0.0
    for rank, index in enumerate(order):
        if passed[index]:
            total += _chance_of_best(rank, len(scores), n)
    return total


def _chance_of_best(rank: int, samples: int, n: int) -> float:
    """C(rank, n - 1) / C(samples, n), in floats that cannot overflow."""
    if rank < n - 1:
        return 0.0
    result = n / samples
    for step in range(n - 1):
        result *= (rank - step) / (samples - 1 - step)
    return result
