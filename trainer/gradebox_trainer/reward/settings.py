"""The settings of `gradebox train-rm`: flags > TOML file > defaults, one frozen object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gradebox_trainer.training.metrics import Sink
from gradebox_trainer.training.recipes import read_values, validated

Share = Annotated[float, Field(ge=0, le=1)]


class LoraSettings(BaseModel):
    """Low-rank adapters, as peft has them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: str | tuple[str, ...] = "all-linear"


class PairRule(BaseModel):
    """Which programs of labels make a pair: the paper's rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    better_at_least: Share = 0.8
    gap_at_least: Share = 0.4
    worse_above: Annotated[float, Field(ge=-1, lt=1)] = 0.0  # the paper's > 0; -1 takes programs that pass nothing, too


class RewardSettings(BaseModel):
    """All settings. Sizes in tokens; the defaults are AceCoder's where it has one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None  # a folder or a name in the hub's cache
    init_from_config: Path | None = None  # or a JSON configuration: random weights
    tokenizer: str | None = None  # default: the model's; a folder, a name or a tokenizer.json(.gz)
    prompt_template: str = "{prompt}\n"  # for tokenizers without a chat template
    max_length: int = Field(2048, ge=2)  # prompt, program and end
    too_long: Literal["error", "drop"] = "error"
    pairs: PairRule = PairRule()

    mode: Literal["tree", "pairwise"] = "tree"  # pairwise: padded pairs one by one, as TRL has them; the check
    attention: Literal["auto", "branches", "flex", "dense"] = "auto"
    token_budget: int = Field(16_384, ge=2)  # of one forward pass
    questions_per_step: int = Field(16, ge=1)
    programs_per_question: int | None = Field(None, ge=2)  # at most; others are drawn each time the question comes
    question_weights: Literal["pairs", "equal"] = "pairs"  # what a question counts: its pairs, or all the same
    epochs: float = Field(1.0, gt=0)
    learning_rate: float = Field(1e-5, gt=0)
    warmup: Share = 0.1
    weight_decay: float = Field(0.0, ge=0)
    max_gradient_norm: float = Field(1.0, gt=0)
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None  # of the attention; the paper has 0.1; not with flex
    precision: Literal["fp32", "bf16"] = "bf16"
    lora: LoraSettings | None = None
    gradient_checkpointing: bool = False
    compile: bool = False
    seed: int = Field(0, ge=0, lt=2**31)

    validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.05  # of the problems, where no validation file is given
    validation_split: int = Field(0, ge=0, lt=2**31)  # which problems those are: others for each number
    validate_every: int = Field(100, ge=1)  # steps
    save_every: int = Field(100, ge=1)
    keep_checkpoints: int = Field(2, ge=1)
    log_every: int = Field(10, ge=1)
    report_to: tuple[Sink, ...] = ("tensorboard",)

    @model_validator(mode="after")
    def _agree(self) -> "RewardSettings":
        if (self.model is None) == (self.init_from_config is None):
            raise ValueError("give either model or init_from_config")
        if self.init_from_config is not None and self.tokenizer is None:
            raise ValueError("init_from_config needs a tokenizer")
        if self.attention == "flex" and self.dropout:
            raise ValueError("FlexAttention has no dropout: set dropout = 0 or another attention")
        if "{prompt}" not in self.prompt_template:
            raise ValueError("prompt_template must contain {prompt}")
        return self


def read_settings(file: Path | None, flags: Mapping[str, Any]) -> RewardSettings:
    """The settings of a TOML file, or of a recipe by its name, with the flags that were given (not None) over them.

    Raises:
        BadArgument: a setting is unknown or has a value that it cannot have; the text names it.
    """
    values = read_values(file, "rm")
    given = {key: value for key, value in flags.items() if value is not None}
    if "model" in given:  # a flag takes the place of the other way in the file
        values.pop("init_from_config", None)
    if "init_from_config" in given:
        values.pop("model", None)
    return validated(RewardSettings, file, values, given)
