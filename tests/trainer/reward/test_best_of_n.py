"""Best-of-n against counting all subsets; the command from files to table and figure."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from tests.trainer.reward.data import labelled, write_rows

from gradebox_command.errors import InputError
from gradebox_command.rows import read_rows
from gradebox_trainer.reward.best_of_n import Samples, curve, expected_best, expected_oracle, first_of_subset
from gradebox_trainer.reward.best_of_n_command import ALL, Options, best_of_n


def by_counting(samples: Samples, n: int) -> float:
    """The mean over all subsets of n, ties broken at random."""
    values = []
    for subset in itertools.combinations(range(len(samples.score)), n):
        score, right = samples.score[list(subset)], samples.right[list(subset)]
        values.append(right[score == score.max()].mean())
    return float(np.mean(values))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
def test_it_is_the_mean_over_all_subsets(n: int, ties: bool) -> None:
    random = np.random.default_rng(n)
    score = random.integers(0, 4, 8).astype(float) if ties else random.normal(size=8)
    samples = Samples(random.integers(0, 2, 8).astype(float), score)
    if not ties:
        assert expected_best(samples, n) == pytest.approx(by_counting(samples, n))
    else:  # a tie group's places are shared: the same as breaking ties at random once for all
        orders = [
            expected_best(Samples(samples.right, samples.score + 1e-6 * np.random.default_rng(seed).normal(size=8)), n)
            for seed in range(400)
        ]
        assert expected_best(samples, n) == pytest.approx(np.mean(orders), abs=0.05)


def test_the_oracle_is_pass_at_n() -> None:
    samples = Samples(np.array([1.0, 0, 0, 0, 1.0]), np.zeros(5))
    assert expected_oracle(samples, 2) == pytest.approx(1 - 3 / 10)  # C(3, 2) / C(5, 2) have none
    assert expected_best(samples, 2) == pytest.approx(0.4)  # equal scores: random choice


def test_many_programs_have_room() -> None:
    assert first_of_subset(1000, 128).sum() == pytest.approx(1.0)


def test_a_curve_with_bounds_and_intervals() -> None:
    random = np.random.default_rng(0)
    problems = []
    for _ in range(40):
        right = random.integers(0, 2, 20).astype(float)
        problems.append(Samples(right, right + random.normal(size=20)))
    points = curve(problems)
    assert [point.n for point in points] == [1, 2, 4, 8, 16]
    assert points[0].best == pytest.approx(points[0].random)
    for point in points:
        assert point.random - 1e-9 <= point.best <= point.oracle + 1e-9
        assert point.low <= point.best <= point.high
    assert points[-1].gain_low > 0.1


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels, programs, _ = labelled(tmp_path)
    generators = {row["id"]: row["generator"] for _, row in read_rows(programs)}
    rows = [
        {**{key: row[key] for key in ("id", "program_index", "program_sha256")}, "score": -row["program_index"],
         "generator": generators[row["id"]]}
        for _, row in read_rows(labels)
    ]  # fmt: skip
    rows[1]["score"] = None  # too long for the model: chosen last
    scores = write_rows(tmp_path / "scores.jsonl", rows)
    assert best_of_n(Options(labels, scores, labels, "passed", tmp_path / "out", True)) == 0
    result = json.loads(capsys.readouterr().out)
    assert [one["generator"] for one in result["curves"]] == [ALL, "g0", "g1"]
    first = result["curves"][0]
    assert [point["n"] for point in first["points"]] == [1, 2, 4]  # the fifth program has no verdict
    assert first["points"][-1]["best"] == 1.0 and first["points"][0]["best"] == 0.25 == first["greedy"]
    assert (tmp_path / "out" / "best_of_n.svg").read_text().startswith("<?xml")
    assert best_of_n(Options(labels, scores, None, "pass_rate", None, False)) == 0
    assert "oracle" in capsys.readouterr().out
    strange = write_rows(tmp_path / "strange.jsonl", [{**rows[0], "program_sha256": "0" * 64}])
    with pytest.raises(InputError, match=r"strange.jsonl:1: program_sha256: no label"):
        best_of_n(Options(labels, strange, None, "passed", None, True))
