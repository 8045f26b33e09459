"""`gradebox evaluate`: answers of a small policy, graded by a real engine, as a table; and again, from what is kept."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.trainer.rl.conftest import TESTS

from gradebox_command.errors import BadArgument
from gradebox_command.session import Engines
from gradebox_trainer.rl.evaluate_command import Options, run

pytestmark = pytest.mark.usefixtures("jails")


def options(folder: Path, **changes: Any) -> Options:
    values: dict[str, Any] = {
        "model": str(folder / "policy"),
        "suite": str(folder / "problems.jsonl"),
        "data": None,
        "output": folder / "result",
        "samples": 8,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_tokens": 32,
        "prompt_format": "plain",
        "reward_model": None,
        "rollout": "transformers",
        "batch": 16,
        "seed": 1,
        "engines": Engines(workers=1),
        "as_json": True,
    }
    return Options(**values | changes)


def test_a_table_and_its_repetition(
    fitted: Callable[[], tuple[Any, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The policy was fitted to answers of which three in seven are right, to these very prompts."""
    model, tokenizer = fitted()
    model.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    rows = [
        {"id": f"p{at}", "prompt": text, "entry_point": "f", "tests": its}
        for at, (text, its) in enumerate(TESTS.items())
    ]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(options(tmp_path)) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["problems"] == 4 and said["unknown"] == 0 and said["format"] == "plain"
    assert 0.2 < said["pass@1"] < 0.8 and said["pass@1"] < said["pass@2"] < said["pass@5"] <= 1
    kept = (tmp_path / "result" / "answers.jsonl").read_bytes()
    assert kept.count(b'"verdict":"PASSED"') == round(said["pass@1"] * 32) + round(said["greedy"] * 4)

    (tmp_path / "policy" / "model.safetensors").rename(tmp_path / "elsewhere")  # what is answered needs no model
    assert run(options(tmp_path)) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert again["pass@1"] == said["pass@1"]
    assert (tmp_path / "result" / "answers.jsonl").read_bytes() == kept
    with pytest.raises(BadArgument, match="other settings"):
        run(options(tmp_path, temperature=0.5))
