"""One optimiser step's gradient from a few question groups, as trees or as padded pairs: the same gradient.

Trees larger than the budget are split: their scores are computed first without a graph, which gives the gradient of
the loss with respect to each score; then part by part with one (see `loss.score_gradient`). Dropout draws the same
numbers both times, so this is exact, too.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid
from torch.nn.utils.rnn import pad_sequence

from gradebox_trainer.packing import Tree, first_fit, pack_trees, split_tree
from gradebox_trainer.reward.encode import EncodedGroup
from gradebox_trainer.reward.loss import PairIndex, margins, pair_loss, score_gradient
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.transformer.scorer import TreeScorer
from gradebox_trainer.transformer.scoring import Scores, pack_for, score_trees

SUMS = ("loss", "correct", "margin")
"""What a step adds up over its pairs, each times the pair's weight over the step's total weight."""


class TreeObjective:
    """Gradients of packed trees."""

    def __init__(self, scorer: TreeScorer, budget: int, processes: Processes) -> None:
        self.scorer = scorer
        self._budget = budget
        self._processes = processes

    def backward(self, groups: Sequence[EncodedGroup], seed: int) -> tuple[Tensor, int]:
        """Adds the gradient of the groups' loss to the weights' gradients.

        Returns:
            `SUMS` of this process's share, a tensor on the device (no waiting for it), and the tokens computed here.
        """
        total = sum(group.total_weight for group in groups)
        whole = [place for place, group in enumerate(groups) if group.tree.size <= self._budget]
        split = sorted(set(range(len(groups))) - set(whole))
        trees = [_renamed(groups[place].tree, place) for place in whole]
        sums = torch.zeros(len(SUMS), device=self._processes.device)
        tokens = 0
        # FSDP averages gradients over the processes, and the loss is already over the whole step.
        factor = float(self._processes.world)
        packs = pack_trees(trees, self._budget, parts=self._processes.world)[self._processes.rank]
        for number, part in enumerate(packs):
            torch.manual_seed(self._seed(seed, number))
            packed = pack_for(self.scorer, part)
            scores = self.scorer(packed)
            if part:
                pairs = _pair_index([groups[tree.key] for tree in part], scores.device)
                loss = pair_loss(scores, pairs, total)
                sums += _sums(scores.detach(), pairs, total)
                tokens += packed.size
            else:
                loss = scores.sum() * 0.0
            (loss * factor).backward()
        if split:
            more, computed = self._split(
                [groups[place] for place in split], total, self._seed(seed, len(packs)), factor
            )
            sums += more
            tokens += computed
        return sums, tokens

    def _split(self, groups: Sequence[EncodedGroup], total: float, seed: int, factor: float) -> tuple[Tensor, int]:
        device = self._processes.device
        offsets = np.cumsum([0, *(len(group.tree.branches) for group in groups)])
        pieces = [
            piece
            for place, group in enumerate(groups)
            for piece in split_tree(_renamed(group.tree, place), self._budget)
        ]
        packs = pack_trees(pieces, self._budget, parts=self._processes.world)[self._processes.rank]
        scores = torch.zeros(int(offsets[-1]), device=device)
        places = []
        with torch.no_grad():
            for number, part in enumerate(packs):
                torch.manual_seed(seed + number)
                packed = pack_for(self.scorer, part)
                keys = packed.keys if part else ()
                place = torch.tensor([int(offsets[tree]) + branch for tree, branch in keys], dtype=torch.int64)
                places.append(place.to(device))
                scores[places[-1]] = self.scorer(packed)[: len(place)]
        scores = self._processes.sum(scores)
        pairs = _pair_index(groups, device)
        pull = score_gradient(scores, pairs, total)
        tokens = 0
        for number, part in enumerate(packs):
            torch.manual_seed(seed + number)
            packed = pack_for(self.scorer, part)
            again = self.scorer(packed)
            (again[: len(places[number])] @ pull[places[number]] * factor + again.sum() * 0.0).backward()
            tokens += 2 * packed.size if part else 0
        sums = _sums(scores, pairs, total)
        return sums if self._processes.first else sums * 0.0, tokens

    def _seed(self, seed: int, number: int) -> int:
        return (seed * 8191 + number) * self._processes.world + self._processes.rank

    def scores(self, groups: Sequence[EncodedGroup]) -> list[Scores]:
        """The scores of each group's programs, without gradients."""
        return score_trees(self.scorer, [group.tree for group in groups], self._budget, self._processes)


class PairScorer(nn.Module):
    """Scores of padded sequences, with the model's own forward."""

    def __init__(self, model: nn.Module, pad_id: int) -> None:
        super().__init__()
        self.model = model
        self.training = model.training
        self._pad_id = pad_id

    def forward(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """[N] scores in fp32 of N sequences of tokens, padded to the longest."""
        device = next(self.model.parameters()).device
        ids = pad_sequence([torch.tensor(row) for row in sequences], batch_first=True, padding_value=self._pad_id)
        lengths = torch.tensor([len(row) for row in sequences])
        mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
        logits: Tensor = self.model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits
        return logits[:, 0].float()


class PairwiseObjective:
    """Gradients pair by pair, padded, both programs behind their own prompt: what TRL's RewardTrainer computes."""

    def __init__(self, scorer: PairScorer, budget: int, processes: Processes) -> None:
        self.scorer = scorer
        self._budget = budget
        self._processes = processes

    def backward(self, groups: Sequence[EncodedGroup], seed: int) -> tuple[Tensor, int]:
        """As TreeObjective's; tokens count the padding, which is computed, too."""
        total = sum(group.total_weight for group in groups)
        pairs = [
            (group.pair_ids(pair), float(group.weight[pair])) for group in groups for pair in range(len(group.weight))
        ]
        longest = max(len(ids) for sides, _ in pairs for ids in sides)
        size = max(1, self._budget // (2 * longest))
        batches = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        rounds = -(-len(batches) // self._processes.world)
        sums = torch.zeros(len(SUMS), device=self._processes.device)
        tokens = 0
        for number in range(rounds):
            place = number * self._processes.world + self._processes.rank
            batch = batches[place] if place < len(batches) else []
            torch.manual_seed((seed * 8191 + number) * self._processes.world + self._processes.rank)
            rows = [sides[0] for sides, _ in batch] + [sides[1] for sides, _ in batch] or [[0]]
            scores = self.scorer(rows)
            if batch:
                order = torch.arange(len(batch), device=scores.device)
                weight = torch.tensor([weight for _, weight in batch], device=scores.device)
                index = PairIndex(order, order + len(batch), weight)
                loss = pair_loss(scores, index, total)
                sums += _sums(scores.detach(), index, total)
                tokens += len(rows) * max(map(len, rows))
            else:
                loss = scores.sum() * 0.0
            (loss * float(self._processes.world)).backward()
        return sums, tokens

    def scores(self, groups: Sequence[EncodedGroup]) -> list[Scores]:
        """The scores of each group's programs, one padded batch after the other."""
        rows = [
            (place, [*group.tree.prompt, *branch])
            for place, group in enumerate(groups)
            for branch in group.tree.branches
        ]
        result = torch.zeros(len(rows), device=self._processes.device)
        longest = max(len(ids) for _, ids in rows)
        parts = first_fit([longest] * len(rows), max(longest, self._budget))
        training = self.scorer.training
        self.scorer.eval()
        with torch.no_grad():
            rounds = -(-len(parts) // self._processes.world)
            for number in range(rounds):
                place = number * self._processes.world + self._processes.rank
                part = parts[place] if place < len(parts) else []
                scores = self.scorer([rows[i][1] for i in part] or [[0]])
                result[torch.tensor(part, dtype=torch.int64, device=result.device)] = scores[: len(part)]
        self.scorer.train(training)
        values = self._processes.sum(result).cpu().numpy()
        offsets = np.cumsum([0, *(len(group.tree.branches) for group in groups)])
        return [values[start:end] for start, end in itertools.pairwise(offsets)]


def _renamed(tree: Tree, key: int) -> Tree:
    return Tree(key, tree.prompt, tree.branches, tree.branch_keys)


def _pair_index(groups: Sequence[EncodedGroup], device: torch.device) -> PairIndex:
    """The pairs of groups whose scores stand one group after the other."""
    offsets = np.cumsum([0, *(len(group.tree.branches) for group in groups)])[:-1]
    better, worse = (
        np.concatenate([places + offset for places, offset in zip(side, offsets, strict=True)])
        for side in ([group.better for group in groups], [group.worse for group in groups])
    )
    weight = np.concatenate([group.weight for group in groups])
    return PairIndex(*(torch.from_numpy(values).to(device, non_blocking=True) for values in (better, worse, weight)))


def _sums(scores: Tensor, pairs: PairIndex, total: float) -> Tensor:
    gap = margins(scores, pairs)
    correct = (gap > 0).float() + 0.5 * (gap == 0).float()
    return torch.stack([(pairs.weight * values).sum() / total for values in (-logsigmoid(gap), correct, gap)])
