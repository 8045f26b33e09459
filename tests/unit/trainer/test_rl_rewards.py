"""Rewards, prompts, pass@k, settings: what needs no torch."""

import json
import math
from itertools import combinations
from typing import Any

import pytest

import gradebox
from gradebox import EngineStamp, Seal, SubmissionResult, TestResult, Verdict
from gradebox_command.errors import BadArgument, InputError
from gradebox_trainer.rl.passk import pass_at_k
from gradebox_trainer.rl.prompts import answer_text, has_format, prompt_ids
from gradebox_trainer.rl.rewards import ScoreScale, execution_reward, mixed_reward
from gradebox_trainer.rl.settings import RewardMix, read_settings
from gradebox_trainer.rl.suites import asked, read_suite, suite_file
from gradebox_trainer.training.recipes import recipes

PASSED, WRONG, ENGINE = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.ENGINE_ERROR


def result(*verdicts: Verdict) -> SubmissionResult:
    known = [verdict for verdict in verdicts if verdict is not ENGINE]
    rate = sum(verdict is PASSED for verdict in known) / len(known) if known else None
    overall = next((verdict for verdict in verdicts if verdict is not PASSED), PASSED)
    tests = tuple(TestResult(verdict, Seal.SEALED, 0.0, 0.0, 0) for verdict in verdicts)
    return SubmissionResult(0, "p", "", overall, rate, tests, EngineStamp("", "", ()))


@pytest.mark.parametrize(
    ("verdicts", "rate", "all_passed"),
    [
        ((PASSED, PASSED), 1.0, 1.0),
        ((PASSED, WRONG), 0.5, 0.0),
        ((PASSED, ENGINE), 1.0, None),
        ((WRONG, ENGINE), 0.0, 0.0),
        ((ENGINE, ENGINE), None, None),
    ],
)
def test_execution(verdicts: tuple[Verdict, ...], rate: float | None, all_passed: float | None) -> None:
    assert execution_reward(result(*verdicts), "pass_rate") == rate
    assert execution_reward(result(*verdicts), "all_passed") == all_passed


def test_mixtures() -> None:
    mix = RewardMix(execution_weight=0.5, model="m", model_weight=0.25, format_weight=0.1)
    assert mixed_reward(mix, 1.0, 2.0, True) == pytest.approx(0.5 + 0.5 + 0.1)
    assert mixed_reward(mix, 0.0, None, False) == pytest.approx(-0.75)  # no program: three deviations below
    assert mixed_reward(mix, None, 2.0, True) is None  # the engine's fault, whatever the others say
    only_model = RewardMix(execution_weight=0.0, model="m", model_weight=1.0)
    assert mixed_reward(only_model, None, -1.0, False) == -1.0


def test_scores_are_normalised() -> None:
    scale = ScoreScale.of([1.0, 3.0])
    assert [scale(1.0), scale(3.0), scale(4.0)] == [-1.0, 1.0, 2.0]
    assert math.isfinite(ScoreScale.of([2.0, 2.0])(3.0))
    assert ScoreScale.of([])(0.5) == 0.5


@pytest.mark.parametrize(("samples", "passed"), [(5, 0), (5, 2), (5, 5), (6, 1)])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_pass_at_k_is_over_all_subsets(samples: int, passed: int, k: int) -> None:
    outcomes = [True] * passed + [False] * (samples - passed)
    subsets = list(combinations(outcomes, k))
    assert pass_at_k(samples, passed, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_of_too_few() -> None:
    with pytest.raises(ValueError, match="pass@3 of 2"):
        pass_at_k(2, 1, 3)


class Letters:
    """A tokenizer of code points, with a chat template or without."""

    def __init__(self, template: str | None) -> None:
        self.chat_template = template

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return f"<user>{messages[0]['content']}<assistant>"


def test_prompts() -> None:
    problem = {"question": "Why?"}

    def show(format: str, template: str | None = None) -> str:
        return "".join(map(chr, prompt_ids(problem, format, Letters(template))))

    assert show("plain") == "Why?"
    assert show("chat", "t") == "<user>Why?<assistant>"
    assert show("r1").endswith("User: Why?\nAssistant: <think>")


@pytest.mark.parametrize(
    ("answer", "format", "good"),
    [
        ("I think.</think> <answer>```python\nx = 1\n```</answer>", "r1", True),
        ("I think.</think> <answer>x</answer> and more", "r1", False),
        ("I think.</think><answer>x</answer><answer>y</answer>", "r1", False),
        ("<think>again</think><answer>x</answer>", "r1", False),
        ("<answer>x</answer>", "r1", False),
        ("Here:\n```python\nx = 1\n```\n", "chat", True),
        ("x = 1", "chat", False),
        ("x = 1", "plain", True),
    ],
)
def test_formats(answer: str, format: str, good: bool) -> None:
    assert has_format(answer, format) is good


def test_answers_as_they_are_graded() -> None:
    thought = answer_text("no ```python\nbad\n``` </think><answer>```python\ngood = 1\n```</answer>", "r1", "Why?")
    assert gradebox.extract_code(thought) == "good = 1\n" or gradebox.extract_code(thought) == "good = 1"
    prompt = "def f(x):\n"
    assert answer_text("    return x\n\ndef g():\n    pass\n", "complete", prompt) == "def f(x):\n    return x\n\n"


def test_recipes_are_settings(tmp_path: Any) -> None:
    from pathlib import Path

    assert recipes("rl") == ["rl-cpu-toy", "rl-one-gpu", "rl-paper-7b"]
    for name in recipes("rl"):
        assert read_settings(Path(name), {"model": "m"}).model == "m"
    paper = read_settings(Path("rl-paper-7b"), {})
    assert (paper.learning_rate, paper.kl_coef, paper.answers_per_prompt, paper.steps) == (5e-7, 0.01, 8, 80)
    assert paper.prompts_per_step * paper.answers_per_prompt == 128
    assert paper.estimator == "reinforce++"


@pytest.mark.parametrize(
    ("text", "flags", "said"),
    [
        ("model = 1", {}, "s.toml: model: "),
        ('model = "m"\nsteps = 0', {}, "s.toml: steps: "),
        ('model = "m"', {"estimator": "ppo"}, "'ppo' is none of reinforce"),
        ('model = "m"\nestimator = "grpo"\nanswers_per_prompt = 1', {}, "at least 2"),
        ('model = "m"\n[reward]\nmodel_weight = 1.0', {}, "model_weight needs a model"),
        ('model = "m"\nnonsense = 1', {}, "nonsense"),
        ("model =", {}, "not TOML"),
    ],
)
def test_bad_settings(tmp_path: Any, text: str, flags: dict[str, Any], said: str) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(BadArgument, match=said):
        read_settings(file, flags)


def test_one_setting_of_a_table_leaves_the_others(tmp_path: Any) -> None:
    file = tmp_path / "s.toml"
    file.write_text('model = "m"\n[reward]\nexecution = "all_passed"\n')
    settings = read_settings(file, {"reward": {"format_weight": 0.5}})
    assert (settings.reward.execution, settings.reward.format_weight) == ("all_passed", 0.5)


def test_suites(tmp_path: Any) -> None:
    file = tmp_path / "humanevalplus.jsonl"
    file.write_text(
        '{"task_id": "HumanEval/0", "prompt": "def f(x):\\n", "entry_point": "f", '
        '"canonical_solution": "    return x\\n", "test": "def check(candidate):\\n    assert candidate(1) == 1\\n"}\n'
    )
    rows = read_suite(suite_file("humaneval+", tmp_path))
    assert [(row["id"], row["tests"]) for row in rows] == [("HumanEval/0", ["assert f(1) == 1"])]
    with pytest.raises(BadArgument, match="needs --data"):
        suite_file("mbpp", None)
    with pytest.raises(BadArgument, match=r"has no mbpp\.jsonl"):
        suite_file("mbpp", tmp_path)
    with pytest.raises(BadArgument, match="is no file"):
        suite_file("humanevil", tmp_path)
    file.write_text('{"id": "a", "prompt": "p", "tests": []}\n')
    with pytest.raises(InputError, match=r"humanevalplus\.jsonl:1: tests: empty"):
        read_suite(file)


def test_a_function_that_the_text_does_not_name_is_shown_by_its_tests() -> None:
    problem = {"prompt": "Add two.", "entry_point": "plus", "tests": ["assert plus(1) == 3", "x" * 400]}
    assert asked(problem) == "Add two.\nYour code should pass these tests:\n\nassert plus(1) == 3\n"
    assert asked({**problem, "prompt": "Write plus."}) == "Write plus."
    assert "pass these tests" in asked({**problem, "prompt": "Write surplus."})


def test_a_problems_file_is_asked_as_it_is(tmp_path: Any) -> None:
    """As in training; a published suite's texts are completed."""
    file = tmp_path / "p.jsonl"
    row = {"id": "a", "prompt": "Add two.\n", "entry_point": "plus", "tests": ["assert plus(1) == 3"]}
    file.write_text(json.dumps(row) + "\n")
    assert read_suite(file, published=False)[0]["prompt"] == "Add two.\n"
    assert "pass these tests" in read_suite(file)[0]["prompt"]
