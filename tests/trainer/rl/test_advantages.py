"""Advantages against numbers worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from gradebox_trainer.rl.advantages import advantages, shape_rewards, whiten, zero_variance_share
from gradebox_trainer.rl.estimators import ESTIMATORS

NAN = math.nan
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
GROUPS = torch.tensor([0, 0, 1, 1])


def of(name: str, rewards: list[float], **how: object) -> Tensor:
    return advantages(torch.tensor(rewards), MASK, GROUPS, ESTIMATORS[name], **how)  # type: ignore[arg-type]


def test_reinforce_plus_plus_without_kl() -> None:
    # Returns: 1 at 3 tokens, 0 at 1, 0 at 2, 1 at 3: over 9 tokens mean 6/9, variance 2/9, so (1 - 2/3) / sqrt(2/9).
    high, low = (1 / 3) / math.sqrt(2 / 9), (-2 / 3) / math.sqrt(2 / 9)
    expected = torch.tensor([[high] * 3, [low, 0, 0], [low, low, 0], [high] * 3])
    torch.testing.assert_close(of("reinforce++", [1.0, 0.0, 0.0, 1.0]), expected)


def test_reinforce_plus_plus_with_kl_in_the_reward() -> None:
    # kl 1 at every token, coefficient 0.1: returns are R - 0.1 * (tokens from here to the end).
    returns = torch.tensor([[0.7, 0.8, 0.9], [-0.1, 0, 0], [-0.2, -0.1, 0], [0.7, 0.8, 0.9]])
    mean = (2.4 + -0.1 + -0.3 + 2.4) / 9
    squares = 2 * sum((v - mean) ** 2 for v in (0.7, 0.8, 0.9)) + sum((v - mean) ** 2 for v in (-0.1, -0.2, -0.1))
    expected = (returns - mean) / math.sqrt(squares / 9) * MASK
    kl = torch.where(MASK.bool(), 1.0, 1000.0)  # what stands behind an end counts for nothing
    torch.testing.assert_close(of("reinforce++", [1.0, 0.0, 0.0, 1.0], kl=kl, kl_coef=0.1), expected)


def test_the_baseline_is_of_the_group_and_the_scale_of_all_tokens() -> None:
    # Centred: ±0.5 in group 0, ±0.25 in group 1.
    centred = [0.5, -0.5, 0.25, -0.25]
    lengths = [3, 1, 2, 3]
    mean = sum(c * n for c, n in zip(centred, lengths, strict=True)) / 9
    variance = sum((c - mean) ** 2 * n for c, n in zip(centred, lengths, strict=True)) / 9
    expected = torch.tensor([[(c - mean) / math.sqrt(variance)] * 3 for c in centred]) * MASK
    torch.testing.assert_close(of("reinforce++-baseline", [1.0, 0.0, 0.5, 0.0]), expected)


def test_grpo_divides_by_the_groups_sample_deviation() -> None:
    # Group 0: mean 0.5, deviation sqrt(0.5); group 1: no deviation, so nothing to learn.
    value = 0.5 / (math.sqrt(0.5) + 1e-4)
    expected = torch.tensor([[value] * 3, [-value, 0, 0], [0, 0, 0], [0, 0, 0]])
    torch.testing.assert_close(of("grpo", [1.0, 0.0, 1.0, 1.0]), expected)


def test_dr_grpo_only_centres() -> None:
    expected = torch.tensor([[0.5] * 3, [-0.5, 0, 0], [0.25, 0.25, 0], [-0.25] * 3])
    torch.testing.assert_close(of("dr_grpo", [1.0, 0.0, 0.5, 0.0]), expected)


def test_rloo_compares_with_the_others() -> None:
    rewards = torch.tensor([1.0, 0.0, 0.5, 0.0, 1.0, 1.0])
    groups = torch.tensor([5, 5, 5, 2, 2, 2])
    shaped = shape_rewards(rewards, groups, ESTIMATORS["rloo"])
    torch.testing.assert_close(shaped, torch.tensor([0.75, -0.75, 0.0, -1.0, 0.5, 0.5]))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_missing_reward_counts_nowhere(name: str) -> None:
    """What stays has the advantages that it would have without the answer that the engine owes."""
    rewards = torch.tensor([1.0, 0.0, NAN, 1.0, 0.5, 0.0])
    mask = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1], [1, 0], [1, 1]])
    groups = torch.tensor([0, 0, 0, 1, 1, 1])
    kl = torch.full((6, 2), 0.3)
    kl[2] = NAN
    kept = torch.tensor([0, 1, 3, 4, 5])
    with_it = advantages(rewards, mask, groups, ESTIMATORS[name], kl=kl, kl_coef=0.2)
    without = advantages(rewards[kept], mask[kept], groups[kept], ESTIMATORS[name], kl=kl[kept], kl_coef=0.2)
    torch.testing.assert_close(with_it[kept], without)
    assert with_it[2].eq(0).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_reward_at_all_is_no_advantage(name: str) -> None:
    assert of(name, [NAN] * 4).eq(0).all()


@pytest.mark.parametrize("name", ["reinforce++-baseline", "grpo", "dr_grpo", "rloo"])
def test_alone_in_its_group_is_no_better_than_itself(name: str) -> None:
    shaped = shape_rewards(torch.tensor([0.7, NAN, 1.0, 0.0]), GROUPS, ESTIMATORS[name])
    assert shaped[0] == 0
    assert shaped[1].isnan()


def test_whitening_is_weighted_by_token_and_over_processes() -> None:
    values = torch.tensor([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0], [0.0, 1.0, 3.0], [2.0, 9.0, 9.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0]])
    whole = whiten(values, mask)
    kept = whole[mask.bool()]
    assert kept.mean().item() == pytest.approx(0, abs=1e-6)
    assert kept.pow(2).mean().item() == pytest.approx(1, abs=1e-6)
    assert whole[~mask.bool()].eq(0).all()

    # Two processes, each with half: what one adds up, the other's half would add.
    count, total = mask.sum().float(), (values * mask).sum()
    variance = (((values - total / count) * mask) ** 2).sum()
    answers = iter([torch.stack([count, total]), variance])
    torch.testing.assert_close(whiten(values[:2], mask[:2], lambda _: next(answers)), whole[:2])


def test_zero_variance_groups() -> None:
    rewards = torch.tensor([1.0, 1.0, 0.0, 1.0, NAN, 1.0, NAN, NAN])
    groups = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    assert zero_variance_share(rewards, groups) == 0.5  # of the two groups that can be compared
