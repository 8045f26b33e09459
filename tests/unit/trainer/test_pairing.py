"""Preference pairs: the rule, what is left out, the choice of k, the split, the columns."""

import gzip
import json
import random
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from gradebox_engine.cli import main
from gradebox_trainer.pair_formats import in_block
from gradebox_trainer.pairing import Candidate, Pairing, Rule, distinct, is_validation, same_text


def candidate(text: str, rate: float, generator: str = "a") -> Candidate:
    return Candidate(text, sha256(text.encode()).hexdigest(), rate, generator)


@pytest.mark.parametrize(
    ("chosen", "rejected", "allowed"),
    [
        (1.0, 0.6, True),
        (0.8, 0.4, True),
        (0.95, 0.55, True),  # 0.95 - 0.55 is below 0.4 in floating point
        (0.7, 0.1, False),
        (1.0, 0.7, False),
        (1.0, 0.0, False),
        (1.0, 1e-6, True),
    ],
)
def test_the_papers_rule(chosen: float, rejected: float, allowed: bool) -> None:
    assert Rule().allows(chosen, rejected) == allowed


def test_settings_change_the_rule() -> None:
    assert Rule(min_chosen=0.5, min_gap=0.1).allows(0.5, 0.4)
    assert not Rule(rejected_above=0.2).allows(1.0, 0.2)


def test_copies_are_told_without_comments_and_blanks() -> None:
    assert same_text("# a\ndef f():  \n\n    return 1\n") == same_text("def f():\n    # b\n    return 1")
    assert same_text("x = 1") != same_text("x = 2")
    found, copies, unsteady = distinct(
        [
            candidate("x = 1", 1.0),
            candidate("x = 1  # same? no", 1.0),
            candidate("x = 1\n\n", 1.0),
            candidate("y", 0.5),
            candidate("y\n", 0.4),
        ]
    )
    assert [each.program for each in found] == ["x = 1", "x = 1  # same? no"]
    assert (copies, unsteady) == (2, 1)


def test_all_pairs_of_a_problem_and_none_twice() -> None:
    rates = [1.0, 0.9, 0.8, 0.5, 0.4, 0.2, 0.0]
    candidates = [candidate(f"p{n}", rate) for n, rate in enumerate(rates)]
    pairs = Pairing(Rule(max_pairs=0)).pairs("q", candidates)
    found = sorted((chosen.pass_rate, rejected.pass_rate) for chosen, rejected in pairs)
    assert found == sorted((a, b) for a in rates for b in rates if Rule().allows(a, b))
    assert len(set(pairs)) == len(pairs)


def test_the_choice_is_even_over_generators_and_programs() -> None:
    many = [candidate(f"good {n}", 1.0, "many") for n in range(50)] + [
        candidate(f"bad {n}", 0.3, "many") for n in range(50)
    ]
    few = [candidate("good one", 0.9, "few"), candidate("bad one", 0.2, "few")]
    pairs = Pairing(Rule(max_pairs=8)).pairs("q", many + few)
    assert Counter(chosen.generator for chosen, _ in pairs) == {"many": 4, "few": 4}
    assert Counter(rejected.generator for _, rejected in pairs)["few"] >= 3  # of the four that are not few's own
    assert max(Counter(chosen.sha256 for chosen, _ in pairs if chosen.generator == "many").values()) == 1


def test_the_same_pairs_in_any_order_and_others_with_another_seed() -> None:
    candidates = [candidate(f"p{n}", n % 11 / 10, f"g{n % 3}") for n in range(60)]
    first = Pairing(Rule(seed=1)).pairs("q", candidates)
    shuffled = random.Random(5).sample(candidates, len(candidates))
    assert Pairing(Rule(seed=1)).pairs("q", shuffled) == first
    assert Pairing(Rule(seed=2)).pairs("q", candidates) != first
    assert len(first) == 16


def test_one_generator_only() -> None:
    candidates = [candidate("a", 1.0, "x"), candidate("b", 0.5, "y"), candidate("c", 0.5, "x")]
    pairs = Pairing(Rule(same_generator=True)).pairs("q", candidates)
    assert [(chosen.program, rejected.program) for chosen, rejected in pairs] == [("a", "c")]


def test_the_split_is_by_prompt() -> None:
    held = [n for n in range(2000) if is_validation(f"prompt {n}", 0.1, 0)]
    assert 140 < len(held) < 260
    assert is_validation("a  prompt\n", 0.5, 7) == is_validation("A prompt", 0.5, 7)
    assert not any(is_validation(f"p{n}", 0, 0) for n in range(100))
    assert all(is_validation(f"p{n}", 1, 0) for n in range(100))


def test_a_programs_fence_is_longer_than_any_in_it() -> None:
    assert in_block("x = 1\n") == "```python\nx = 1\n```"
    assert in_block('s = """```"""').startswith("````python\n")


# The command.

PROBLEMS = [
    {"id": "p", "prompt": "Add one.", "tests": ["assert f(1) == 2"]},
    {"id": "q", "question": "Größer?", "tests": ["assert g(1)"]},
]
PROGRAMS = [
    {"id": "p", "programs": ["good", "bad", "zero", "broken", "half broken", "good\n"], "generator": "x"},
    {"id": "q", "programs": ["fine", "worse", "\ud800"], "generator": "y"},
]
RATES: dict[str, float | None] = {
    "good": 1.0,
    "good\n": 1.0,
    "bad": 0.5,
    "zero": 0.0,
    "broken": None,
    "half broken": 0.5,
    "fine": 0.8,
}


def label(id: str, index: int, program: str) -> dict[str, Any]:
    verdicts = ["ENGINE_ERROR"] if "broken" in program else ["PASSED"]
    return {
        "id": id,
        "program_index": index,
        "program_sha256": sha256(program.encode("utf-8", "surrogatepass")).hexdigest(),
        "verdict": verdicts[0],
        "pass_rate": RATES.get(program, 0.25),
        "tests": [
            {"verdict": verdict, "seal": "SEALED", "cpu_time_s": 0.0, "wall_time_s": 0.0, "memory_bytes": 1}
            for verdict in verdicts
        ],
    }


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    labels = [label(str(row["id"]), n, program) for row in PROGRAMS for n, program in enumerate(row["programs"])]
    found = {}
    for name, rows in (("problems", PROBLEMS), ("programs", PROGRAMS), ("labels", labels)):
        found[name] = tmp_path / f"{name}.jsonl"
        found[name].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return found


def pairs(files: dict[str, Path], output: Path, *flags: str) -> int:
    inputs = ["--problems", str(files["problems"]), "--programs", str(files["programs"])]
    return main(["pairs", str(files["labels"]), *inputs, "-o", str(output), *flags])


def test_the_command(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pairs(files, tmp_path / "out", "--json") == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert counts["pairs"] == 2
    assert counts["labels_with_engine_errors"] == 2
    assert counts["copies"] == 1
    assert counts["programs_not_unicode"] == 1
    rows = [
        row for split in ("train", "validation") for row in pq.read_table(tmp_path / f"out/{split}.parquet").to_pylist()
    ]
    found = {row["id"]: row for row in rows}
    assert found["p"] == {
        "id": "p",
        "prompt": "Add one.",
        "chosen": "good",
        "rejected": "bad",
        "chosen_pass_rate": 1.0,
        "rejected_pass_rate": 0.5,
        "chosen_generator": "x",
        "rejected_generator": "x",
        "chosen_sha256": sha256(b"good").hexdigest(),
        "rejected_sha256": sha256(b"bad").hexdigest(),
    }
    assert (found["q"]["chosen"], found["q"]["rejected"]) == ("fine", "worse")


def test_formats_and_splits(files: dict[str, Path], tmp_path: Path) -> None:
    flags = ["--validation", "0", "--ascii-prompts"]
    assert pairs(files, tmp_path / "a.jsonl.gz", "--format", "acecode", *flags) == 0
    rows = [json.loads(line) for line in gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).splitlines()]
    assert rows == [
        {
            "instruction": "Add one.",
            "input": "",
            "chosen": "```python\ngood\n```",
            "rejected": "```python\nbad\n```",
            "id": 0,
        }
    ]
    assert gzip.decompress((tmp_path / "a.validation.jsonl.gz").read_bytes()) == b""
    assert pairs(files, tmp_path / "c.jsonl", "--format", "conversational", "--validation", "1") == 0
    assert (tmp_path / "c.jsonl").read_text() == ""
    first = json.loads((tmp_path / "c.validation.jsonl").read_text().splitlines()[0])
    assert first["prompt"] == [{"role": "user", "content": "Add one."}]
    assert first["chosen"] == [{"role": "assistant", "content": "```python\ngood\n```"}]


def test_the_same_bytes_twice(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("a.parquet", "a.jsonl.gz"):
        assert pairs(files, tmp_path / "1" / name) == pairs(files, tmp_path / "2" / name) == 0
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pass_rate": 7}, "labels.jsonl:1: pass_rate: must be from 0 to 1 or null, is 7"),
        ({"id": "none"}, "labels.jsonl:1: id: no problem 'none' in"),
        ({"program_sha256": "00"}, "labels.jsonl:1: program_sha256: no such program of 'p' in"),
        ({"tests": None}, "labels.jsonl:1: tests: must be a list of objects"),
    ],
)
def test_wrong_labels_are_told_and_nothing_is_written(
    files: dict[str, Path], tmp_path: Path, change: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = files["labels"].read_text().splitlines()
    lines[0] = json.dumps({**json.loads(lines[0]), **change})
    files["labels"].write_text("\n".join(lines))
    assert pairs(files, tmp_path / "out.jsonl") == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*out*"))


def test_the_texts_have_to_be_named(files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pairs", str(files["labels"]), "-o", str(tmp_path / "out")]) == 2
    assert "does not hold the texts: name the problems that it was made of, --problems FILE" in capsys.readouterr().err
    assert main(["pairs", str(files["labels"]), "-o", str(tmp_path / "out.csv")]) == 2
    assert main(["pairs", str(files["labels"]), "-o", "x", "--format", "y"]) == 2
