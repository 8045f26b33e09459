"""A run's weights and optimiser to files and back; whole on the first process, whatever they are sharded over."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from gradebox_command.errors import InputError
from gradebox_trainer.reward.settings import RewardSettings
from gradebox_trainer.training.checkpoint import STATE
from gradebox_trainer.transformer import loading

if TYPE_CHECKING:
    from gradebox_trainer.reward.train import RewardTrainer

ENCODING = "gradebox_encoding.json"
"""How texts become tokens for a model: read again by whatever scores with it."""

Write = Callable[[Path], None]
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_SPREAD = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
_ADAPTER = "adapter"


@contextmanager
def save_state(trainer: "RewardTrainer") -> Iterator[Write]:
    """What writes a checkpoint: the model for transformers (adapters for peft), and the training's state.

    All processes have to enter; gathering is collective.
    """
    weights = get_model_state_dict(trainer.model, options=_WHOLE)
    optimizer = get_optimizer_state_dict(trainer.model, trainer.optimizer, options=_WHOLE)
    adapters = trainer.settings.lora is not None

    def write(folder: Path) -> None:
        state: dict[str, Any] = {"identity": trainer.identity(), "step": trainer.step, "optimizer": optimizer}
        if adapters:
            trained = {name for name, weight in trainer.model.named_parameters() if weight.requires_grad}
            state["trained"] = {name: weight for name, weight in weights.items() if name in trained}
            trainer.model.save_pretrained(folder / _ADAPTER, state_dict=weights)
        else:
            trainer.model.save_pretrained(folder, state_dict=weights)
            trainer.tokenizer.save_pretrained(folder)
            _write_encoding(folder, trainer.settings)
        torch.save(state, folder / STATE)

    yield write


@contextmanager
def write_model(trainer: "RewardTrainer") -> Iterator[Write]:
    """What writes the finished model: one that `AutoModelForSequenceClassification` loads, without peft."""
    weights = get_model_state_dict(trainer.model, options=_WHOLE)

    def write(folder: Path) -> None:
        model: Any = trainer.model
        state = weights
        if trainer.settings.lora is not None:
            model = loading.merged_copy(model, trainer.lora(), weights)
            state = model.state_dict()
        model.save_pretrained(folder, state_dict=state)
        trainer.tokenizer.save_pretrained(folder)
        _write_encoding(folder, trainer.settings)

    yield write


def _write_encoding(folder: Path, settings: RewardSettings) -> None:
    values = {"prompt_template": settings.prompt_template, "max_length": settings.max_length}
    (folder / ENCODING).write_text(json.dumps(values) + "\n")


def read_encoding(folder: Path) -> dict[str, Any]:
    """How a model's training made tokens (an Encoder's arguments); the defaults for a model from elsewhere.

    Raises:
        InputError: the file is no JSON.
    """
    values = {name: RewardSettings.model_fields[name].default for name in ("prompt_template", "max_length")}
    try:
        written: dict[str, Any] = json.loads((folder / ENCODING).read_text())
    except FileNotFoundError:
        return values
    except ValueError as error:
        raise InputError(folder / ENCODING, None, "", f"not JSON: {error}") from None
    return values | written


def load_weights(trainer: "RewardTrainer", folder: Path, state: dict[str, Any]) -> None:
    """Weights and optimiser of a checkpoint into the run."""
    if trainer.settings.lora is not None:
        weights = get_model_state_dict(trainer.model, options=_WHOLE) | state["trained"]
    else:
        from safetensors.torch import load_file

        weights = {}
        for file in sorted(folder.glob("*.safetensors")):
            weights |= load_file(file)
    options = _SPREAD if trainer.processes.world > 1 else StateDictOptions(full_state_dict=True)
    set_model_state_dict(trainer.model, weights, options=options)
    set_optimizer_state_dict(trainer.model, trainer.optimizer, state["optimizer"], options=options)
