"""Small models and groups of random tokens."""

from typing import Any

import numpy as np
import torch

from gradebox_trainer.packing import Tokens, Tree
from gradebox_trainer.reward.encode import EncodedGroup

VOCABULARY = 64
PAD, END = 0, 1

FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "llama": {},
    "gpt_neox": {"rotary_pct": 0.25},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": None},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    "gemma": {"head_dim": 16},
}


def tiny(kind: str, **changes: Any) -> Any:
    """A classifier of two layers, in fp32, with weights large enough for scores to differ."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": PAD,
        "eos_token_id": END,
        "bos_token_id": END,
        "num_labels": 1,
    }
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(sizes | FAMILIES.get(kind, {}) | changes))
    model = AutoModelForSequenceClassification.from_config(config)
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.15)
    return model


def group(key: int, prompt: int, programs: list[int], pairs: list[tuple[int, int]], *, shared: int = 0) -> EncodedGroup:
    """A group of random tokens by its lengths; the first `shared` tokens of all programs are the same."""
    random = np.random.default_rng(key)

    def some(size: int) -> Tokens:
        return random.integers(2, VOCABULARY, size).astype(np.int64)

    start = some(shared)
    branches = tuple(np.concatenate([start[: min(shared, n)], some(max(0, n - shared))]) for n in programs)
    tree = Tree(key, some(prompt), branches, tuple(range(len(programs))))
    better, worse = (np.array(side, np.int64) for side in zip(*pairs, strict=True))
    return EncodedGroup(str(key), tree, better, worse, np.ones(len(pairs), np.float32))


def edge_cases() -> list[EncodedGroup]:
    """What has to be exact: see the issue's names beside each."""
    return [
        group(0, 9, [5, 11, 3, 7], [(0, 1), (0, 2), (3, 1), (3, 2)]),
        group(1, 6, [1, 4, 1], [(0, 1), (2, 1)]),  # programs of one token
        group(2, 5, [8, 9, 12], [(0, 1), (0, 2)], shared=6),  # programs that share a prefix
        group(3, 0, [4, 6], [(1, 0)]),  # an empty prompt
        group(4, 0, [1, 2], [(0, 1)]),  # and a program of one token after it
        group(5, 20, [10, 12, 9, 14, 11, 8], [(0, 3), (1, 3), (2, 4), (5, 4), (0, 4)]),  # larger than some budgets
    ]
