"""A sequence classifier of transformers as a function from packed trees to one score for each branch."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradebox_trainer.packing import Pack, Tree, pack
from gradebox_trainer.transformer import attention, last_layer
from gradebox_trainer.transformer.attention import Attention, make_layout


class UnsupportedModel(Exception):
    """The model cannot be used with packed trees; the text says why."""


class TreeScorer(nn.Module):
    """Scores of packed trees.

    Changes the model in place: its attention, and its last layer's forward where that has the form of Llama's. It
    scores trees only until `restore` is called; its weights, their names and its configuration stay what they were.

    Args:
        model: one with a causal backbone and a `score` head (`AutoModelForSequenceClassification(num_labels=1)`), or
            a peft model around one.
        kind: which attention; default FlexAttention on a GPU, branch by branch elsewhere.
        whole_last_layer: compute the last layer for all tokens, too (for benchmarks and tests).
    """

    def __init__(self, model: nn.Module, kind: Attention | None = None, *, whole_last_layer: bool = False) -> None:
        super().__init__()
        self.model = model
        self.training = model.training
        if not hasattr(self.classifier, "score"):
            raise UnsupportedModel(f"{type(self.classifier).__name__} has no head `score` on a causal model")
        self.kind: Attention = kind or ("flex" if self.device.type == "cuda" else "branches")
        self._before = self.classifier.config._attn_implementation
        self.classifier.set_attn_implementation(attention.NAME)
        self.reads_only = False
        layers = getattr(self.backbone, "layers", None)
        if not whole_last_layer and layers and last_layer.fits(layers[-1]):
            last_layer.read_only_where_asked(layers[-1])
            self.reads_only = True

    @property
    def classifier(self) -> Any:
        """transformers' model: head and backbone. (No attribute: its weights would have two names.)"""
        return self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model

    @property
    def backbone(self) -> Any:
        """The transformer without its head."""
        return getattr(self.classifier, self.classifier.base_model_prefix)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @property
    def pad_to_multiple_of(self) -> int:
        """What packs have to be padded to."""
        return attention.FLEX_BLOCK if self.kind == "flex" else 1

    def forward(self, packed: Pack) -> Tensor:
        """[R] scores in fp32, in the order of `packed.keys`."""
        layout = make_layout(packed, self.kind, self.device)
        ids, positions = (
            torch.from_numpy(values)[None].to(self.device, non_blocking=True)
            for values in (packed.input_ids, packed.position_ids)
        )
        output = self.backbone(input_ids=ids, position_ids=positions, use_cache=False, tree_layout=layout)
        states = output.last_hidden_state[0]
        if not self.reads_only:
            states = states[layout.reads]
        return self.classifier.score(states)[:, 0].float()

    def restore(self) -> nn.Module:
        """Gives the model its own attention and last layer back, and returns it."""
        self.classifier.set_attn_implementation(self._before)
        if self.reads_only:
            del self.backbone.layers[-1].forward
        return self.model


def check(scorer: TreeScorer, *, tolerance: float) -> None:
    """Compares a tree's scores with those of its branches alone, on random tokens.

    Raises:
        UnsupportedModel: they differ by more than `tolerance` (of the scores' size): the model does not place tokens
            by `position_ids` alone, or mixes them outside the attention (state space models, ALiBi).
    """
    random = np.random.default_rng(0)
    vocabulary = scorer.classifier.config.get_text_config().vocab_size
    prompt, *branches = (random.integers(0, vocabulary, size).astype(np.int64) for size in (5, 7, 3))
    trees = [Tree(0, prompt, tuple(branches), (0, 1))]
    alone = [Tree(0, prompt, (branch,), (0,)) for branch in branches]
    training = scorer.model.training
    scorer.model.eval()
    try:
        with torch.no_grad():
            together = scorer(pack(trees, pad_to_multiple_of=scorer.pad_to_multiple_of))
            apart = [scorer(pack([tree], pad_to_multiple_of=scorer.pad_to_multiple_of)) for tree in alone]
    except (TypeError, NotImplementedError) as error:
        raise UnsupportedModel(f"{type(scorer.classifier).__name__}: {error}") from None
    finally:
        scorer.model.train(training)
    difference = (together - torch.cat(apart)).abs().max().item()
    size = max(1.0, together.abs().max().item())
    if not difference <= tolerance * size:
        raise UnsupportedModel(
            f"{type(scorer.classifier).__name__}: programs packed behind one prompt do not get the scores that they "
            f'get alone (off by {difference:.2g}): this kind of model cannot be packed; use mode = "pairwise"'
        )
