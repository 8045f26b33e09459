"""A policy of a few thousand weights that has learnt a few problems by heart, good answers and bad ones."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradebox
from gradebox_trainer.rl.settings import RLSettings
from gradebox_trainer.rl.tasks import Task
from gradebox_trainer.rl.toy.model import FitConfig, fit, make_model, make_tokenizer

CONFIG = FitConfig(hidden_size=48, layers=2, heads=2, intermediate_size=96, epochs=1, batch_size=16, seed=3)


def policy(answers: Mapping[str, Sequence[tuple[str, float]]], *, examples: int) -> tuple[Any, Any]:
    """(model, tokenizer) fitted to prompts with weighted answers."""
    rng = random.Random(5)
    pairs = []
    for _ in range(examples):
        prompt = rng.choice(list(answers))
        texts, weights = zip(*answers[prompt], strict=True)
        pairs.append((prompt, rng.choices(texts, weights)[0]))
    tokenizer = make_tokenizer([prompt + answer for prompt, answer in pairs])
    model = make_model(CONFIG, tokenizer)
    fit(model, tokenizer, pairs, CONFIG)
    return model, tokenizer


def tasks(tests: Mapping[str, Sequence[str]], tokenizer: Any) -> list[Task]:
    """A task for each prompt with its tests; the function is f."""
    return [
        Task(prompt, prompt, tuple(tokenizer(prompt)["input_ids"]), gradebox.Problem(list(asserts), entry_point="f"))
        for prompt, asserts in tests.items()
    ]


def settings(**changes: Any) -> RLSettings:
    """Small, on a CPU."""
    values: dict[str, Any] = {
        "model": "tiny",
        "steps": 4,
        "prompts_per_step": 4,
        "answers_per_prompt": 4,
        "rollout_batch": 8,
        "train_tokens": 512,
        "max_answer_tokens": 64,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "rollout": "transformers",
        "report_to": (),
        "save_every": 2,
        "eval_every": 2,
        "eval_answers": 2,
        "reward": {"execution": "all_passed"},
        "grading": {"timeout_s": 60.0, "patience_s": 60.0},
    }
    return RLSettings.model_validate(values | changes)


def folder(path: Path) -> Path:
    """Made."""
    path.mkdir(parents=True, exist_ok=True)
    return path
