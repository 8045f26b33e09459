"""The loop that trains a reward model. Which groups a step takes, and its random numbers, are functions of the seed
and the step alone: a run that goes on from a checkpoint does what the unbroken run did.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradebox_command.errors import BadArgument, CommandError
from gradebox_trainer.reward.encode import EncodedGroup, some_programs
from gradebox_trainer.reward.objective import SUMS, PairScorer, PairwiseObjective, TreeObjective
from gradebox_trainer.reward.saving import load_weights, save_state, write_model
from gradebox_trainer.reward.settings import RewardSettings
from gradebox_trainer.reward.validate import Validation, compare
from gradebox_trainer.training.checkpoint import checkpoints, load_state, publish, save_checkpoint
from gradebox_trainer.training.distributed import Processes, shard
from gradebox_trainer.training.metrics import Metrics
from gradebox_trainer.training.optimizer import clip_gradients, learning_rate_at, make_optimizer, set_learning_rate
from gradebox_trainer.transformer import loading
from gradebox_trainer.transformer.scorer import TreeScorer, UnsupportedModel, check
from gradebox_trainer.transformer.scoring import Scores

CHECKPOINTS = "checkpoints"


class NotFinite(CommandError):
    """The loss or the gradient is not a finite number."""


@dataclass(frozen=True, slots=True)
class Data:
    """What a run trains and validates on, and what came of the input."""

    train: Sequence[EncodedGroup]
    validation: Sequence[EncodedGroup]
    dropped: int = 0


@dataclass(slots=True)
class Outcome:
    """A finished run: its steps, and the last validation with the scores of each held-out group."""

    steps: int
    validation: Validation | None = None
    scores: list[Scores] = field(default_factory=list)


def total_steps(settings: RewardSettings, groups: int) -> int:
    """Optimiser steps of the whole run."""
    return max(1, round(settings.epochs * -(-groups // settings.questions_per_step)))


def groups_of_step(settings: RewardSettings, groups: int, step: int) -> list[int]:
    """The groups that step number `step` (from 0) takes: every epoch has all of them once, in an order of its own."""
    per_epoch = -(-groups // settings.questions_per_step)
    epoch, place = divmod(step, per_epoch)
    order = list(range(groups))
    random.Random(f"{settings.seed}/{epoch}").shuffle(order)
    return order[place * settings.questions_per_step :][: settings.questions_per_step]


class RewardTrainer:
    """One run: a model, its optimiser, its place.

    Args:
        model: a classifier as `transformer.loading` makes it, without adapters.
        tokenizer: its tokenizer; saved with it.
        folder: the run's own.
    """

    def __init__(
        self, settings: RewardSettings, model: nn.Module, tokenizer: Any, data: Data, folder: Path, processes: Processes
    ) -> None:
        self.settings = settings
        self.tokenizer = tokenizer
        self.data = data
        self.folder = folder
        self.processes = processes
        self.step = 0
        self.steps = total_steps(settings, len(data.train))
        if settings.lora is not None:
            torch.manual_seed(settings.seed)
            model = loading.add_lora(model, self.lora())
        self.model = model.to(processes.device).train()
        if settings.gradient_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.objective = self._objective()
        self.optimizer = make_optimizer(
            self.model, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def lora(self) -> loading.Lora:
        """The adapters' settings. Only where there are adapters."""
        assert self.settings.lora is not None
        return loading.Lora(**self.settings.lora.model_dump())

    def _objective(self) -> TreeObjective | PairwiseObjective:
        settings = self.settings
        if settings.mode == "pairwise":
            scorer = PairScorer(self.model, self.tokenizer.pad_token_id)
            self._spread(scorer, getattr(self.model, "base_model", self.model))
            return PairwiseObjective(scorer, settings.token_budget, self.processes)
        kind = None if settings.attention == "auto" else settings.attention
        try:
            trees = TreeScorer(self.model, kind)
            check(trees, tolerance=1e-3 if settings.precision == "fp32" else 5e-2)
        except UnsupportedModel as error:
            raise BadArgument(str(error)) from None
        self._spread(trees, trees.backbone)
        return TreeObjective(trees, settings.token_budget, self.processes)

    def _spread(self, scorer: nn.Module, backbone: Any) -> None:
        """Shards the weights over the processes, and compiles layers, as asked."""
        layers = next((m for m in backbone.modules() if isinstance(m, nn.ModuleList)), nn.ModuleList())
        if self.settings.compile:
            for layer in layers:
                layer.compile(dynamic=None)
        if self.processes.world > 1:
            shard(scorer, layers)

    def resume(self) -> int:
        """Goes to the last whole checkpoint, if there is one; the step it was made after."""
        found = checkpoints(self.folder / CHECKPOINTS)
        if not found:
            return 0
        step, path = found[-1]
        state = load_state(path)
        if state["identity"] != self.identity():
            raise BadArgument(
                f"{path} is of a run with other settings or other data: --resume goes on with the same only"
            )
        load_weights(self, path, state)
        self.step = step
        return step

    def identity(self) -> str:
        """What has to be the same for a run to go on: all that changes its numbers."""
        free = {"save_every", "keep_checkpoints", "log_every", "report_to", "validate_every"}
        return json.dumps(
            {
                "settings": self.settings.model_dump(mode="json", exclude=free),
                "train": [len(self.data.train), sum(group.tree.size for group in self.data.train)],
                "validation": len(self.data.validation),
            },
            sort_keys=True,
        )

    def run(
        self,
        metrics: Metrics | None,
        advance: Callable[[int], None] = lambda count: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Trains to the end, validating and saving on the way, and leaves the model in the run's folder.

        Args:
            metrics: None on all processes but the first.
            advance: told of every step.
            stop: asked after every step; when true, the step is saved first.

        Raises:
            KeyboardInterrupt: asked to stop.
            NotFinite: the loss or its gradient stopped being a number; checkpoints from before stay.
            CommandError: something could not be saved.
        """
        outcome = Outcome(self.steps)
        pending: tuple[int, Tensor] | None = None  # numbers of a step that the device may still be computing
        window: list[Tensor] = []
        tokens = 0
        while self.step < self.steps:
            sums, norm, computed = self._train_step()
            if pending is not None:
                self._look(*pending)
            self.step += 1
            pending = (self.step, torch.cat([sums, norm.detach().reshape(1)]))
            window.append(pending[1])
            tokens += computed
            advance(1)
            last = self.step == self.steps
            if self.step % self.settings.log_every == 0 or last:
                self._look(*pending)
                self._log(metrics, window, tokens)
                window, tokens = [], 0
            if self.step % self.settings.validate_every == 0 or last:
                self._validate(outcome, metrics)
            stopped = not last and stop()
            if stopped or (self.step % self.settings.save_every == 0 and not last):
                self._look(*pending)
                self.save()
            if stopped:
                raise KeyboardInterrupt
        self.save()
        publish_model(self)
        if outcome.validation is None:  # a finished run that is gone on with
            self._validate(outcome, None)
        return outcome

    def _validate(self, outcome: Outcome, metrics: Metrics | None) -> None:
        if not self.data.validation:
            return
        outcome.scores = self.objective.scores(self.data.validation)
        outcome.validation = compare(self.data.validation, outcome.scores)
        if metrics is not None:
            metrics.log(self.step, {f"eval/{key}": value for key, value in outcome.validation.figures().items()})

    def _train_step(self) -> tuple[Tensor, Tensor, int]:
        chosen = [self.data.train[i] for i in groups_of_step(self.settings, len(self.data.train), self.step)]
        seed = self.settings.seed * 1_000_003 + self.step
        if (most := self.settings.programs_per_question) is not None:
            draw = random.Random(seed)
            chosen = [some_programs(group, most, draw) for group in chosen]
        sums, tokens = self.objective.backward(chosen, seed)
        norm = clip_gradients(self.model, self.settings.max_gradient_norm)
        rate = learning_rate_at(self.step, self.steps, peak=self.settings.learning_rate, warmup=self.settings.warmup)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return sums, norm, tokens

    def _look(self, step: int, numbers: Tensor) -> None:
        if not bool(torch.isfinite(numbers).all()):
            found = checkpoints(self.folder / CHECKPOINTS)
            kept = f"the last good checkpoint is {found[-1][1]}" if found else "no checkpoint had been made yet"
            raise NotFinite(
                f"step {step}: the loss or its gradient is not a finite number ({kept}): lower learning_rate, or train "
                'in precision = "fp32"'
            )

    def _log(self, metrics: Metrics | None, window: list[Tensor], tokens: int) -> None:
        means = torch.stack(window).mean(0)
        means[: len(SUMS)] = self.processes.sum(means[: len(SUMS)].clone())
        counted = self.processes.sum(torch.tensor([float(tokens)], device=means.device))
        if metrics is None:
            return
        loss, accuracy, margin, norm = means.tolist()
        rate = self.optimizer.param_groups[0]["lr"]
        per_epoch = -(-len(self.data.train) // self.settings.questions_per_step)
        metrics.log(
            self.step,
            {
                "loss": loss,
                "accuracy": accuracy,
                "margin": margin,
                "grad_norm": norm,
                "learning_rate": rate,
                "epoch": self.step / per_epoch,
                "tokens": float(counted),
            },
        )

    def save(self) -> None:
        """A checkpoint of this step; nothing where it is there already."""
        folder = self.folder / CHECKPOINTS
        if any(step == self.step for step, _ in checkpoints(folder)):
            return
        with save_state(self) as write:
            if self.processes.first:
                folder.mkdir(parents=True, exist_ok=True)
                save_checkpoint(folder, self.step, write, keep=self.settings.keep_checkpoints)
        self.processes.wait()


def publish_model(trainer: RewardTrainer) -> None:
    """The finished model, adapters merged, into the run's folder, in transformers' format."""
    with write_model(trainer) as write:
        if trainer.processes.first:
            publish(trainer.folder, write)
    trainer.processes.wait()
