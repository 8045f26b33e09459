"""Losses against numbers worked out by hand, and a batch against its pieces."""

import math

import pytest
import torch

from gradebox_trainer.rl.estimators import Mean
from gradebox_trainer.rl.losses import clipped_loss, kl_loss, log_ratio, token_weights

MASK = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        ("tokens", [[1 / 6] * 4, [1 / 6, 1 / 6, 0, 0], [0] * 4]),
        ("answers", [[1 / 8] * 4, [1 / 4, 1 / 4, 0, 0], [0] * 4]),
        ("max_tokens", [[1 / 20] * 4, [1 / 20, 1 / 20, 0, 0], [0] * 4]),
    ],
)
def test_weights(mean: Mean, expected: list[list[float]]) -> None:
    """The third answer is masked, so there are two."""
    torch.testing.assert_close(token_weights(MASK, mean, max_tokens=10), torch.tensor(expected))


def test_clipping() -> None:
    # ratio 1.5, 0.5, 1.5, 0.5 with advantages 1, 1, -1, -1 and bounds 0.8 and 1.3:
    # -min(1.5, 1.3) = -1.3, -min(0.5, 0.8) = -0.5, -min(-1.5, -1.3) = 1.5, -min(-0.5, -0.8) = 0.8
    logps = torch.tensor([[1.5, 0.5, 1.5, 0.5]]).log().requires_grad_()
    result = clipped_loss(
        logps,
        torch.zeros(1, 4),
        torch.tensor([[1.0, 1.0, -1.0, -1.0]]),
        torch.full((1, 4), 0.25),
        clip_low=0.2,
        clip_high=0.3,
    )
    assert result.loss.item() == pytest.approx((-1.3 - 0.5 + 1.5 + 0.8) / 4)
    assert result.clipped_high.tolist() == [[True, False, False, False]]
    assert result.clipped_low.tolist() == [[False, False, False, True]]
    result.loss.backward()
    assert logps.grad is not None
    torch.testing.assert_close(logps.grad, torch.tensor([[0.0, -0.125, 0.375, 0.0]]))  # d ratio = ratio; clipped: none


def test_the_first_update_is_the_policy_gradient() -> None:
    logps = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    advantages, weights = torch.tensor([[1.0, -2.0, 0.5]] * 2), torch.full((2, 3), 1 / 6)
    clipped_loss(logps, logps.detach(), advantages, weights, clip_low=0.2, clip_high=0.2).loss.backward()
    torch.testing.assert_close(logps.grad, -advantages / 6)


def test_kl_estimators() -> None:
    logps, reference = torch.tensor([[math.log(0.5), -1.0]]), torch.tensor([[math.log(0.25), -30.0]])
    weights = torch.tensor([[1.0, 0.0]])
    ratio = math.log(2)
    assert log_ratio(logps, reference)[0].tolist() == pytest.approx([ratio, 10.0])
    assert kl_loss(logps, reference, weights, "k2_loss").item() == pytest.approx(ratio**2 / 2)
    assert kl_loss(logps, reference, weights, "k3_loss").item() == pytest.approx(0.5 - 1 + ratio)
    with pytest.raises(ValueError, match="no loss"):
        kl_loss(logps, reference, weights, "k1_reward")


@pytest.mark.parametrize("mean", ["tokens", "answers", "max_tokens"])
def test_pieces_add_up_to_the_batch(mean: Mean) -> None:
    """In loss and in gradient, wherever the batch is cut."""
    generator = torch.Generator().manual_seed(1)
    whole = torch.randn(3, 4, generator=generator).requires_grad_()
    old, advantages = torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)
    weights = token_weights(torch.ones(3, 4) - MASK * 0.0, mean, max_tokens=8)
    how = {"clip_low": 0.2, "clip_high": 0.2}
    loss = clipped_loss(whole, old, advantages, weights, **how).loss
    loss.backward()
    parts = whole.detach().clone().requires_grad_()
    total = 0.0
    for rows in (slice(0, 1), slice(1, 3)):
        part = clipped_loss(parts[rows], old[rows], advantages[rows], weights[rows], **how).loss
        part.backward()
        total += part.item()
    assert total == pytest.approx(loss.item())
    torch.testing.assert_close(parts.grad, whole.grad)


def test_what_stands_behind_an_end_is_of_no_account() -> None:
    logps = torch.tensor([[-1.0, math.inf]]).requires_grad_()
    loss = clipped_loss(
        logps, torch.tensor([[-1.0, 0.0]]), torch.ones(1, 2), torch.tensor([[1.0, 0.0]]), clip_low=0.2, clip_high=0.2
    ).loss
    assert loss.item() == -1.0
