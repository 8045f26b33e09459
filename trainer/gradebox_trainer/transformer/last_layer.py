"""The last decoder layer, only where its result is read.

A reward is read at one token of each program, so of the last layer all tokens' keys and values are needed, but the
queries, the attention's result, its projection and the MLP only at those tokens. The layer's other results are never
looked at: the scores and the gradients are the same.

For layers of Llama's form (Llama, Mistral, Qwen2, Qwen3): norm, attention with q/k/v/o projections and
rotary positions, norm, MLP, each added to the residual stream. Other models run their last layer in full.
"""

import sys
from typing import Any

from torch import Tensor, nn

from gradebox_trainer.transformer.attention import tree_attention

_FORMS = frozenset({"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer"})
"""By name, not by their attributes: others look alike, but skip the rotation or drop what they add to the stream."""


def fits(layer: nn.Module) -> bool:
    """Whether the layer has the form that is computed here."""
    return type(layer).__name__ in _FORMS and type(layer).__module__.startswith("transformers.models.")


def read_only_where_asked(layer: nn.Module) -> None:
    """Replaces the layer's forward. Needs `tree_layout` among its arguments; returns [1, R, hidden size]."""
    attention: Any = layer.self_attn
    q_norm, k_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb

    def forward(
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        *,
        tree_layout: Any,
        **kwargs: Any,
    ) -> Tensor:
        assert position_embeddings is not None
        reads = tree_layout.reads
        cos, sin = position_embeddings
        residual = hidden_states[:, reads]
        hidden_states = layer.input_layernorm(hidden_states)
        query = _heads(attention.q_proj(hidden_states[:, reads]), attention.head_dim, q_norm)
        key = _heads(attention.k_proj(hidden_states), attention.head_dim, k_norm)
        value = _heads(attention.v_proj(hidden_states), attention.head_dim, None)
        query, _ = rotate(query, query, cos[:, reads], sin[:, reads])
        key, _ = rotate(key, key, cos, sin)
        result, _ = tree_attention(
            attention,
            query,
            key,
            value,
            None,
            scaling=attention.scaling,
            dropout=attention.attention_dropout if attention.training else 0.0,
            tree_layout=tree_layout,
            sliding_window=getattr(attention, "sliding_window", None),
        )
        residual = residual + attention.o_proj(result.flatten(2))
        return residual + layer.mlp(layer.post_attention_layernorm(residual))

    layer.forward = forward


def _heads(states: Tensor, head_dim: int, norm: Any) -> Tensor:
    """[1, N, H * D] as [1, H, N, D], with the norm of each head where the model has one (Qwen3)."""
    states = states.unflatten(-1, (-1, head_dim))
    return (states if norm is None else norm(states)).transpose(1, 2)
