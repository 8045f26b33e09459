"""The settings of `gradebox train-rl`: flags > TOML file > defaults, one frozen object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gradebox_trainer.reward.settings import LoraSettings
from gradebox_trainer.rl.estimators import ESTIMATORS
from gradebox_trainer.training.metrics import Sink
from gradebox_trainer.training.recipes import read_values, validated

Share = Annotated[float, Field(ge=0, le=1)]
PromptFormat = Literal["auto", "plain", "complete", "chat", "r1"]


class RewardMix(BaseModel):
    """What an answer is worth: the weighted sum of the terms whose weight is not 0.

    `execution`: pass_rate, or all_passed (1 or 0: the paper's binary reward). `model` is a reward model's folder; its
    scores are normalised by mean and standard deviation of the run's first batch. `format`: 1 for an answer in the
    form that the prompt asks for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    execution: Literal["pass_rate", "all_passed"] = "pass_rate"
    execution_weight: float = Field(default=1.0, ge=0)
    model: str | None = None
    model_weight: float = Field(default=0.0, ge=0)
    format_weight: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _agree(self) -> "RewardMix":
        if self.model_weight and self.model is None:
            raise ValueError("model_weight needs a model")
        if not (self.execution_weight or self.model_weight):
            raise ValueError("execution_weight or model_weight must be above 0")
        return self


class GradingSettings(BaseModel):
    """How long to wait for engines.

    `timeout_s` bounds one call; what has no result then is masked. While no engine is there, the same call is made
    again for `patience_s`, and training waits; then it is masked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_s: float = Field(default=300.0, gt=0)
    patience_s: float = Field(default=1800.0, ge=0)
    min_seal: Literal["IN_PROCESS", "COMPARED", "SEALED"] | None = None


class RLSettings(BaseModel):
    """All settings; the defaults are the paper's where it has one. Lengths are in tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    prompt_format: PromptFormat = "auto"  # auto: chat where the tokenizer has a template, else plain
    estimator: str = "reinforce++"
    kl_coef: float = Field(0.01, ge=0)
    clip_low: float = Field(0.2, gt=0, lt=1)
    clip_high: float = Field(0.2, gt=0)
    reward: RewardMix = RewardMix()
    grading: GradingSettings = GradingSettings()

    steps: int = Field(80, ge=1)
    prompts_per_step: int = Field(16, ge=1)
    answers_per_prompt: int = Field(8, ge=1)
    updates_per_step: int = Field(1, ge=1)  # optimiser steps on one step's answers
    train_tokens: int = Field(16_384, ge=2)  # of one forward and backward pass, padding included
    rollout_batch: int = Field(64, ge=1)  # answers generated at once with transformers
    max_prompt_tokens: int = Field(2048, ge=1)
    max_answer_tokens: int = Field(2048, ge=1)
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    rollout: Literal["auto", "transformers", "vllm"] = "auto"
    vllm_memory_share: Share = 0.4

    learning_rate: float = Field(5e-7, gt=0)
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    max_gradient_norm: float = Field(1.0, gt=0)
    precision: Literal["fp32", "bf16"] = "bf16"
    lora: LoraSettings | None = None
    gradient_checkpointing: bool = False
    seed: int = Field(0, ge=0, lt=2**31)

    eval_every: int = Field(10, ge=1)  # steps; also before the first and after the last
    eval_answers: int = Field(4, ge=1)  # a problem
    eval_temperature: float = Field(default=1.0, ge=0)  # 0: greedy
    save_every: int = Field(20, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    shown_samples: int = Field(4, ge=0)  # rows of samples.jsonl a step
    report_to: tuple[Sink, ...] = ("tensorboard",)

    @model_validator(mode="after")
    def _agree(self) -> "RLSettings":
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"estimator: {self.estimator!r} is none of {', '.join(ESTIMATORS)}")
        if ESTIMATORS[self.estimator].baseline != "none" and self.answers_per_prompt < 2:
            raise ValueError(f"answers_per_prompt: {self.estimator} compares answers to one prompt: at least 2")
        if self.prompts_per_step % self.updates_per_step:
            raise ValueError("updates_per_step must divide prompts_per_step")
        return self


def read_settings(file: Path | None, flags: Mapping[str, Any]) -> RLSettings:
    """The settings of a TOML file, or of a recipe by its name, with the flags that were given (not None) over them.

    Raises:
        BadArgument: a setting is unknown or has a value that it cannot have; the text names it.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    return validated(RLSettings, file, read_values(file, "rl"), given)
