"""Reward functions for TRL's GRPOTrainer (and what else calls rewards as it does): `reward_funcs=ExecutionReward()`.

The data set's columns say how a completion is graded: `tests`, and where wanted `entry_point`, `test_setup`,
`limits`, `language`, `image`, `min_seal`, as in a problems file. Completions are strings or messages.

A completion without a program gets `no_program` (0). One to which the engine came to no result gets None: with one
reward function TRL leaves it out of its group's mean and gives it no advantage. With several, TRL adds up those that
are not None, so that None weighs as 0 there: to mix execution with a reward model, use ModelReward, which mixes
before TRL does.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from gradebox import InvalidRequest, extract_code
from gradebox.integrations._grader import Grader, Outcome
from gradebox.integrations._tasks import FIELDS, text_of

type Scorer = Callable[[list[str], list[str]], Sequence[float]]


class ExecutionReward:
    """A reward function. `settings` are those of Grader; nothing is started before the first call."""

    def __init__(self, **settings: Any) -> None:
        self._grader = Grader(**settings)
        self.__name__ = f"gradebox_{self._grader.settings.reward}"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """One reward a completion. Raises as Grader.grade."""
        return _told(self._grader.grade(completions, _tasks(completions, columns)), columns)


class AsyncExecutionReward:
    """The same as a coroutine function, which TRL runs beside its others."""

    def __init__(self, **settings: Any) -> None:
        self._grader = Grader(**settings)
        self.__name__ = f"gradebox_{self._grader.settings.reward}"

    async def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """One reward a completion. Raises as Grader.grade."""
        return _told(await self._grader.agrade(completions, _tasks(completions, columns)), columns)


class ModelReward:
    """A reward model's scores of the programs, mixed with execution where asked.

    The reward is `(1 - execution_weight) * score + execution_weight * executed`, where `executed` is what
    ExecutionReward gives. Nothing is executed when the weight is 0.

    Args:
        scorer: `scorer(prompts, programs)` gives one score each: see `sequence_classifier` for a model's.
        execution_weight: from 0 to 1.
        no_program: the reward of a completion without a program, whole.
        settings: of Grader.
    """

    __name__ = "gradebox_model"

    def __init__(self, scorer: Scorer, *, execution_weight: float = 0.0, **settings: Any) -> None:
        if not 0 <= execution_weight <= 1:
            raise InvalidRequest(f"must be from 0 to 1, not {execution_weight!r}", "execution_weight")
        self._scorer = scorer
        self._weight = execution_weight
        self._grader = Grader(**settings)
        self.__name__ = "gradebox_model"

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """One reward a completion. Raises as Grader.grade, and what the scorer raises."""
        if self._weight:
            outcomes = self._grader.grade(completions, _tasks(completions, columns))
        else:
            outcomes = self._not_executed(completions, columns)
        there = [index for index, outcome in enumerate(outcomes) if outcome.program is not None]
        asked = [_prompt_text(prompts[index]) for index in there]
        scores = self._scorer(asked, [outcomes[index].program or "" for index in there])
        if len(scores) != len(there):
            raise InvalidRequest(f"gave {len(scores)} scores for {len(there)} programs", "scorer")
        rewards = _told(outcomes, columns)
        for index, score in zip(there, scores, strict=True):
            if (executed := rewards[index]) is not None:
                rewards[index] = (1 - self._weight) * float(score) + self._weight * executed
        return rewards

    def _not_executed(self, completions: Sequence[Any], columns: dict[str, Any]) -> list[Outcome]:
        outcomes = []
        for index, completion in enumerate(completions):
            program = extract_code(
                text_of(completion),
                language=_cell(columns, "language", index) or "python",
                entry_point=_cell(columns, "entry_point", index),
            )
            outcomes.append(Outcome(self._grader.settings.no_program if program is None else 0.0, program))
        return outcomes


def sequence_classifier(model: Any, tokenizer: Any, *, batch_size: int = 16, max_tokens: int = 4096) -> Scorer:
    """The scores of a Hugging Face model with one label (AutoModelForSequenceClassification, num_labels=1).

    The text that it reads is the prompt, a blank line, and the program; its end counts where it is too long.
    """

    def score(prompts: list[str], programs: list[str]) -> list[float]:
        import torch

        scores: list[float] = []
        texts = [f"{prompt}\n\n{program}" for prompt, program in zip(prompts, programs, strict=True)]
        for start in range(0, len(texts), batch_size):
            batch = tokenizer(
                texts[start : start + batch_size],
                return_tensors="pt",
                padding=True,
                truncation=True,
                max_length=max_tokens,
            )
            with torch.inference_mode():
                scores += model(**batch.to(model.device)).logits[:, 0].float().tolist()
        return scores

    return score


def pass_rate_reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """ExecutionReward with all settings from the environment, for where a function is named (`trl grpo`)."""
    return _of_environment("pass_rate")(prompts, completions, **columns)


def all_passed_reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
    """The same, 1 for a program that passed every test, else 0."""
    return _of_environment("all_passed")(prompts, completions, **columns)


@cache
def _of_environment(reward: str) -> ExecutionReward:
    return ExecutionReward(reward=reward)


def _cell(columns: dict[str, Any], name: str, index: int) -> Any:
    return columns[name][index] if name in columns else None


def _tasks(completions: Sequence[Any], columns: dict[str, Any]) -> list[dict[str, Any]]:
    if "tests" not in columns:
        raise InvalidRequest("the data set has no such column", "tests")
    return [{name: _cell(columns, name, index) for name in FIELDS} for index in range(len(completions))]


def _prompt_text(prompt: Any) -> str:
    """The text of a prompt; of messages, all of them."""
    return prompt if isinstance(prompt, str) else "\n\n".join(map(text_of, prompt))


def _told(outcomes: list[Outcome], columns: dict[str, Any]) -> list[float | None]:
    """The rewards; what else there is to see goes to TRL's own log, as shares of the batch."""
    if (log_metric := columns.get("log_metric")) is not None and outcomes:
        log_metric("gradebox/no_program", sum(o.program is None for o in outcomes) / len(outcomes))
        log_metric("gradebox/engine_error", sum(o.reward is None for o in outcomes) / len(outcomes))
        log_metric("gradebox/evidence", sum(bool(o.evidence) for o in outcomes) / len(outcomes))
    return [outcome.reward for outcome in outcomes]
