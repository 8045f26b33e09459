"""Ways to compute one and the same optimiser step, from padded pairs to packed trees, a gain at a time.

Every way takes the groups of a step and adds their gradient; the clipping and the optimiser's step after it are the
same for all. TRL's own RewardTrainer is the first: its loop, its collator, its optimiser, the same pairs a step.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from gradebox_trainer.packing import Tree, pack
from gradebox_trainer.reward.encode import EncodedGroup
from gradebox_trainer.reward.loss import PairIndex, pair_loss
from gradebox_trainer.reward.objective import PairScorer, PairwiseObjective, TreeObjective
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.training.optimizer import clip_gradients, make_optimizer
from gradebox_trainer.transformer.attention import Attention
from gradebox_trainer.transformer.scorer import TreeScorer

type Backward = Callable[[Sequence[EncodedGroup]], int]
"""Adds a step's gradient; returns the tokens that were computed, padding included."""

PAD = 0


def pairwise(model: nn.Module, budget: int, here: Processes) -> Backward:
    """Pair by pair, padded, in batches of `budget` slots."""
    objective = PairwiseObjective(PairScorer(model.train(), PAD), budget, here)
    return lambda groups: objective.backward(groups, 0)[1]


def once(model: nn.Module, budget: int, here: Processes) -> Backward:
    """Each program once, with its prompt, padded; a question's programs in batches of `budget` slots."""
    scorer = PairScorer(model.train(), PAD)

    def backward(groups: Sequence[EncodedGroup]) -> int:
        total = sum(group.total_weight for group in groups)
        computed = 0
        for group in groups:
            rows = [[*group.tree.prompt.tolist(), *branch.tolist()] for branch in group.tree.branches]
            longest = max(map(len, rows))
            size = max(1, budget // longest)
            scores = torch.cat([scorer(rows[start : start + size]) for start in range(0, len(rows), size)])
            pair_loss(scores, _index(group, scores.device), total).backward()
            computed += len(rows) * longest
        return computed

    return backward


def without_padding(model: nn.Module, here: Processes, kind: Attention) -> Backward:
    """Each program once, with its prompt, one after the other without padding; a question a pass."""
    scorer = TreeScorer(model.train(), kind, whole_last_layer=True)

    def backward(groups: Sequence[EncodedGroup]) -> int:
        total = sum(group.total_weight for group in groups)
        computed = 0
        for group in groups:
            alone = [
                Tree(place, group.tree.prompt, (branch,), (0,)) for place, branch in enumerate(group.tree.branches)
            ]
            packed = pack(alone, pad_to_multiple_of=scorer.pad_to_multiple_of)
            pair_loss(scorer(packed), _index(group, here.device), total).backward()
            computed += packed.size
        return computed

    return backward


def trees(
    model: nn.Module, budget: int, here: Processes, kind: Attention, *, whole_last_layer: bool = False
) -> Backward:
    """Each prompt once, too: packed trees."""
    objective = TreeObjective(TreeScorer(model.train(), kind, whole_last_layer=whole_last_layer), budget, here)
    return lambda groups: objective.backward(groups, 0)[1]


def _index(group: EncodedGroup, device: torch.device) -> PairIndex:
    return PairIndex(*(torch.from_numpy(values).to(device) for values in (group.better, group.worse, group.weight)))


def timed_steps(model: nn.Module, backward: Backward, steps: Sequence[Sequence[EncodedGroup]]) -> tuple[float, int]:
    """(seconds, tokens computed) of optimiser steps on the given groups, after one step that is not counted."""
    optimizer = make_optimizer(model, learning_rate=1e-5, weight_decay=0.0)

    def step(groups: Sequence[EncodedGroup]) -> int:
        computed = backward(groups)
        clip_gradients(model, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return computed

    step(steps[0])
    started = now()
    computed = sum(step(groups) for groups in steps)
    return now() - started, computed


def trl_steps(model: Any, steps: Sequence[Sequence[EncodedGroup]], *, pairs_at_once: int) -> tuple[float, int]:
    """The same of TRL's RewardTrainer: `pairs_at_once` padded pairs a pass, as many passes a step as ours has pairs.

    Timed between its own callbacks, without its setting up, after one step that is not counted.
    """
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    words = {f"<{i}>": i for i in range(4)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<3>")), pad_token="<0>", eos_token="<1>"
    )
    rows = [
        {"chosen_ids": [int(i) for i in better], "rejected_ids": [int(i) for i in worse]}
        for groups in (steps[0], *steps)
        for group in groups
        for better, worse in (group.pair_ids(pair) for pair in range(len(group.weight)))
    ]
    pairs_a_step = sum(len(group.weight) for group in steps[0])
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            times.append(now())

    with tempfile.TemporaryDirectory() as folder:
        arguments = RewardConfig(
            output_dir=folder,
            per_device_train_batch_size=pairs_at_once,
            gradient_accumulation_steps=pairs_a_step // pairs_at_once,
            max_steps=len(steps) + 1,
            max_length=None,
            learning_rate=1e-5,
            max_grad_norm=1.0,
            bf16=False,  # the weights' own type
            gradient_checkpointing=False,
            disable_tqdm=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            dataloader_num_workers=0,
            use_cpu=not torch.cuda.is_available(),
        )
        trainer = RewardTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)  # stdout is ours
        trainer.train()
    longest = [
        2
        * max(
            len(rows[i][side]) for i in range(start, start + pairs_at_once) for side in ("chosen_ids", "rejected_ids")
        )
        for start in range(pairs_a_step, len(rows), pairs_at_once)
    ]
    return times[-1] - times[0], pairs_at_once * sum(longest)


def now() -> float:
    """Seconds: of the clock when the GPU has done what it was given; without one, of this process on a CPU.

    CPU time is what a step costs whatever else the machine does; with one thread it is the time on an idle one.
    """
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()
