"""Scores of many trees, without gradients, over all devices."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from gradebox_trainer.packing import Pack, Tree, pack, pack_trees, split_tree
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.transformer.scorer import TreeScorer

Scores = npt.NDArray[np.float32]


def score_trees(
    scorer: TreeScorer,
    trees: Sequence[Tree],
    budget: int,
    processes: Processes,
    done: Callable[[int], None] = lambda count: None,
) -> list[Scores]:
    """For each tree the scores of its branches, by their keys (0 to n-1), on every process.

    Args:
        budget: tokens of one forward pass.
        done: told of branches that were scored here.
    """
    offsets = np.cumsum([0, *(len(tree.branches) for tree in trees)])
    pieces = [
        Tree(place, piece.prompt, piece.branches, piece.branch_keys)
        for place, tree in enumerate(trees)
        for piece in split_tree(tree, budget)
    ]
    result = torch.zeros(int(offsets[-1]), device=processes.device)
    training = scorer.training
    scorer.eval()
    try:
        with torch.no_grad():
            for part in pack_trees(pieces, budget, parts=processes.world)[processes.rank]:
                packed = pack_for(scorer, part)
                scores = scorer(packed)
                if part:
                    places = [int(offsets[tree]) + branch for tree, branch in packed.keys]
                    result[torch.tensor(places, device=result.device)] = scores
                    done(len(places))
    finally:
        scorer.train(training)
    values = processes.sum(result).cpu().numpy()
    return [values[start:end] for start, end in itertools.pairwise(offsets)]


def pack_for(scorer: TreeScorer, trees: Sequence[Tree]) -> Pack:
    """A pack as the scorer needs it. No trees: one of one token, for a process that has nothing left to do."""
    if not trees:
        nothing = np.zeros(1, np.int64)
        trees = [Tree(0, nothing[:0], (nothing,), (0,))]
    return pack(trees, pad_to_multiple_of=scorer.pad_to_multiple_of)
