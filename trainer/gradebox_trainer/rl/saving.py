"""A policy's weights and optimiser to files and back; whole on the first process, whatever they are sharded over."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from gradebox_trainer.training.checkpoint import STATE
from gradebox_trainer.training.distributed import Processes

Write = Callable[[Path], None]
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def state_writer(model: Any, optimizer: Any, tokenizer: Any, values: dict[str, Any]) -> Write:
    """What writes a checkpoint: the model for transformers (adapters for peft), optimiser and `values` for us.

    Gathering is collective: all processes call this; the first one writes.
    """
    weights = get_model_state_dict(model, options=_WHOLE)
    moments = get_optimizer_state_dict(model, optimizer, options=_WHOLE)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}

    def write(folder: Path) -> None:
        # Transformers' files are for whoever uses the model; ties, adapters and precision make them a detour for us.
        model.save_pretrained(folder, state_dict=dict(weights))  # which it empties
        tokenizer.save_pretrained(folder)
        kept = {name: weight for name, weight in weights.items() if name in trained}
        torch.save({**values, "weights": kept, "optimizer": moments}, folder / STATE)

    return write


def restore(model: Any, optimizer: Any, state: dict[str, Any], processes: Processes) -> None:
    """Weights and optimiser of a checkpoint's state into the run."""
    several = processes.world > 1
    weights = StateDictOptions(full_state_dict=True, broadcast_from_rank0=several, strict=False)
    set_model_state_dict(model, state["weights"], options=weights)
    moments = StateDictOptions(full_state_dict=True, broadcast_from_rank0=several)
    set_optimizer_state_dict(model, optimizer, state["optimizer"], options=moments)


def model_writer(model: Any, tokenizer: Any) -> Write:
    """What writes the finished model, adapters merged: one that `AutoModelForCausalLM` loads without peft."""
    if hasattr(model, "peft_config"):
        model = model.merge_and_unload()
    weights = get_model_state_dict(model, options=_WHOLE)

    def write(folder: Path) -> None:
        model.save_pretrained(folder, state_dict=dict(weights))  # which it empties
        tokenizer.save_pretrained(folder)

    return write
