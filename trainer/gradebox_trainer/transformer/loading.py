"""Models and tokenizers: from the hub's format on disk (or its cache), or fresh from a configuration.

Nothing executes code that comes with a model (`trust_remote_code` is never set), and weights are read as safetensors.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradebox_command.errors import BadArgument, InputError

END = "<|endoftext|>"
PAD = "<|pad|>"


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters instead of all weights.

    Attributes:
        rank, alpha, dropout: as peft's LoraConfig has them.
        target_modules: which linear layers; default all of the backbone.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"


def hide_progress() -> None:
    """No bars of transformers' own beside ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def load_tokenizer(name: str) -> Any:
    """A tokenizer with an end token and a padding token that is another one.

    transformers finds a classifier's last token by looking for the padding, so an end token that doubles as padding
    would be passed over.

    Args:
        name: a folder, a name in the hub's cache, or a `tokenizer.json` (also `.gz`) alone.

    Raises:
        BadArgument: there is none, or it cannot be read.
    """
    from transformers import AutoTokenizer

    path = Path(name)
    try:
        if path.is_file():
            tokenizer = _from_file(path)
        else:
            tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise BadArgument(f"no tokenizer at {name!r}: {error}") from None
    if tokenizer.eos_token is None:
        if END not in tokenizer.get_vocab():
            raise BadArgument(f"the tokenizer at {name!r} has no end token: set eos_token in its tokenizer_config.json")
        tokenizer.eos_token = END
    if tokenizer.pad_token is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        tokenizer.add_special_tokens({"pad_token": PAD})
    tokenizer.padding_side = "right"
    return tokenizer


def _from_file(path: Path) -> Any:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    data = path.read_bytes()
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    try:
        backend = Tokenizer.from_str(text.decode())
    except Exception as error:  # of the tokenizers package: a plain Exception
        raise BadArgument(f"{path} is no tokenizer.json: {error}") from None
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def load_classifier(name: str, tokenizer: Any, *, dtype: torch.dtype, dropout: float | None = None) -> nn.Module:
    """A sequence classifier with one label; its head is new where the checkpoint has none.

    Raises:
        BadArgument: there is no such model, or it is none that can score sequences.
    """
    from transformers import AutoModelForSequenceClassification

    settings = {} if dropout is None else {"attention_dropout": dropout}
    try:
        model = AutoModelForSequenceClassification.from_pretrained(name, num_labels=1, dtype=dtype, **settings)
    except (OSError, ValueError) as error:
        raise BadArgument(f"no model at {name!r}: {error}") from None
    return _fit(model, tokenizer)


def new_classifier(config_file: Path, tokenizer: Any, *, dtype: torch.dtype, seed: int) -> nn.Module:
    """A classifier with random weights, from a JSON configuration as transformers writes it.

    Only `model_type` has to be there; the vocabulary's size and the special tokens are the tokenizer's.

    Raises:
        InputError: the file is no such configuration.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    try:
        values = json.loads(config_file.read_text())
        kind = values.pop("model_type")
        values |= {"vocab_size": len(tokenizer), "num_labels": 1}
        config = AutoConfig.for_model(kind, **values)
    except OSError as error:
        raise InputError(config_file, None, "", error.strerror or str(error)) from None
    except KeyError:
        raise InputError(config_file, None, "model_type", "missing") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(config_file, None, "", f"no configuration of a model: {error}") from None
    torch.manual_seed(seed)
    try:
        model = AutoModelForSequenceClassification.from_config(config, dtype=dtype)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(config_file, None, "", f"no model can be made of it: {error}") from None
    return _fit(model, tokenizer)


def _fit(model: Any, tokenizer: Any) -> nn.Module:
    config = model.config.get_text_config()
    if len(tokenizer) > config.vocab_size:  # some vocabularies are larger than the tokenizer: room that we may use
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    config.pad_token_id = tokenizer.pad_token_id
    config.eos_token_id = tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    config.use_cache = False
    result: nn.Module = model
    return result


def add_lora(model: nn.Module, lora: Lora) -> nn.Module:
    """The model with adapters; its head stays trainable as a whole."""
    from peft import LoraConfig, TaskType, get_peft_model

    targets = lora.target_modules if isinstance(lora.target_modules, str) else list(lora.target_modules)
    return get_peft_model(
        model,
        LoraConfig(
            task_type=TaskType.SEQ_CLS,
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=targets,
        ),
    )


def merged_copy(model: Any, lora: Lora, weights: dict[str, Tensor]) -> Any:
    """A model on the CPU with the adapters added into its weights: what transformers loads without peft.

    Args:
        model: the one with adapters, possibly sharded; only its configuration is used.
        weights: all of its weights, whole.
    """
    from transformers import AutoModelForSequenceClassification

    dtype = next(iter(weights.values())).dtype
    plain = AutoModelForSequenceClassification.from_config(model.get_base_model().config, dtype=dtype)
    copy: Any = add_lora(plain, lora)
    copy.load_state_dict(weights)
    return copy.merge_and_unload()
