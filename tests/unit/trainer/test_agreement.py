"""Labels by one set of tests against labels by another."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gradebox_command.errors import InputError
from gradebox_trainer.agreement import Pair, measure, row


def test_the_numbers_of_a_few_programs() -> None:
    found = row(
        [Pair("a", 1.0, 1.0), Pair("a", 1.0, 0.5), Pair("a", 0.5, 1.0), Pair("b", 0.0, 0.0), Pair("b", 0.2, 0.1)]
    )

    assert (found["programs"], found["problems"]) == (5, 2)
    assert found["all_passed"] == 0.6
    assert (found["false_passed"], found["false_failed"]) == (1, 1)
    assert found["kappa"] == pytest.approx(1 / 6, abs=1e-4)  # observed 0.6, by chance 0.52
    assert found["pearson"] == pytest.approx(0.7087, abs=1e-3)
    assert found["spearman"] == pytest.approx(0.7632, abs=1e-3)
    assert (found["pass_rate"], found["reference_pass_rate"]) == (0.54, 0.52)


def test_what_does_not_vary_has_no_correlation() -> None:
    found = row([Pair("a", 1.0, 1.0), Pair("a", 1.0, 1.0)])

    assert (found["pearson"], found["spearman"], found["kappa"], found["all_passed"]) == (None, None, None, 1.0)
    assert row([])["all_passed"] is None


def write(path: Path, rows: list[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def label(id: str, sha256: str, rate: float | None) -> Mapping[str, Any]:
    return {"id": id, "program_sha256": sha256, "pass_rate": rate}


def test_labels_are_matched_by_program_and_counted_by_generator(tmp_path: Path) -> None:
    programs = write(
        tmp_path / "programs.jsonl",
        [
            {"id": "a", "generator": "x", "programs": ["p", "q"]},
            {"id": "a", "meta": {"generator": "strong"}, "programs": ["r"]},
            {"id": "a", "generator": "copies", "programs": ["r"]},
            {"id": "b", "programs": ["s", "t"]},
        ],
    )
    labels = write(
        tmp_path / "labels.jsonl",
        [
            label("a", "p", 1.0),
            label("a", "q", 0.0),
            label("a", "r", 1.0),
            label("a", "r", 1.0),
            label("b", "s", 0.5),
            label("b", "t", None),
        ],
    )
    reference = write(
        tmp_path / "reference.jsonl",
        [label("b", "s", 0.0), label("b", "t", 1.0), label("a", "q", 0.2), label("a", "p", 1.0), label("a", "r", 0.0)],
    )

    found = measure(labels, reference, programs, leave_out=["strong"])

    assert list(found["generators"]) == ["unnamed", "x"]
    assert found["generators"]["x"]["pearson"] == 1.0
    assert found["generators"]["unnamed"]["programs"] == 1
    assert (found["overall"]["programs"], found["left_out"]) == (3, ["strong"])


def test_labels_of_other_programs_are_an_error(tmp_path: Path) -> None:
    programs = write(tmp_path / "programs.jsonl", [{"id": "a", "programs": ["p"]}])
    other = write(tmp_path / "labels.jsonl", [label("b", "p", 1.0)])
    longer = write(tmp_path / "longer.jsonl", [label("a", "p", 1.0), label("a", "p", 1.0)])

    with pytest.raises(InputError, match=r"labels\.jsonl:1: id: not that of program 1"):
        measure(other, other, programs)
    with pytest.raises(InputError, match=r"longer\.jsonl:2: more labels than programs"):
        measure(longer, longer, programs)
