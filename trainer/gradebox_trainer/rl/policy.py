"""What a causal language model says of answers: log-probabilities and entropies, of the policy and of its reference."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gradebox_command.errors import BadArgument
from gradebox_trainer.rl.answers import Answer, Batch, in_step, pad, pieces
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.transformer.loading import Lora


def load_policy(name: str, *, dtype: torch.dtype) -> Any:
    """A causal language model. Nothing that comes with it is executed.

    Raises:
        BadArgument: there is no such model, or it is none that generates.
    """
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        raise BadArgument(f"no model at {name!r}: {error}") from None


def load_policy_tokenizer(name: str) -> Any:
    """Its tokenizer; the end token pads where there is no padding token (attention masks tell them apart).

    Raises:
        BadArgument: there is none, or it has no end token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise BadArgument(f"no tokenizer at {name!r}: {error}") from None
    if tokenizer.eos_token_id is None:
        raise BadArgument(f"the tokenizer at {name!r} has no end token: set eos_token in its tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def add_policy_lora(model: nn.Module, lora: Lora) -> Any:
    """The model with low-rank adapters, which alone are trained."""
    from peft import LoraConfig, TaskType, get_peft_model

    targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    return get_peft_model(
        model,
        LoraConfig(
            task_type=TaskType.CAUSAL_LM,
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=targets,
        ),
    )


def answer_logps(model: Any, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the answers' tokens and entropies of what could have stood there, both [B, T] in fp32.

    Of the distribution that was sampled from: logits divided by `temperature`. The entropy has no gradient.
    """
    positions = (batch.attention.cumsum(1) - 1).clamp(min=0)
    width = batch.answer_width
    logits = model(
        input_ids=batch.ids,
        attention_mask=batch.attention,
        position_ids=positions,
        logits_to_keep=width + 1,
        use_cache=False,
    ).logits[:, :-1]
    logits = logits.float() / temperature
    everything = torch.logsumexp(logits, -1)
    chosen = logits.gather(-1, batch.ids[:, -width:, None])[..., 0] - everything
    with torch.no_grad():
        entropy = everything - (logits.softmax(-1) * logits).sum(-1)
    return chosen, entropy


@torch.no_grad()
def all_logps(
    model: Any, answers: Sequence[Answer], *, padding: int, temperature: float, token_budget: int, processes: Processes
) -> Tensor:
    """Log-probabilities of many answers, [B, T], 0 behind their ends; on the CPU. All processes call this."""
    width = max(1, *(len(answer.tokens) for answer in answers))
    result = torch.zeros(len(answers), width)
    for indexes in in_step(pieces(answers, token_budget), processes):
        batch = pad([answers[index] for index in indexes or [0]], padding, processes.device)
        logps, _ = answer_logps(model, batch, temperature)
        if not indexes:
            continue
        result[torch.tensor(indexes), : batch.answer_width] = (logps * batch.mask).cpu()
    return result


class Reference:
    """The policy as it was before training: with adapters the model without them, else a frozen copy."""

    def __init__(self, model: Any) -> None:
        self._policy = model
        self._copy = None if hasattr(model, "peft_config") else copy.deepcopy(model).eval().requires_grad_(False)

    @property
    def copy(self) -> Any:
        """The copy, to be sharded like the policy; None with adapters."""
        return self._copy

    @contextmanager
    def model(self) -> Iterator[Any]:
        """The model to ask."""
        with self._policy.disable_adapter() if self._copy is None else nullcontext():
            yield self._policy if self._copy is None else self._copy
