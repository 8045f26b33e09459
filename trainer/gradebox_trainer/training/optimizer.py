"""AdamW for weights in fp32 and in bf16, the learning rate's schedule, clipping."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class KahanAdamW(torch.optim.Optimizer):
    """AdamW for weights in bf16: moments in fp32, and what rounding takes from a weight is kept and added next time.

    A step of 1e-5 is far below the spacing of bf16 (2^-8 of the weight), so most of it would be lost. Kahan's
    compensation keeps it in a second bf16 number for each weight, at half the memory of weights in fp32.
    Otherwise Loshchilov and Hutter's rule as torch.optim.AdamW has it.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        """One step for all weights that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(weight, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(weight, dtype=torch.float32)
            state["compensation"] = torch.zeros_like(weight)
        beta1, beta2 = group["betas"]
        state["step"] += 1
        step = int(state["step"])  # on the CPU: no device waits
        gradient = weight.grad.float()
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = (state["exp_avg_sq"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
        update = state["exp_avg"] / denominator
        update.mul_(-group["lr"] / (1 - beta1**step))
        if group["weight_decay"]:
            update.add_(weight.float(), alpha=-group["lr"] * group["weight_decay"])
        compensation = state["compensation"]
        before = weight.clone()
        wanted = update.add_(compensation)
        weight.copy_((before.float() + wanted).to(weight.dtype))
        compensation.copy_(wanted.sub_(weight.float() - before.float()))


def make_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> torch.optim.Optimizer:
    """AdamW of the weights that are trained; with compensation where they are in bf16.

    Vectors (norms, biases) are not decayed.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in trained if w.ndim > 1], "weight_decay": weight_decay},
        {"params": [w for w in trained if w.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if any(weight.dtype == torch.bfloat16 for weight in trained):
        return KahanAdamW(groups, lr=learning_rate, betas=betas)
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, foreach=True)


def learning_rate_at(step: int, total: int, *, peak: float, warmup: float) -> float:
    """Linear from 0 to `peak` over the first `warmup` share of the steps, then half a cosine down to 0.

    Args:
        step: from 0, the step that is about to be made.
    """
    rising = math.ceil(warmup * total)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """For all weights."""
    for group in optimizer.param_groups:
        group["lr"] = value


def clip_gradients(model: nn.Module, limit: float) -> Tensor:
    """Scales the gradients so that their norm is at most `limit` (infinite: no limit); the norm before, a scalar."""
    norm = torch.nn.utils.clip_grad_norm_([w for w in model.parameters() if w.requires_grad], limit)
    full = getattr(norm, "full_tensor", None)  # a DTensor, where the weights are sharded
    return full() if full is not None else norm
