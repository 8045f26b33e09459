"""`gradebox filter` on an engine: what it drops, what it flags, what it finds out about the tests that stay."""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("datasketch")

from gradebox_engine.cli import main

PROBLEMS: list[dict[str, Any]] = [
    {
        "id": "largest",
        "question": "Write largest(xs).",
        "entry_point": "largest",
        "tests": [
            "assert largest([1, 3, 2]) == 3",
            "assert largest([5]) == 5",
            "assert largest([-2, -1]) == -1",
            "assert largest([1, 2]) == 1",  # wrong
            "assert largest([2, 2, 1]) == 2",
            "assert largest([3, 1, 2]) == 3",
        ],
        "meta": {"votes": [6, 5, 4, 3, 2, 1]},
    },
    {
        "id": "counter",  # the program counts its calls: what a test sees depends on those before it
        "entry_point": "count",
        "tests": ["assert count() == 1", *[f"assert count() > {n}" for n in (0, -1, -2, -3, -4)]],
    },
    {"id": "hopeless", "entry_point": "f", "tests": [f"assert f() == {n}" for n in range(6)]},
    {"id": "unsolved", "entry_point": "f", "tests": ["assert f() == 1"] * 6},
]
PROGRAMS: list[dict[str, Any]] = [
    {
        "id": "largest",
        "generator": "strong",
        "programs": ["def largest(xs): return xs[0]", "def largest(xs): return max(xs)"],
    },
    {"id": "largest", "generator": "weak", "programs": ["def largest(xs): return xs[-1]"]},
    {
        "id": "counter",
        "generator": "strong",
        "programs": ["n = 0\ndef count():\n    global n\n    n += 1\n    return n\n"],
    },
    {"id": "hopeless", "generator": "strong", "programs": ["def f(): return 4"]},
    {"id": "unsolved", "generator": "weak", "programs": ["def f(): return 1"]},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_stays_and_what_it_is_worth(jails: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems, programs = write(tmp_path / "problems.jsonl", PROBLEMS), write(tmp_path / "programs.jsonl", PROGRAMS)
    output = tmp_path / "kept.jsonl"
    command = [
        "filter",
        str(problems),
        str(programs),
        "-o",
        str(output),
        "--strong",
        "strong",
        "--mutants",
        "12",
        "--json",
    ]

    assert main(command) == 0

    summary = json.loads(capsys.readouterr().out)
    largest, counter = read(output)
    assert largest["id"] == "largest" and len(largest["tests"]) == 5
    assert "assert largest([1, 2]) == 1" not in largest["tests"]
    assert largest["meta"]["votes"] == [6, 5, 4, 2, 1]
    audit = largest["meta"]["filter"]
    assert audit["tests_before"] == 6 and audit["mutants"] > 0
    assert audit["mutation_score"] == 1.0  # `return None`, and no other mutant of `return max(xs)`
    assert sum(audit["weights"]) == pytest.approx(1, abs=1e-4)
    assert counter["tests"] == [f"assert count() > {n}" for n in (0, -1, -2, -3, -4)]

    assert (summary["problems"], summary["kept_problems"], summary["tests"], summary["kept_tests"]) == (4, 2, 24, 10)
    assert summary["dropped_problems"] == {"fewer than 5 tests left": 1, "no program of the strong model": 1}
    assert summary["dropped_tests"] == {
        "failed by the best program": 6,
        "flaky": 1,
        "fewer than 5 tests left": 1,
        "no program of the strong model": 6,
    }
    table = read(tmp_path / "kept.tests.jsonl")
    assert len(table) == 24
    by_test = {row["test"]: row for row in table if row["id"] == "largest"}
    assert by_test["assert largest([5]) == 5"]["flags"] == ["every program passes"]
    assert by_test["assert largest([1, 2]) == 1"] == {
        "id": "largest", "test_index": 3, "test": "assert largest([1, 2]) == 1", "kept": False,
        "why": "failed by the best program", "flags": [], "passed": 1, "programs": 3, "weight": None, "redundant": None,
    }  # fmt: skip

    # Again: nothing is graded, and nothing changes.
    before = output.read_bytes()
    graded = (tmp_path / "kept.graded.jsonl").read_bytes()
    assert main(command) == 0
    assert output.read_bytes() == before and (tmp_path / "kept.graded.jsonl").read_bytes() == graded


def test_a_table_in_parquet_and_as_text(jails: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow.parquet as pq

    problems, programs = (
        write(tmp_path / "problems.jsonl", PROBLEMS[:1]),
        write(tmp_path / "programs.jsonl", PROGRAMS[:2]),
    )
    table = tmp_path / "table.parquet"

    assert (
        main(["filter", str(problems), str(programs), "-o", str(tmp_path / "kept.jsonl"), "--table", str(table)]) == 0
    )

    assert pq.read_table(table).num_rows == 6
    shown = capsys.readouterr().out
    assert "failed by the best program" in shown and "mutation score, mean" in shown


def test_a_generator_that_nobody_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems, programs = write(tmp_path / "problems.jsonl", PROBLEMS), write(tmp_path / "programs.jsonl", PROGRAMS)

    assert main(["filter", str(problems), str(programs), "-o", str(tmp_path / "kept.jsonl"), "--strong", "nobody"]) == 2
    assert "no row of" in capsys.readouterr().err
