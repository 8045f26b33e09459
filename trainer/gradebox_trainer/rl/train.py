"""The loop: answers from the policy, rewards from engines, advantages, an update; evaluation and checkpoints between.

Which problems a step takes and how its answers are drawn are functions of the seed and the step alone: a run that goes
on from a checkpoint does what the unbroken run did (on the same machine, with the same verdicts).

A step's answers are graded while the next of them are written, and the last of them while the log-probabilities of
policy and reference are computed. The engine's faults are masked (see `grading`); a step without any reward changes
nothing.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradebox_command.errors import BadArgument, CommandError
from gradebox_trainer.rl import figures
from gradebox_trainer.rl.advantages import advantages, zero_variance_share
from gradebox_trainer.rl.answers import Answer
from gradebox_trainer.rl.estimators import ESTIMATORS
from gradebox_trainer.rl.evaluation import Evaluation, evaluate
from gradebox_trainer.rl.grading import Grading, Pending, Scored
from gradebox_trainer.rl.losses import log_ratio
from gradebox_trainer.rl.policy import Reference, add_policy_lora, all_logps
from gradebox_trainer.rl.prompts import has_format
from gradebox_trainer.rl.rewards import ScoreScale, mixed_reward
from gradebox_trainer.rl.rollout import Sampler, Sampling, TransformersSampler
from gradebox_trainer.rl.saving import model_writer, restore, state_writer
from gradebox_trainer.rl.settings import RLSettings
from gradebox_trainer.rl.tasks import Task, tasks_of_step
from gradebox_trainer.rl.update import Experience, Updater, answer_mask
from gradebox_trainer.training.checkpoint import checkpoints, load_state, publish, save_checkpoint
from gradebox_trainer.training.distributed import Processes, shard
from gradebox_trainer.training.metrics import Metrics
from gradebox_trainer.training.optimizer import make_optimizer
from gradebox_trainer.transformer.loading import Lora

CHECKPOINTS = "checkpoints"
SAMPLES = "samples.jsonl"

type Scorer = Callable[[Sequence[tuple[str, Sequence[str]]]], list[list[float | None]]]
"""A reward model: scores of each prompt's programs; None for those that are too long for it."""


class RLTrainer:
    """One run: a policy, its optimiser, its place.

    Args:
        model: a causal language model, without adapters.
        tasks, held_out: to train on; to evaluate on (none: no evaluation).
        grading: see `grading.Grading`.
        scorer: the reward model's, where the reward has one.
        format: of the prompts: plain, chat or r1.
        folder: the run's own.
    """

    def __init__(
        self,
        settings: RLSettings,
        model: nn.Module,
        tokenizer: Any,
        tasks: Sequence[Task],
        held_out: Sequence[Task],
        grading: Grading,
        folder: Path,
        processes: Processes,
        *,
        format: str = "plain",
        scorer: Scorer | None = None,
    ) -> None:
        if settings.prompts_per_step % processes.world:
            raise BadArgument(f"prompts_per_step must be a multiple of the {processes.world} processes")
        self.settings = settings
        self.estimator = ESTIMATORS[settings.estimator]
        self.tokenizer = tokenizer
        self.tasks = tasks
        self.held_out = held_out
        self.grading = grading
        self.folder = folder
        self.processes = processes
        self.format = format
        self.scorer = scorer
        self.scale: ScoreScale | None = None
        self.step = 0
        self.tokens = 0
        if settings.lora is not None:
            torch.manual_seed(settings.seed)
            model = add_policy_lora(model, Lora(**settings.lora.model_dump()))
        self.model: Any = model.to(processes.device).train()
        if settings.gradient_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.reference = Reference(self.model) if settings.kl_coef else None
        self.sampler = self._sampler()
        if processes.world > 1:
            for spread in filter(None, (self.model, self.reference and self.reference.copy)):
                shard(spread, next(m for m in spread.modules() if isinstance(m, nn.ModuleList)))
        self.optimizer = make_optimizer(
            self.model, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.updater = Updater(self.model, self.optimizer, settings, self.estimator, tokenizer.pad_token_id, processes)

    def _sampler(self) -> Sampler:
        settings = self.settings
        if settings.rollout == "vllm" or (settings.rollout == "auto" and self.processes.device.type == "cuda"):
            from gradebox_trainer.rl.vllm_rollout import VllmSampler

            return VllmSampler(
                settings.model,
                self.model,
                self.tokenizer,
                self.processes,
                memory_share=settings.vllm_memory_share,
                max_tokens=settings.max_prompt_tokens + settings.max_answer_tokens,
                dtype="bfloat16" if settings.precision == "bf16" else "float32",
                seed=settings.seed,
            )
        own = copy.deepcopy(self.model) if self.processes.world > 1 else None
        return TransformersSampler(own or self.model, self.tokenizer, settings.rollout_batch, copied=own is not None)

    def resume(self) -> int:
        """Goes to the last whole checkpoint, if there is one; the step it was made after.

        Raises:
            BadArgument: it is of a run with other settings or other problems.
        """
        found = checkpoints(self.folder / CHECKPOINTS)
        if not found:
            return 0
        step, path = found[-1]
        state = load_state(path)
        if state["identity"] != self.identity():
            raise BadArgument(
                f"{path} is of a run with other settings or other problems: --resume goes on with the same only"
            )
        restore(self.model, self.optimizer, state, self.processes)
        self.scale = ScoreScale(*state["scale"]) if state["scale"] else None
        self.tokens = state["tokens"]
        self.step = step
        self.sampler.update(self.model)
        return step

    def identity(self) -> str:
        """What has to be the same for a run to go on: all that changes its numbers."""
        free = {"save_every", "keep_checkpoints", "report_to", "shown_samples", "grading", "vllm_memory_share"}
        return json.dumps(
            {
                "settings": self.settings.model_dump(mode="json", exclude=free),
                "tasks": [len(self.tasks), self.tasks[0].id, self.tasks[-1].id],
                "held_out": len(self.held_out),
            },
            sort_keys=True,
        )

    def run(
        self,
        metrics: Metrics | None,
        advance: Callable[[int], None] = lambda count: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> list[Evaluation]:
        """Trains to the end, evaluating and saving on the way, and leaves the model in the run's folder.

        Returns the evaluations, the first of them before training.

        Args:
            advance: told of steps.
            stop: asked after every step; True: the step is saved, and KeyboardInterrupt raised.

        Raises:
            CommandError: something could not be saved, or no waiting mends what an engine said.
        """
        settings = self.settings
        evaluations: list[Evaluation] = []
        if self.step == 0:
            evaluations += self._evaluate(metrics)
        while self.step < settings.steps:
            values = self.train_step()
            advance(1)
            last = self.step == settings.steps
            if metrics is not None:
                metrics.log(self.step, values)
            if self.step % settings.eval_every == 0 or last:
                evaluations += self._evaluate(metrics)
            if stop() or (self.step % settings.save_every == 0 and not last):
                self.save()
            if stop():
                raise KeyboardInterrupt
        self.save()
        write = model_writer(self.model, self.tokenizer)
        if self.processes.first:
            publish(self.folder, write)
        self.processes.wait()
        return evaluations

    def train_step(self) -> dict[str, float]:
        """One step; its figures."""
        settings = self.settings
        start_s = time.monotonic()
        step_seed = settings.seed * 1_000_003 + self.step * 1009
        tasks = tasks_of_step(self.tasks, settings.prompts_per_step, self.step, settings.seed)
        tasks = tasks[self.processes.rank :: self.processes.world]
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_answer_tokens)
        answers: list[Answer] = []
        pending: list[Pending] = []
        prompts = [task.prompt for task in tasks]
        for part in self.sampler.generate(
            prompts, settings.answers_per_prompt, sampling, step_seed + self.processes.rank * 101
        ):
            for group in part:
                task = tasks[len(pending)]
                pending.append(self.grading.submit(task, [answer.text for answer in group]))
                answers += group
        rollout_s = time.monotonic() - start_s
        owners = [task for task in tasks for _ in range(settings.answers_per_prompt)]
        old_logps, reference_logps = self._log_probabilities(answers)
        scored, clock = self.grading.collect(pending)
        rewards = self._rewards(owners, answers, scored)
        values = torch.tensor([math.nan if reward is None else reward for reward in rewards])
        groups = torch.arange(len(tasks)).repeat_interleave(settings.answers_per_prompt)
        experience = self._experience(answers, values, groups, old_logps, reference_logps)
        rate = settings.learning_rate * min(1.0, (self.step + 1) / max(1, settings.warmup_steps))
        update_start_s = time.monotonic()
        learned = self.updater.update(experience, rate)
        self.sampler.update(self.model)
        self.step += 1
        self.tokens += sum(len(answer.prompt) + len(answer.tokens) for answer in answers)
        self._show(owners, answers, scored, rewards)
        end_s = time.monotonic()
        answer_tokens = sum(len(answer.tokens) for answer in answers)
        return self._all_processes(
            {
                **learned,
                **figures.reward_figures(rewards, [one.execution for one in scored]),
                "frac_reward_zero_std": zero_variance_share(values, groups),
                **figures.answer_figures(answers),
                **figures.grading_figures(scored, clock),
                "gradebox/in_format": figures.mean([float(has_format(a.text, self.format)) for a in answers]),
            }
        ) | {
            "learning_rate": rate,
            "num_tokens": float(self.tokens * self.processes.world),
            "step_time": end_s - start_s,
            "gradebox/rollout_s": rollout_s,
            "gradebox/update_s": end_s - update_start_s,
            "gradebox/rollout_tokens_per_s": answer_tokens * self.processes.world / max(rollout_s, 1e-9),
        }

    def _log_probabilities(self, answers: Sequence[Answer]) -> tuple[Tensor | None, Tensor | None]:
        """Of policy and reference, where they are needed."""
        settings = self.settings
        how: dict[str, Any] = {
            "padding": self.tokenizer.pad_token_id,
            "temperature": settings.temperature,
            "token_budget": settings.train_tokens,
            "processes": self.processes,
        }
        in_reward = self.reference is not None and self.estimator.kl == "k1_reward"
        old = all_logps(self.model, answers, **how) if settings.updates_per_step > 1 or in_reward else None
        if self.reference is None:
            return old, None
        with self.reference.model() as model:
            return old, all_logps(model, answers, **how)

    def _rewards(
        self, tasks: Sequence[Task], answers: Sequence[Answer], scored: Sequence[Scored]
    ) -> list[float | None]:
        mix = self.settings.reward
        scores: list[float | None] = [None] * len(answers)
        if self.scorer is not None and mix.model_weight:
            there = [index for index, one in enumerate(scored) if one.program is not None]
            found = self.scorer([(tasks[i].text, [scored[i].program or ""]) for i in there])
            raw = [group[0] for group in found]
            if self.scale is None:
                self.scale = ScoreScale.of(self._gathered([score for score in raw if score is not None]))
            for index, score in zip(there, raw, strict=True):
                scores[index] = None if score is None else self.scale(score)
        return [
            mixed_reward(mix, one.execution, score, has_format(answer.text, self.format))
            for answer, one, score in zip(answers, scored, scores, strict=True)
        ]

    def _experience(
        self, answers: Sequence[Answer], rewards: Tensor, groups: Tensor, old: Tensor | None, reference: Tensor | None
    ) -> Experience:
        kl = log_ratio(old, reference) if old is not None and reference is not None else None
        in_reward = self.estimator.kl == "k1_reward"
        worth = advantages(
            rewards,
            answer_mask(answers),
            groups,
            self.estimator,
            kl=kl if in_reward else None,
            kl_coef=self.settings.kl_coef,
            sum_over_processes=self._sum,
        )
        return Experience(answers, rewards, worth, old, reference)

    def _evaluate(self, metrics: Metrics | None) -> list[Evaluation]:
        if not self.held_out:
            return []
        settings = self.settings
        result = evaluate(
            self.sampler,
            self.held_out,
            self.grading,
            count=settings.eval_answers,
            sampling=Sampling(settings.eval_temperature, 1.0, settings.max_answer_tokens),
            seed=settings.seed + 7,
            step=self.step,
        )
        if metrics is not None:
            metrics.log(self.step, {f"eval/{name}": value for name, value in result.figures().items()})
        return [result]

    def _show(
        self,
        tasks: Sequence[Task],
        answers: Sequence[Answer],
        scored: Sequence[Scored],
        rewards: Sequence[float | None],
    ) -> None:
        if not (self.processes.first and self.settings.shown_samples):
            return
        rows = figures.sample_rows(
            self.step, [task.id for task in tasks], answers, scored, rewards, self.settings.shown_samples
        )
        try:
            with (self.folder / SAMPLES).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
        except OSError as error:
            raise CommandError(f"{self.folder / SAMPLES}: {error.strerror}") from None

    def save(self) -> None:
        """A checkpoint of this step; nothing where it is there already."""
        folder = self.folder / CHECKPOINTS
        if any(step == self.step for step, _ in checkpoints(folder)):
            return
        values = {
            "identity": self.identity(),
            "step": self.step,
            "tokens": self.tokens,
            "scale": [self.scale.mean, self.scale.std] if self.scale else None,
        }
        write = state_writer(self.model, self.optimizer, self.tokenizer, values)
        if self.processes.first:
            folder.mkdir(parents=True, exist_ok=True)
            save_checkpoint(folder, self.step, write, keep=self.settings.keep_checkpoints)
        self.processes.wait()

    def _sum(self, values: Tensor) -> Tensor:
        return self.processes.sum(values.to(self.processes.device)).cpu()

    def _all_processes(self, values: dict[str, float]) -> dict[str, float]:
        """Means over processes of figures that are finite somewhere."""
        if self.processes.world == 1:
            return values
        numbers = torch.tensor(list(values.values()), dtype=torch.float64)
        known = ~numbers.isnan()
        sums = self._sum(torch.stack([numbers.nan_to_num(0.0), known.double()]))
        return dict(zip(values, (sums[0] / sums[1]).tolist(), strict=True))

    def _gathered(self, scores: Sequence[float]) -> list[float]:
        if self.processes.world == 1:
            return list(scores)
        everywhere: list[Any] = [None] * self.processes.world
        torch.distributed.all_gather_object(everywhere, list(scores))
        return [score for part in everywhere for score in part]
