"""Question groups at AceCodePair's shape: a prompt of about 250 tokens, 11 programs of 120 to 280, 14 pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gradebox_trainer.packing import Tokens, Tree
from gradebox_trainer.reward.encode import EncodedGroup

RESERVED = 2  # padding and end


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a question, in tokens and pairs."""

    prompt: tuple[int, int] = (200, 300)
    program: tuple[int, int] = (120, 280)
    programs: int = 11
    pairs: int = 14


def random_groups(count: int, vocabulary: int, shape: Shape, *, seed: int = 0) -> list[EncodedGroup]:
    """Groups of random tokens; the same for the same arguments."""
    random = np.random.default_rng(seed)

    def tokens(bounds: tuple[int, int]) -> Tokens:
        return random.integers(RESERVED, vocabulary, random.integers(*bounds, endpoint=True)).astype(np.int64)

    groups = []
    for key in range(count):
        branches = tuple(tokens(shape.program) for _ in range(shape.programs))
        # Every program is in a pair, as in the real data: a chain first, then pairs at random.
        chosen = [(place, place + 1) for place in range(shape.programs - 1)][: shape.pairs]
        while len(chosen) < shape.pairs:
            one, other = (int(place) for place in random.choice(shape.programs, 2, replace=False))
            if (one, other) not in chosen and (other, one) not in chosen:
                chosen.append((one, other))
        better, worse = (np.array(side, np.int64) for side in zip(*chosen, strict=True))
        tree = Tree(key, tokens(shape.prompt), branches, tuple(range(len(branches))))
        groups.append(EncodedGroup(str(key), tree, better, worse, np.ones(len(chosen), np.float32)))
    return groups


def pair_tokens(groups: Sequence[EncodedGroup]) -> int:
    """Tokens of all pairs, each side with its prompt, without padding."""
    return sum(len(ids) for group in groups for pair in range(len(group.weight)) for ids in group.pair_ids(pair))
