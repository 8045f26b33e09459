"""Attention over packed trees, for transformers' models: three ways to the same result.

`branches` computes for each branch its own tokens against the prompt's and its own, and nothing that is masked
(CPU); `flex` is FlexAttention with a block mask, one kernel whatever the trees (GPU); `dense` masks a full T x T
product: slow, obviously right, the check of the others.

A layout is made once for a pack and shared by all layers. It reaches the attention as the keyword argument
`tree_layout` of the model's forward, which transformers hands on to the attention of every layer.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from gradebox_trainer.packing import Pack, visible

Attention = Literal["branches", "flex", "dense"]

NAME = "gradebox_tree"
FLEX_BLOCK = 128
"""FlexAttention's block: packs for it are padded to a multiple, else every length compiles anew."""

_UNSUPPORTED = ("softcap", "s_aux", "sinks")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the attention has to know of a pack.

    Attributes:
        reads: [R], the places that the last layer is asked for.
        segments: for each tree the tokens of its prompt and of its branches; the padding at the end, if any, is a
            tree of a prompt alone.
        dense: [1, 1, T, T], or None.
        block_mask: FlexAttention's, or None.
        read_mask: [1, 1, R, T], which tokens each read sees.
        longest: tokens of the longest prompt with a branch, which a sliding window has to hold.
    """

    reads: Tensor
    segments: tuple[tuple[int, ...], ...]
    dense: Tensor | None
    block_mask: Any
    read_mask: Tensor
    longest: int


def make_layout(pack: Pack, kind: Attention, device: torch.device) -> Layout:
    """The layout of a pack on a device."""
    tree = torch.from_numpy(pack.tree).to(device, non_blocking=True)
    branch = torch.from_numpy(pack.branch).to(device, non_blocking=True)
    reads = torch.from_numpy(pack.reads).to(device, non_blocking=True)
    order = torch.arange(pack.size, device=device)
    read_mask = (
        (tree[reads, None] == tree[None, :])
        & ((branch[None, :] == 0) | (branch[reads, None] == branch[None, :]))
        & (order[None, :] <= reads[:, None])
    )
    dense = torch.from_numpy(visible(pack)).to(device)[None, None] if kind == "dense" else None
    block_mask = _block_mask(tree, branch, pack.size, device) if kind == "flex" else None
    segments = pack.segments
    longest = max(tree[0] + max(tree[1:]) for tree in segments)
    if padding := pack.size - sum(map(sum, segments)):
        segments = (*segments, (padding,))
    return Layout(reads, segments, dense, block_mask, read_mask[None, None], longest)


def _block_mask(tree: Tensor, branch: Tensor, size: int, device: torch.device) -> Any:
    def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        shared = (branch[key] == 0) | (branch[query] == branch[key])
        return (query >= key) & (tree[query] == tree[key]) & shared  # padding: a tree of its own, causal

    create = _compiled_block_mask() if device.type == "cuda" else _create_block_mask()
    return create(sees, None, None, size, size, device=str(device), BLOCK_SIZE=FLEX_BLOCK)


def tree_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    tree_layout: Layout,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention function. query [1, H, T or R, D]; key, value [1, KV, T, D]; returns [1, T or R, H, D].

    As many queries as there are reads, and fewer than keys, are those of the reads (see last_layer).

    Raises:
        NotImplementedError: the model's attention has a term that is not computed here (soft cap, sinks).
    """
    for name in _UNSUPPORTED:
        if kwargs.get(name) is not None:
            raise NotImplementedError(f"{type(module).__name__} uses {name}: not supported with packed trees")
    window = kwargs.get("sliding_window")
    if window is not None and tree_layout.longest > window:
        raise NotImplementedError(
            f"programs longer than the model's sliding window of {window} tokens: lower max_length"
        )
    if query.shape[2] != key.shape[2]:
        result = _masked(query, key, value, tree_layout.read_mask, scaling, dropout)
    elif tree_layout.dense is not None:
        result = _masked(query, key, value, tree_layout.dense, scaling, dropout)
    elif tree_layout.block_mask is not None:
        if dropout:
            raise NotImplementedError("FlexAttention has no dropout: set attention_dropout to 0")
        flex = _compiled_flex() if query.is_cuda else _flex()
        result = flex(
            query,
            key,
            value,
            block_mask=tree_layout.block_mask,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    else:
        result = _by_branches(query, key, value, tree_layout.segments, scaling, dropout)
    return result.transpose(1, 2).contiguous(), None


def _masked(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None, dropout: float) -> Tensor:
    key, value = _for_all_heads(query, key, value)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)


def _by_branches(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    segments: tuple[tuple[int, ...], ...],
    scaling: float | None,
    dropout: float,
) -> Tensor:
    key, value = _for_all_heads(query, key, value)
    sizes = [size for tree in segments for size in tree]
    # One split for all: its gradient is one concatenation, where that of every slice would be a whole tensor of zeros.
    parts = list(zip(query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), strict=True))
    causal = _causal(max(tree[0] + max(tree[1:], default=0) for tree in segments), query.device)
    results: list[Tensor] = []
    place = 0
    for tree in segments:
        q, prompt_k, prompt_v = parts[place]
        if tree[0]:
            results.append(
                scaled_dot_product_attention(q, prompt_k, prompt_v, dropout_p=dropout, is_causal=True, scale=scaling)
            )
        for q, k, v in parts[place + 1 : place + len(tree)]:
            if tree[0] == 0:
                results.append(scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scaling))
                continue
            mask = causal[tree[0] : tree[0] + k.shape[2], : tree[0] + k.shape[2]]
            k, v = torch.cat((prompt_k, k), 2), torch.cat((prompt_v, v), 2)
            results.append(scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=scaling))
        place += len(tree)
    return torch.cat(results, 2)


def _causal(size: int, device: torch.device) -> Tensor:
    """[N, N], N >= size: a lower triangle, of which the mask of a branch after its prompt is a part."""
    return _triangle(1 << max(8, (size - 1).bit_length()), device)


@lru_cache(maxsize=4)
def _triangle(size: int, device: torch.device) -> Tensor:
    return torch.ones(size, size, dtype=torch.bool, device=device).tril_()


def _for_all_heads(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    groups = query.shape[1] // key.shape[1]
    if groups == 1:
        return key, value
    return key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)


def _create_block_mask() -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    return create_block_mask


@lru_cache(maxsize=1)
def _compiled_block_mask() -> Any:
    return torch.compile(_create_block_mask())  # else a mask of T x T is made on the way


def _flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return flex_attention


@lru_cache(maxsize=1)
def _compiled_flex() -> Any:
    return torch.compile(_flex())  # the second length makes it one kernel for all lengths


AttentionInterface.register(NAME, tree_attention)
