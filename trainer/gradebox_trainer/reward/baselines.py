"""What a reward model has to beat: a program's length, and its probability under an n-gram model of passing programs.

Which way round each counts (short or long, likely or unlikely) is chosen on the training pairs.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from gradebox_trainer.packing import Tokens
from gradebox_trainer.reward.encode import EncodedGroup
from gradebox_trainer.reward.validate import Validation, compare
from gradebox_trainer.transformer.scoring import Scores

type Score = Callable[[EncodedGroup], Scores]


def length(group: EncodedGroup) -> Scores:
    """Tokens of each program."""
    return np.array([len(branch) for branch in group.tree.branches], np.float32)


class Ngrams:
    """An interpolated n-gram model of tokens with absolute discounting (Ney, Essen and Kneser 1994).

    Args:
        programs: tokens of each.
        order: n.
        vocabulary: tokens that there are; the uniform distribution stands below unigrams.
    """

    DISCOUNT = 0.75

    def __init__(self, programs: Iterable[Tokens], *, order: int = 3, vocabulary: int) -> None:
        self._order = order
        self._vocabulary = vocabulary
        self._counts: list[dict[tuple[int, ...], Counter[int]]] = [{} for _ in range(order)]
        for program in programs:
            tokens = [-1] * (order - 1) + program.tolist()
            for place in range(order - 1, len(tokens)):
                for size in range(order):
                    context = tuple(tokens[place - size : place])
                    self._counts[size].setdefault(context, Counter())[tokens[place]] += 1
        self._totals = [{context: c.total() for context, c in counts.items()} for counts in self._counts]

    def probability(self, context: Sequence[int], token: int) -> float:
        """P(token | the last n-1 tokens)."""
        result = 1.0 / self._vocabulary
        for size in range(self._order):
            key = tuple(context[len(context) - size :])
            counts = self._counts[size].get(key)
            if counts is None:
                break
            total = self._totals[size][key]
            result = max(counts[token] - self.DISCOUNT, 0.0) / total + self.DISCOUNT * len(counts) / total * result
        return result

    def mean_log_probability(self, program: Tokens) -> float:
        """Nats a token."""
        tokens = [-1] * (self._order - 1) + program.tolist()
        logs = [
            math.log(self.probability(tokens[place - self._order + 1 : place], tokens[place]))
            for place in range(self._order - 1, len(tokens))
        ]
        return sum(logs) / len(logs)

    def __call__(self, group: EncodedGroup) -> Scores:
        """The mean log-probability of each program."""
        return np.array([self.mean_log_probability(branch) for branch in group.tree.branches], np.float32)


def better_programs(groups: Iterable[EncodedGroup]) -> Iterable[Tokens]:
    """The programs that are the better one of some pair."""
    for group in groups:
        for place in sorted(set(group.better.tolist())):
            yield group.tree.branches[place]


def baseline(score: Score, train: Sequence[EncodedGroup], held_out: Sequence[EncodedGroup]) -> Validation:
    """How well a score orders held-out pairs, turned the way that does better on the training pairs."""
    towards = compare(train, [score(group) for group in train]).problem_accuracy
    sign = np.float32(1.0 if towards >= 0.5 else -1.0)
    return compare(held_out, [sign * score(group) for group in held_out])
