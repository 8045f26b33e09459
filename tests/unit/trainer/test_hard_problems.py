"""The hard subset, on numbers worked out by hand, and as a command."""

import json
from pathlib import Path

import pytest

from gradebox_command.errors import InputError
from gradebox_trainer.hard_problems import hard_subset, select_hard


def test_the_rule() -> None:
    rates = {
        "easy": [1.0, 1.0],  # mean 1
        "uneven": [1.0, 0.0],  # mean 0.5, deviation 0.5
        "even": [0.5, 0.5],  # mean 0.5, deviation 0
        "hopeless": [0.0, 0.0],  # mean 0, deviation 0
        "hard": [0.0, 0.6],  # mean 0.3, deviation 0.3
        "unknown": [],
    }
    # The median of the means (1, 0.5, 0.5, 0, 0.3) is 0.5; of the deviations at or below it (0.5, 0, 0, 0.3): 0.15.
    assert hard_subset(rates) == ["uneven", "hard"]
    assert hard_subset({}) == []


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_kept_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems = write(tmp_path / "p.jsonl", [{"id": "a", "tests": ["assert f()"], "mine": 1}, {"id": "b", "tests": []}])
    labels = write(
        tmp_path / "l.jsonl",
        [
            {"id": "a", "pass_rate": 0.0},
            {"id": "a", "pass_rate": 1.0},
            {"id": "b", "pass_rate": 1.0},
            {"id": "b", "pass_rate": None},
            {"id": "elsewhere", "pass_rate": 0.5},
        ],
    )
    assert select_hard(problems, labels, tmp_path / "o.jsonl", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 1
    assert json.loads((tmp_path / "o.jsonl").read_text()) == {"id": "a", "tests": ["assert f()"], "mine": 1}


@pytest.mark.parametrize(
    ("label", "said"),
    [({"pass_rate": 1}, "l.jsonl:1: id: missing"), ({"id": "a", "pass_rate": "x"}, "l.jsonl:1: pass_rate: must be")],
)
def test_bad_labels(tmp_path: Path, label: dict[str, object], said: str) -> None:
    problems = write(tmp_path / "p.jsonl", [{"id": "a"}])
    with pytest.raises(InputError, match=said):
        select_hard(problems, write(tmp_path / "l.jsonl", [label]), tmp_path / "o.jsonl", as_json=False)
