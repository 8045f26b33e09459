"""Question groups as trees of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from gradebox_command.errors import BadArgument
from gradebox_trainer.packing import Tokens, Tree
from gradebox_trainer.reward.groups import Group


class TooLong(BadArgument):
    """A prompt with its program has more tokens than the model is to see."""


@dataclass(frozen=True, slots=True)
class EncodedGroup:
    """A group as the loss needs it: pairs are places of the tree's branches.

    Attributes:
        better, worse: [P] (int64).
        weight: [P] (float32).
        pass_rates: of each branch; None where the data does not say.
    """

    id: str
    tree: Tree
    better: Tokens
    worse: Tokens
    weight: npt.NDArray[np.float32]
    pass_rates: tuple[float | None, ...] = ()

    @property
    def total_weight(self) -> float:
        """What the question counts in the loss."""
        return float(self.weight.sum(dtype=np.float64))

    def pair_ids(self, pair: int) -> tuple[list[int], list[int]]:
        """The tokens of a pair as they stand alone: prompt and better, prompt and worse (TRL's chosen_ids…)."""
        better, worse = (self.tree.branches[places[pair]] for places in (self.better, self.worse))
        return [*self.tree.prompt, *better], [*self.tree.prompt, *worse]


class Encoder:
    """Texts to tokens: the prompt, and each program with the end after it.

    A tokenizer with a chat template writes the prompt as a user's turn and the program as the assistant's; any other
    gets `prompt_template`, the program and the end token. Both sides are encoded apart, so that a prompt's tokens do
    not depend on the program after it.
    """

    def __init__(self, tokenizer: Any, *, prompt_template: str, max_length: int) -> None:
        self._tokenizer = tokenizer
        self._template = prompt_template
        self.max_length = max_length

    def tree(self, key: int, prompt: str, programs: Sequence[str], keys: Sequence[int] | None = None) -> Tree:
        """The tree of a prompt (possibly empty) and programs."""
        before, after = self._texts(prompt, programs)
        ids = self._tokenizer([before, *after], add_special_tokens=False)["input_ids"]
        prompt_ids, *branches = (np.array(row, np.int64) for row in ids)
        end = self._tokenizer.eos_token_id
        if self._tokenizer.chat_template is None or any(len(branch) == 0 for branch in branches):
            branches = [np.append(branch, end) for branch in branches]
        return Tree(key, prompt_ids, tuple(branches), tuple(keys if keys is not None else range(len(branches))))

    def _texts(self, prompt: str, programs: Sequence[str]) -> tuple[str, list[str]]:
        if self._tokenizer.chat_template is None:
            return (self._template.replace("{prompt}", prompt) if prompt else ""), list(programs)
        user = [{"role": "user", "content": prompt}]
        before: str = self._tokenizer.apply_chat_template(user, tokenize=False, add_generation_prompt=True)
        after = []
        for program in programs:
            turns = [*user, {"role": "assistant", "content": program}]
            whole: str = self._tokenizer.apply_chat_template(turns, tokenize=False)
            if not whole.startswith(before):
                raise BadArgument("the tokenizer's chat template writes a prompt differently when an answer follows")
            after.append(whole[len(before) :])
        return before, after


def encode_groups(
    groups: Sequence[Group],
    encoder: Encoder,
    *,
    too_long: Literal["error", "drop"],
    weights: Literal["pairs", "equal"],
) -> tuple[list[EncodedGroup], int]:
    """The groups as trees, numbered in order, and how many programs were dropped for their length.

    Raises:
        TooLong: a program with its prompt is longer than the model is to see, and `too_long` is "error".
    """
    result: list[EncodedGroup] = []
    dropped = 0
    for group in groups:
        tree = encoder.tree(len(result), group.prompt, group.programs)
        room = encoder.max_length - len(tree.prompt)
        kept = [place for place, branch in enumerate(tree.branches) if len(branch) <= room]
        if len(kept) < len(tree.branches):
            if too_long == "error":
                length = tree.longest
                raise TooLong(
                    f"problem {group.id!r}: a program of {length - len(tree.prompt):,} tokens after a prompt of "
                    f"{len(tree.prompt):,} is longer than max_length = {encoder.max_length:,}: raise it, or set "
                    'too_long = "drop" to leave such programs out'
                )
            dropped += len(tree.branches) - len(kept)
        encoded = _encoded(group, tree, kept, weights)
        if encoded is not None:
            result.append(encoded)
    if not result:
        raise TooLong(f"no pair is left within max_length = {encoder.max_length:,} tokens")
    return result, dropped


def some_programs(group: EncodedGroup, count: int, random: Random) -> EncodedGroup:
    """The group with `count` of its programs: drawn pair by pair, so that all of them are in some pair.

    The question keeps its weight.
    """
    if len(group.tree.branches) <= count:
        return group
    kept: set[int] = set()
    order = list(range(len(group.weight)))
    random.shuffle(order)
    for pair in order:
        both = kept | {int(group.better[pair]), int(group.worse[pair])}
        if len(both) <= count:
            kept = both
        if len(kept) == count:
            break
    places = sorted(kept)
    number = {old: new for new, old in enumerate(places)}
    pairs = [i for i in range(len(group.weight)) if int(group.better[i]) in number and int(group.worse[i]) in number]
    weight = group.weight[pairs]
    tree = group.tree
    return EncodedGroup(
        group.id,
        Tree(tree.key, tree.prompt, tuple(tree.branches[i] for i in places), tuple(range(len(places)))),
        np.array([number[int(group.better[i])] for i in pairs], np.int64),
        np.array([number[int(group.worse[i])] for i in pairs], np.int64),
        weight * np.float32(group.total_weight / float(weight.sum())),
        tuple(group.pass_rates[i] for i in places) if group.pass_rates else (),
    )


def _encoded(group: Group, tree: Tree, kept: list[int], weights: str) -> EncodedGroup | None:
    place = {old: new for new, old in enumerate(kept)}
    pairs = [pair for pair in group.pairs if pair.better in place and pair.worse in place]
    if not pairs:
        return None
    weight = np.array([pair.weight for pair in pairs], np.float32)
    if weights == "equal":
        weight /= weight.sum()
    return EncodedGroup(
        group.id,
        Tree(tree.key, tree.prompt, tuple(tree.branches[i] for i in kept), tuple(range(len(kept)))),
        np.array([place[pair.better] for pair in pairs], np.int64),
        np.array([place[pair.worse] for pair in pairs], np.int64),
        weight,
        tuple(group.pass_rates[i] for i in kept),
    )
