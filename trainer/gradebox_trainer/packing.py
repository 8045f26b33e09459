"""Trees of tokens, packed side by side without padding.

A tree is a prompt and its branches: the prompt stands once, every branch after it. A branch's tokens see the prompt
and their own branch, and their positions go on where the prompt ends, so every branch gets what it would get alone
after its prompt, and the prompt is computed once. A pack is a few trees in one sequence of at most `budget` tokens;
trees do not see each other.

Pure functions of integers: no torch here.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt (possibly empty) and its branches (at least one, none of them empty).

    Attributes:
        key: what the caller knows the tree by.
        branch_keys: the caller's number of each branch.
    """

    key: int
    prompt: Tokens
    branches: tuple[Tokens, ...]
    branch_keys: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.branches or any(len(branch) == 0 for branch in self.branches):
            raise ValueError("a tree needs branches, and a branch needs tokens")
        if len(self.branches) != len(self.branch_keys):
            raise ValueError("one key for each branch")

    @property
    def size(self) -> int:
        """Tokens."""
        return len(self.prompt) + sum(map(len, self.branches))

    @property
    def longest(self) -> int:
        """Tokens of the longest way from the root to a leaf."""
        return len(self.prompt) + max(map(len, self.branches))


def split_tree(tree: Tree, budget: int) -> list[Tree]:
    """The tree itself, or, where it is larger than `budget` tokens, trees of some of its branches each.

    The prompt is repeated in each. One branch that is too large alone gets a tree of its own all the same: what
    truncation allowed is never dropped here.
    """
    if tree.size <= budget:
        return [tree]
    room = max(1, budget - len(tree.prompt))
    bins = first_fit([len(branch) for branch in tree.branches], room)
    return [
        Tree(tree.key, tree.prompt, tuple(tree.branches[i] for i in part), tuple(tree.branch_keys[i] for i in part))
        for part in bins
    ]


def first_fit(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """First-fit decreasing: indexes by bin, each bin within `budget` unless one size alone is larger.

    Needs at most 11/9 of the fewest bins, plus one. Ties keep the order of the input, so the result is a function of
    the sizes alone.
    """
    bins: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        size = sizes[index]
        for number, room in enumerate(free):
            if size <= room:
                bins[number].append(index)
                free[number] -= size
                break
        else:
            bins.append([index])
            free.append(max(0, budget - size))
    return [sorted(part) for part in bins]


def balance(sizes: Sequence[int], parts: int) -> list[list[int]]:
    """Indexes by part, so that the largest sum is small (longest first to the emptiest). Parts may be empty."""
    heap = [(0, part) for part in range(parts)]
    result: list[list[int]] = [[] for _ in range(parts)]
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        total, part = heapq.heappop(heap)
        result[part].append(index)
        heapq.heappush(heap, (total + sizes[index], part))
    return [sorted(part) for part in result]


@dataclass(frozen=True, slots=True)
class Pack:
    """A few trees in one sequence of T tokens with R branches.

    Attributes:
        input_ids, position_ids: [T].
        tree, branch: [T], which tree a token is of, and which of its branches, from 1; 0 is the prompt. Padding has
            tree -1 (a fixed length for compiled kernels).
        reads: [R], the place of each branch's last token, in the order of the trees and their branches.
        keys: (tree key, branch key) of each read.
        segments: for each tree the length of its prompt and those of its branches, in order.
    """

    input_ids: Tokens
    position_ids: Tokens
    tree: Tokens
    branch: Tokens
    reads: Tokens
    keys: tuple[tuple[int, int], ...]
    segments: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Tokens, padding included."""
        return len(self.input_ids)


def pack(trees: Sequence[Tree], *, pad_to_multiple_of: int = 1, pad_id: int = 0) -> Pack:
    """Lays trees out one after the other."""
    ids: list[Tokens] = []
    positions: list[Tokens] = []
    tree_numbers: list[Tokens] = []
    branch_numbers: list[Tokens] = []
    reads: list[int] = []
    keys: list[tuple[int, int]] = []
    size = 0
    for number, tree in enumerate(trees):
        start = len(tree.prompt)
        for branch, tokens in enumerate((tree.prompt, *tree.branches)):
            length = len(tokens)
            ids.append(tokens)
            positions.append(np.arange(length) + (start if branch else 0))
            tree_numbers.append(np.full(length, number))
            branch_numbers.append(np.full(length, branch))
            size += length
            if branch:
                reads.append(size - 1)
                keys.append((tree.key, tree.branch_keys[branch - 1]))
    if padding := -size % pad_to_multiple_of:
        ids.append(np.full(padding, pad_id))
        positions.append(np.zeros(padding, np.int64))
        tree_numbers.append(np.full(padding, -1))
        branch_numbers.append(np.zeros(padding, np.int64))
    return Pack(
        input_ids=_joined(ids),
        position_ids=_joined(positions),
        tree=_joined(tree_numbers),
        branch=_joined(branch_numbers),
        reads=np.array(reads, np.int64),
        keys=tuple(keys),
        segments=tuple((len(tree.prompt), *map(len, tree.branches)) for tree in trees),
    )


def _joined(parts: Sequence[Tokens]) -> Tokens:
    return np.concatenate(parts).astype(np.int64)


def visible(pack: Pack) -> npt.NDArray[np.bool_]:
    """[T, T]: whether the token of the row sees that of the column. The definition that all attentions are tested with.

    A token of the padding sees itself, so that no row is empty (a softmax over nothing is NaN).
    """
    same_tree = pack.tree[:, None] == pack.tree[None, :]
    shared = (pack.branch[None, :] == 0) | (pack.branch[:, None] == pack.branch[None, :])
    order = np.arange(pack.size)
    earlier = order[:, None] >= order[None, :]
    real = (pack.tree >= 0)[:, None] | (order[:, None] == order[None, :])
    return np.asarray(same_tree & shared & earlier & real)


def pack_trees(trees: Sequence[Tree], budget: int, *, parts: int = 1) -> list[list[list[Tree]]]:
    """Trees by part (a device) and by pack, within `budget` tokens each; all parts have as many packs.

    Packs that a part lacks are empty lists: devices that share a model have to run it as often as each other.
    Only a tree larger than the budget (one long branch) makes a larger pack.
    """
    packs = [[trees[i] for i in part] for part in first_fit([tree.size for tree in trees], budget)]
    shares = balance([sum(tree.size for tree in part) for part in packs], parts)
    rounds = max((len(share) for share in shares), default=0)
    return [[packs[i] for i in share] + [[] for _ in range(rounds - len(share))] for share in shares]
