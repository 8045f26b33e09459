"""`gradebox score` and what it shares with training."""

import json
from pathlib import Path

import pytest
import torch
from tests.trainer.reward.data import CONFIG, labelled, small_tokenizer, write_rows

from gradebox_command.errors import BadArgument, InputError
from gradebox_command.rows import read_rows
from gradebox_trainer.reward.score import Options, RewardModel, score
from gradebox_trainer.transformer.loading import load_tokenizer, new_classifier


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with random weights and its tokenizer."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "small.json").write_text(json.dumps(CONFIG))
    tokenizer = load_tokenizer(str(small_tokenizer(folder / "t.json")))
    classifier = new_classifier(folder / "small.json", tokenizer, dtype=torch.float32, seed=0)
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "gradebox_encoding.json").write_text('{"prompt_template": "{prompt}:", "max_length": 60}')
    return folder


def test_scores_are_the_models_own(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    _, programs, problems = labelled(tmp_path)
    output = tmp_path / "scores.jsonl"
    assert score(Options(programs, [problems], str(model), output, 200, "fp32", True)) == 0
    rows = [row for _, row in read_rows(output)]
    assert len(rows) == 30 and rows[1]["generator"] == "g0"
    plain, tokenizer = AutoModelForSequenceClassification.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    texts = [f"Write f {row['id'][2:]}.:{p}<|endoftext|>" for _, row in read_rows(programs) for p in row["programs"]]
    for row, text in zip(rows, texts, strict=True):
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        assert row["score"] == pytest.approx(plain(input_ids=ids).logits.item(), abs=1e-5)


def test_too_long_is_null_and_equal_programs_are_equal(model: Path) -> None:
    scorer = RewardModel(str(model), token_budget=50)
    ((long, one, other, empty), none) = scorer.score([("Write f.", ["x = 1\n" * 99, "a", "a", ""]), ("p", [])])
    assert long is None and one == other and one is not None and empty is not None and none == []


def test_what_is_missing_is_said(model: Path, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "programs.jsonl", [{"id": "x", "programs": ["a"]}])
    with pytest.raises(InputError, match=r"programs.jsonl:1: id: no prompt for 'x'"):
        score(Options(path, [], str(model), tmp_path / "s.jsonl", 100, "fp32", True))
    with pytest.raises(BadArgument, match="no tokenizer at"):
        RewardModel(str(tmp_path / "nowhere"))
    path = write_rows(tmp_path / "programs.jsonl", [{"id": "x", "prompt": "Write f.", "programs": ["a", "b"]}])
    assert score(Options(path, [], str(model), tmp_path / "s.jsonl", 100, "bf16", True)) == 0
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 2
