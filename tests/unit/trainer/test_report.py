"""The facts of a report: discrimination against its definition, quantiles, pairs, examples, flaky rows; the command."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradebox_command.errors import InputError
from gradebox_engine.cli import main
from gradebox_trainer.pairing import Rule
from gradebox_trainer.report.facts import EXAMPLES, Facts, cpu_bin, cpu_edges, flaky_rows, gather

HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>{{ 7 * 7 }}</pre>"


def label(
    program: str, verdicts: list[str], *, id: str = "p", cpu_time_s: float = 0.001, **more: Any
) -> dict[str, Any]:
    counted = [verdict for verdict in verdicts if verdict != "ENGINE_ERROR"]
    failed = next((verdict for verdict in verdicts if verdict != "PASSED"), "PASSED")
    return {
        "id": id,
        "program_index": 0,
        "program_sha256": sha256(program.encode()).hexdigest(),
        "verdict": failed,
        "pass_rate": counted.count("PASSED") / len(counted) if counted else None,
        "tests": [
            {"verdict": verdict, "seal": "SEALED", "cpu_time_s": cpu_time_s, "wall_time_s": 0.0, "memory_bytes": 1}
            for verdict in verdicts
        ],
        "evidence": [],
        **more,
    }


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_discrimination_is_the_item_rest_correlation() -> None:
    generator = np.random.default_rng(3)
    ability = generator.normal(size=200)
    matrix = (ability[:, None] + generator.normal(size=(200, 6)) > np.linspace(-1, 1, 6)).astype(float)
    matrix[:, 5] = 1  # a test that all pass
    facts = Facts()
    for number, row in enumerate(matrix):
        facts.add(label(f"program {number}", ["PASSED" if x else "WRONG_ANSWER" for x in row]), "g")
    share, correlation = facts.items["p"].discrimination()
    assert share == pytest.approx(matrix.mean(axis=0))
    expected = [np.corrcoef(matrix[:, j], matrix.sum(axis=1) - matrix[:, j])[0, 1] for j in range(5)]
    assert correlation[:5] == pytest.approx(expected)
    assert np.isnan(correlation[5])


def test_copies_count_once_where_programs_are_compared() -> None:
    facts = Facts()
    for _ in range(3):
        facts.add(label("same", ["PASSED", "WRONG_ANSWER"]), "g")
    assert (facts.labels, facts.distinct, facts.items["p"].n) == (3, 1, 1)


def test_pairs_are_counted_by_the_rule() -> None:
    facts = Facts()
    for number, passed in enumerate([5, 5, 4, 2, 1, 0]):
        facts.add(label(f"{number}", ["PASSED"] * passed + ["WRONG_ANSWER"] * (5 - passed)), "g")
    facts.add(label("other", ["PASSED"], id="q"), "g")
    assert facts.pairs(Rule(max_pairs=0)) == (3 * 2, 1)
    assert facts.pairs(Rule(max_pairs=4)) == (4, 1)


def test_engine_errors_are_no_programs_fault() -> None:
    facts = Facts()
    facts.add(label("a", ["ENGINE_ERROR"]), "g")
    facts.add(label("b", ["PASSED", "ENGINE_ERROR"]), "g")
    assert (facts.labels, facts.unrated, facts.distinct) == (2, 1, 0)


def test_cpu_times_fall_into_their_bins() -> None:
    edges = cpu_edges()
    for seconds in (2e-5, 0.0013, 0.5, 7.0, 200.0):
        place = cpu_bin(seconds)
        assert edges[place] <= seconds <= edges[place + 1]
    assert cpu_bin(0) == 0
    assert cpu_bin(1e9) == len(edges) - 2
    facts = Facts()
    for number in range(100):
        facts.add(label(f"{number}", ["PASSED"], cpu_time_s=0.001 if number < 90 else 1.0), "g")
    assert 0.001 <= facts.cpu_quantile(0.5) < 0.0014
    assert facts.cpu_quantile(0.99) >= 1.0


def test_the_same_examples_in_any_order() -> None:
    labels = [label(f"{number}", ["PASSED"]) for number in range(50)]
    first, second = Facts(), Facts()
    for each in labels:
        first.add(each, "g")
    for each in reversed(labels):
        second.add(each, "g")
    assert len(first.shown()["PASSED"]) == EXAMPLES
    assert first.shown() == second.shown()


def test_flaky_rows(tmp_path: Path) -> None:
    one = write(tmp_path / "1.jsonl", [label("a", ["PASSED", "PASSED"]), label("b", ["PASSED"])])
    other = write(tmp_path / "2.jsonl", [label("a", ["PASSED", "TIME_LIMIT"]), label("b", ["PASSED"])])
    (row,) = flaky_rows(one, other)
    assert (row.verdicts, row.pass_rates, row.tests) == (("PASSED", "TIME_LIMIT"), (1.0, 0.5), (1,))
    shorter = write(tmp_path / "3.jsonl", [label("a", ["PASSED", "PASSED"])])
    with pytest.raises(InputError, match="2: id: not that of the same row of"):
        list(flaky_rows(one, shorter))


def test_the_page_is_the_same_twice_and_holds_no_markup_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        label(HOSTILE, ["PASSED", "WRONG_ANSWER"], id=HOSTILE, generator=f"$x^2$ {HOSTILE}"),
        label("b", ["COMPILE_ERROR"], id="\ud800", generator="b"),
        label("c", ["ENGINE_ERROR"]),
    ]
    rows[0]["tests"][1]["message"] = HOSTILE
    rows[0]["engine"] = {"version": HOSTILE}
    labels = write(tmp_path / "labels.jsonl", rows)
    problems = write(tmp_path / "problems.jsonl", [{"id": HOSTILE, "prompt": HOSTILE, "tests": ["x"]}])
    programs = write(tmp_path / "programs.jsonl", [{"id": HOSTILE, "programs": [HOSTILE]}])
    agreement = tmp_path / "agreement.json"
    numbers = {"programs": 1, "pearson": None, "spearman": 0.5, "all_passed": 1.0, "kappa": None, "false_passed": 0}
    row = {**numbers, "false_failed": 0}
    agreement.write_text(
        json.dumps({"labels": HOSTILE, "reference": "r", "overall": row, "generators": {HOSTILE: row}})
    )
    flags = [f"--problems={problems}", f"--programs={programs}", f"--agreement={agreement}", f"--title={HOSTILE}"]
    pages = []
    for name in ("1.html", "2.html"):
        assert main(["report", str(labels), "-o", str(tmp_path / name), *flags, "--json"]) == 0
        pages.append((tmp_path / name).read_text())
    assert pages[0] == pages[1]
    assert "<img" not in pages[0] and "<script" not in pages[0] and "49" not in pages[0].split("{{ 7 * 7 }}")[0][-20:]
    assert pages[0].count("</pre>") == pages[0].count("<pre>")
    assert "&lt;img src=x onerror" in pages[0]
    assert json.loads(capsys.readouterr().out.splitlines()[0])["labels"] == 3


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["labels.jsonl", "--agreement", "labels.jsonl"], "not what `gradebox agreement` writes"),
        (["empty.jsonl"], "there are no labels in it"),
        (["labels.jsonl", "--programs", "labels.jsonl"], "name the problems that it was made of"),
        (["labels.jsonl", "-o", "."], "is a folder: name the page"),
        (["none"], "No such file or directory"),
    ],
)
def test_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "labels.jsonl", [label("a", ["PASSED"])])
    write(tmp_path / "empty.jsonl", [])
    assert main(["report", *argv]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_row_that_is_no_label_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.jsonl", [label("a", ["PASSED"]), {"id": "p"}])
    with pytest.raises(InputError, match=r"labels\.jsonl:2: program_sha256: must be a string: not a label"):
        gather(path)
