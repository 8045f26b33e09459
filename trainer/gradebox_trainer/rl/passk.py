"""pass@k without bias."""


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
