"""The toy of `make rl-demo`: its problems and programs, and the reward model that is made from them."""

import json
import random
from itertools import islice
from pathlib import Path

import pytest

import gradebox
from gradebox_command.session import Engines
from gradebox_trainer.rl.toy import demo, reward_model
from gradebox_trainer.rl.toy.model import FitConfig
from gradebox_trainer.rl.toy.problems import mixed_program, problems, right_program, stray_program

SEED = 3


def test_right_programs_pass_and_many_others_do_not(engine: gradebox.Engine) -> None:
    rng = random.Random(SEED)
    passed = {"right": 0, "mixed": 0, "stray": 0}
    for problem in islice(problems(SEED, "train", "held_out_template"), 40):
        programs = [right_program(problem), mixed_program(problem, rng), stray_program(problem, rng)]
        for kind, result in zip(passed, engine.grade(programs, tests=problem.tests()), strict=True):
            passed[kind] += result.pass_rate == 1
    assert passed["right"] == 40
    assert 5 < passed["mixed"] < 35
    assert passed["stray"] < 20


def test_a_stray_program_is_often_the_right_one_but_for_a_constant() -> None:
    rng = random.Random(SEED)
    (problem,) = islice((p for p in problems(SEED, "train") if p.template == "add"), 1)
    lines = [stray_program(problem, rng).splitlines()[1].strip() for _ in range(300)]
    others = [line for line in lines if line.startswith("x = x + ") and line not in right_program(problem)]
    assert 75 < len(others) < 225


def test_a_reward_model_is_made_once_and_its_labels_are_in_the_order_of_the_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reward_model, "PROBLEMS", 40)
    small = FitConfig(hidden_size=32, layers=1, heads=2, intermediate_size=64, examples=64, epochs=1, seed=SEED)
    base = demo.fitted(tmp_path, small)
    made = reward_model.trained_reward_model(tmp_path, base, SEED, Engines(()))
    figures = json.loads((made / "figures.json").read_text())
    assert figures["pairs"] > 20 and figures["steps"] > 0
    data = tmp_path / f"reward-model-{SEED}-data"
    programs = [json.loads(line) for line in (data / "programs.jsonl").read_text().splitlines()]
    labels = [json.loads(line) for line in (data / "labels.jsonl").read_text().splitlines()]
    assert [(label["id"], label["program_index"]) for label in labels] == [
        (row["id"], index) for row in programs for index in range(len(row["programs"]))
    ]
    written = (made / "model.safetensors").stat()
    assert reward_model.trained_reward_model(tmp_path, base, SEED, Engines(())) == made
    assert (made / "model.safetensors").stat().st_mtime_ns == written.st_mtime_ns
