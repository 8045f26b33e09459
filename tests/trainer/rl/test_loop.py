"""The loop on a tiny policy, with an engine: figures, checkpoints, exact resume, what it leaves behind."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.trainer.rl import tiny
from tests.trainer.rl.conftest import TESTS

import gradebox
from gradebox_trainer.rl.answers import Answer, pad, pieces
from gradebox_trainer.rl.estimators import ESTIMATORS
from gradebox_trainer.rl.grading import Grading
from gradebox_trainer.rl.policy import all_logps, answer_logps
from gradebox_trainer.rl.settings import RLSettings
from gradebox_trainer.rl.train import RLTrainer
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.training.metrics import Metrics, read_metrics

type Fitted = Callable[[], tuple[Any, Any]]
ALONE = Processes(0, 1, torch.device("cpu"))
TRL_NAMES = (
    "reward",
    "reward_std",
    "frac_reward_zero_std",
    "completions/mean_length",
    "completions/clipped_ratio",
    "kl",
    "entropy",
    "clip_ratio/region_mean",
    "num_tokens",
    "step_time",
    "loss",
    "grad_norm",
    "learning_rate",
)


def trainer(settings: RLSettings, fitted: Fitted, grading: Grading, folder: Path) -> RLTrainer:
    model, tokenizer = fitted()
    tasks = tiny.tasks(TESTS, tokenizer)
    return RLTrainer(settings, model, tokenizer, tasks, tasks[:2], grading, tiny.folder(folder), ALONE)


def weights(run: RLTrainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in run.model.named_parameters()}


def open_grading(client: gradebox.Client, settings: RLSettings) -> Grading:
    return Grading(client, settings.grading, kind=settings.reward.execution, format="plain")


def test_a_run_and_what_it_leaves(engine: gradebox.Engine, fitted: Fitted, tmp_path: Path) -> None:
    settings = tiny.settings(updates_per_step=2)
    with open_grading(engine, settings) as grading:
        run = trainer(settings, fitted, grading, tmp_path)
        metrics = Metrics(tmp_path, (), name="t", config={}, step=0)
        before = weights(run)
        evaluations = run.run(metrics)
        metrics.close()
    assert [one.step for one in evaluations] == [0, 2, 4]
    rows = [row for row in read_metrics(tmp_path) if "reward" in row]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert all(row[name] is not None and math.isfinite(row[name]) for name in TRL_NAMES)
        verdicts = [value for name, value in row.items() if name.startswith("gradebox/verdict/")]
        assert len(verdicts) == 9
        assert sum(verdicts) + row["gradebox/no_program"] == pytest.approx(1)
        assert row["gradebox/engine_error"] == 0
        assert 0 < row["gradebox/grading_p50_s"] <= row["gradebox/grading_p99_s"]
        assert 0 <= row["gradebox/hidden_fraction"] <= 1
    assert abs(rows[0]["kl"]) > 0  # its second update's share: the first has moved the weights
    assert any(not torch.equal(before[name], weight) for name, weight in weights(run).items())
    samples = [json.loads(line) for line in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 4 * settings.shown_samples
    assert all(sample["reward"] == (sample["verdict"] == "PASSED") for sample in samples if sample["verdict"])

    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).eos_token_id == loaded.config.eos_token_id
    for name, weight in loaded.named_parameters():
        assert torch.equal(weight, dict(run.model.named_parameters())[name])


@pytest.mark.parametrize("estimator", ["reinforce++", "grpo"])
def test_a_resumed_run_does_what_the_unbroken_one_did(
    engine: gradebox.Engine, fitted: Fitted, tmp_path: Path, estimator: str
) -> None:
    settings = tiny.settings(estimator=estimator)
    with open_grading(engine, settings) as grading:
        whole = trainer(settings, fitted, grading, tmp_path / "whole")
        figures = [whole.train_step() for _ in range(4)]
        assert figures[0]["kl"] == pytest.approx(0, abs=1e-5)  # the policy still is its reference
        first = trainer(settings, fitted, grading, tmp_path / "broken")
        for _ in range(2):
            first.train_step()
        first.save()
        second = trainer(settings, fitted, grading, tmp_path / "broken")
        assert second.resume() == 2
        again = [second.train_step() for _ in range(2)]
    for name in ("reward", "loss", "kl", "grad_norm", "completions/mean_length", "num_tokens"):
        assert [row[name] for row in again] == [row[name] for row in figures[2:]], name
    for name, weight in weights(whole).items():
        assert torch.equal(weight, weights(second)[name]), name


def test_a_checkpoint_of_another_run_is_refused(engine: gradebox.Engine, fitted: Fitted, tmp_path: Path) -> None:
    from gradebox_command.errors import BadArgument

    with open_grading(engine, tiny.settings()) as grading:
        trainer(tiny.settings(), fitted, grading, tmp_path).save()
        with pytest.raises(BadArgument, match="other settings"):
            trainer(tiny.settings(learning_rate=0.1), fitted, grading, tmp_path).resume()


def test_padding_and_pieces_change_nothing(fitted: Fitted) -> None:
    """Log-probabilities of answers in a padded batch are those of each alone, without padding."""
    model, tokenizer = fitted()
    texts = [("add 2\n", "def f(x):\n    return x\n"), ("negate\n", "x"), ("double\n", "def f(x):\n    return 2 * x\n")]
    answers = [
        Answer(tuple(tokenizer(prompt)["input_ids"]), tuple(tokenizer(text)["input_ids"]), text, True)
        for prompt, text in texts
    ]
    alone = []
    for answer in answers:
        ids = torch.tensor([answer.prompt + answer.tokens])
        with torch.no_grad():
            logits = model(input_ids=ids).logits.float() / 0.7
        rows = logits.log_softmax(-1)[0, len(answer.prompt) - 1 : -1]
        alone.append(rows.gather(1, torch.tensor(answer.tokens)[:, None])[:, 0])
    for budget in (1, 10_000):
        together = all_logps(
            model, answers, padding=tokenizer.pad_token_id, temperature=0.7, token_budget=budget, processes=ALONE
        )
        for row, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(row[: len(expected)], expected, atol=1e-5, rtol=1e-5)
            assert row[len(expected) :].eq(0).all()
    _, entropy = answer_logps(model, pad(answers, tokenizer.pad_token_id, torch.device("cpu")), 1.0)
    assert bool((entropy >= 0).all())


def test_pieces_keep_to_the_budget() -> None:
    answers = [Answer((0,) * (1 + n % 5), (0,) * (1 + n * 7 % 11), "", False) for n in range(40)]
    for budget in (1, 30, 100):
        parts = pieces(answers, budget)
        assert sorted(index for part in parts for index in part) == list(range(40))
        for part in parts:
            wide = max(len(answers[i].prompt) for i in part) + max(len(answers[i].tokens) for i in part)
            assert len(part) == 1 or wide * len(part) <= budget


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_learns(engine: gradebox.Engine, fitted: Fitted, tmp_path: Path, estimator: str) -> None:
    settings = tiny.settings(estimator=estimator, answers_per_prompt=16, rollout_batch=64)
    with open_grading(engine, settings) as grading:
        run = trainer(settings, fitted, grading, tmp_path)
        rewards = [run.train_step()["reward"] for _ in range(14)]
    assert sum(rewards[-4:]) / 4 > sum(rewards[:3]) / 3 + 0.06, rewards
