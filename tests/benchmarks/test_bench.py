"""Every row of `gradebox bench` runs and has the right shape. What it costs is never tested: machines are busy."""

import json
from pathlib import Path
from typing import Any

import pytest

from gradebox_command.terminal import console
from gradebox_engine.bench import ROWS, BenchError, BenchResult, chart, run_bench
from gradebox_engine.bench.cases import Cases, cases_of
from gradebox_engine.bench.measure import ROUNDS
from gradebox_engine.bench.result import Comparison, Line, Row
from gradebox_engine.bench.rows import Options
from gradebox_engine.bench.table import render

GRADINGS = 2 * ROUNDS
WAYS = {
    "asserts": {"python", "nsjail_python", "fork_harness", "evalplus", "floor", "gradebox"},
    "humaneval": {"python", "fork_harness", "evalplus", "floor", "gradebox"},
    "numpy": {"python", "fork_harness", "floor", "gradebox"},
    "stdio": {"python", "floor", "gradebox"},
    "overhead": {"sandbox", "gradebox"},
    "scaling": {"workers_1", "workers_2"},
    "latency": {"median", "p99"},
}
TARGETS = {
    "asserts": {"python": 0.25, "fork_harness": 1.0, "floor": 2.0},
    "humaneval": {"evalplus": 0.5},
    "numpy": {"python": 0.05},
    "stdio": {"python": 0.25},
    "overhead": {"sandbox": 0.25},
    "scaling": {"workers_2": 1.8},
    "latency": {"p99": 5.0},
}
MAY_BE_LEFT_OUT = {("asserts", "evalplus"), ("humaneval", "evalplus")}


@pytest.fixture(scope="module")
def result(jails: None) -> BenchResult:
    """All rows but the long one, with hardly any gradings."""
    return run_bench(gradings=GRADINGS)


def test_all_rows_are_there_in_order(result: BenchResult) -> None:
    assert [row.name for row in result.rows] == [name for name in ROWS if name != "long"]


@pytest.mark.parametrize("name", WAYS)
def test_every_way_was_measured_in_every_round(result: BenchResult, name: str) -> None:
    row = next(row for row in result.rows if row.name == name)
    assert {line.name for line in row.lines} == WAYS[name]
    assert row.command == f"gradebox bench --only {name} --gradings {GRADINGS}"
    for line in row.lines:
        if line.left_out:
            assert (name, line.name) in MAY_BE_LEFT_OUT, line.left_out
            continue
        assert line.cost_ms is not None and line.cost_ms > 0
        assert line.units >= GRADINGS * (10 if name == "stdio" else 1)
        for values in line.rounds.values():
            assert len(values) == ROUNDS and min(values) > 0
    targets = {line.name: line.comparison.target for line in row.lines if line.comparison and line.comparison.target}
    if not any(line.left_out for line in row.lines):
        assert targets == TARGETS[name]
    assert targets.items() <= TARGETS[name].items()


def test_as_json_and_as_a_table(result: BenchResult, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(json.dumps(result.to_dict()))["rows"]
    assert [row["name"] for row in rows] == [row.name for row in result.rows]
    python = rows[0]["lines"][0]
    assert python["name"] == "python" and len(python["rounds"]["cost_ms"]) == ROUNDS
    assert python["comparison"]["target"] == 0.25 and python["comparison"]["met"] in (True, False)
    console().print(render(result))
    shown = capsys.readouterr().out
    assert "plain python subprocess" in shown and "gradebox bench --only latency" in shown


def test_a_long_run(jails: None) -> None:
    (row,) = run_bench(only=["long"], long=200).rows
    assert [line.name for line in row.lines] == ["short", "long", "first_tenth", "last_tenth"]
    assert len(row.line("long").rounds["cost_ms"]) == 10 and row.line("long").units == 200
    assert row.command == "gradebox bench --only long --long 200"


def test_a_way_that_does_not_start_is_left_out(jails: None, tmp_path: Path) -> None:
    (row,) = run_bench(only=["humaneval"], gradings=ROUNDS, evalplus_python=tmp_path / "python").rows
    assert "there is no" in row.line("evalplus").left_out
    assert row.line("evalplus").to_dict()["left_out"]
    assert row.line("python").cost_ms


def test_a_program_that_does_not_pass_is_no_figure(jails: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cases, "asserts", lambda self: [f"assert {self.entry_point}([]) == 1"])
    with pytest.raises(BenchError, match="plain python subprocess: 2 of 2 do not pass"):
        run_bench(only=["asserts"], gradings=GRADINGS)


def _made_up() -> BenchResult:
    lines = (
        Line("python", "plain python subprocess", 10.0, 90.0, 5, Comparison(0.25, target=0.25)),
        Line("evalplus", "evalplus", left_out="no environment named"),
        Line("gradebox", "gradebox", 2.5, 400.0, 5, own=True),
    )
    rate = Comparison(1.7, "{:.2f} x the rate", 1.8, at_least=True)
    workers = (Line("workers_1", "1 worker", 3.0, 100.0, own=True), Line("workers_2", "2 workers", 3.0, 170.0, 5, rate))
    return BenchResult(
        (
            Row("asserts", "a program with 16 asserts", "grading", lines, "gradebox bench --only asserts"),
            Row("scaling", "two workers", "grading", workers, "gradebox bench --only scaling", by_rate=True),
        )
    )


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_the_chart(tmp_path: Path, suffix: str, begins: bytes) -> None:
    file = tmp_path / f"bench{suffix}"
    assert chart.missing(file) == ""
    chart.draw(_made_up(), file)
    assert file.read_bytes().startswith(begins)


def test_what_no_chart_can_be_drawn_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ".png" in chart.missing(tmp_path / "bench.pdf")
    assert "folder" in chart.missing(tmp_path / "nowhere" / "bench.png")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "gradebox[bench]" in chart.missing(tmp_path / "bench.png")


def test_targets() -> None:
    assert Comparison(0.25, target=0.25).met and not Comparison(0.26, target=0.25).met
    assert Comparison(1.9, target=1.8, at_least=True).met and Comparison(1.0).met is None
    assert Comparison(0.3, "{:.0%} overhead", 0.25).words() == "30% overhead"
    assert Comparison(0.3, "{:.0%} overhead", 0.25).target_words() == "≤ 25%"


def test_the_command_that_repeats_a_row() -> None:
    options = Options(seconds=2.0, data=Path("a b"), evalplus_python=Path("/e/python"))
    assert options.command("humaneval", "seconds", "gradings", "data") == (
        "gradebox bench --only humaneval --seconds 2 --data 'a b'"
    )


@pytest.mark.parametrize(
    ("tests", "entry_point", "cases"),
    [
        (["assert f(1, 'a') == (2,)"], None, Cases("f", [[1, "a"]], [(2,)])),
        (["assert f(-1) == {1}", "assert f() == None, 'why'"], "f", Cases("f", [[-1], []], [{1}, None])),
        (["assert f(1) == 2", "assert g(1) == 2"], None, None),
        (["assert f(1) == 2"], "g", None),
        (["assert f(1) == 2", "assert f(x) == 2"], "f", None),
        (["assert f(x=1) == 2"], "f", None),
        (["assert f(1) is True"], "f", None),
        (["assert f(1) == 1 + 1"], "f", None),
        (["x = f(1)\nassert x == 2"], "f", None),
        ([{"stdin": "", "expected_stdout": ""}], None, None),
        (["assert f(1) =="], "f", None),
        ([], "f", None),
    ],
)
def test_asserts_as_data(tests: list[Any], entry_point: str | None, cases: Cases | None) -> None:
    assert cases_of(tests, entry_point) == cases
