"""What the readers of input files take, and the one line that they say of what they do not."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gradebox_command.errors import InputError
from gradebox_command.files import Problems, Programs
from gradebox_engine.cli.problem_rows import check_problem

GOOD: dict[str, Any] = {"id": "p", "entry_point": "f", "tests": ["assert f(1) == 2"]}


def write(path: Path, *rows: object) -> Path:
    """Writes JSON Lines; bytes stand for themselves."""
    lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def complaint(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Problems(path, check=check_problem).close()
    text = str(caught.value)
    assert "\n" not in text
    return text.removeprefix(str(path))


def test_all_four_kinds_are_kept(tmp_path: Path) -> None:
    tests = [
        "assert f(1) == 2",
        {"stdin": "1\n", "expected_stdout": "2\n", "checker": {"kind": "float", "abs_tol": 0.1}},
        {"call": {"args": [1], "kwargs": {"k": None}}, "expected": None},
        {"unittest": "def test_f():\n    assert f(1) == 2\n"},
    ]
    path = write(tmp_path / "p.jsonl", {**GOOD, "tests": tests, "future": 1, "meta": {"a": 1}})
    with Problems(path, check=check_problem) as problems:
        assert list(problems) == ["p"]
        assert problems["p"]["tests"] == tests
        assert problems["p"]["language"] == "python"


def test_spellings_of_published_data(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.jsonl",
        {"id": "a", "tests": ["class T: ..."], "test_style": "unittest"},
        {"id": "b", "tests": ["x"], "lang": "cpp"},
        {"id": "c", "entry_point": "f", "tests": [{"args": [1], "expected": 2}]},
        {"id": "d", "tests": [{"stdin": "", "expected_stdout": "", "checker": "exact"}]},
    )
    with Problems(path, check=check_problem) as problems:
        assert problems["a"]["tests"] == [{"unittest": "class T: ..."}]
        assert problems["b"]["language"] == "cpp"
        assert problems["c"]["tests"] == [{"call": {"args": [1], "kwargs": None}, "expected": 2}]
        assert problems["d"]["tests"][0]["checker"] == {"kind": "exact"}
        assert problems.line("d") == 4


@pytest.mark.parametrize("suffix", [".jsonl", ".gz", ".parquet"])
def test_formats_hold_the_same_rows(tmp_path: Path, suffix: str) -> None:
    rows = [
        {**GOOD, "tests": [{"stdin": "a", "expected_stdout": "b"}]},
        {**GOOD, "id": "q", "tests": [{"call": {"args": [1]}, "expected": 3}]},
    ]
    path = tmp_path / f"p{suffix}"
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        write(path, *rows)
    if suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    with Problems(path, check=check_problem) as problems:
        assert problems["p"]["tests"] == [{"stdin": "a", "expected_stdout": "b"}]
        assert problems["q"]["tests"] == [{"call": {"args": [1]}, "expected": 3}]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"{", ":2: not JSON: Expecting property name enclosed in double quotes at column "),
        (b"[1]", ":2: not a JSON object but a list"),
        (b'{"id": "\xff"}', ":2: not UTF-8 at byte 9"),
        (b"[" * 100_000, ":2: nested too deeply"),
        (b'{"id": ' + b"9" * 5000 + b"}", ":2: not JSON: Exceeds the limit (4300 digits)"),
        (b"\x00\x00", ":2: not JSON: Expecting value at column 1"),
        ({"tests": ["x"]}, ":2: id: missing"),
        ({"id": 3, "tests": ["x"]}, ":2: id: must be a string, is a number"),
        ({"id": "p", "tests": ["x"]}, ":2: id: 'p' is already the id of line 1"),
        ({"id": "q"}, ":2: tests: missing"),
        ({"id": "q", "tests": []}, ":2: tests: empty"),
        ({"id": "q", "tests": "x"}, ":2: tests: must be a list, is a string"),
        (
            {"id": "q", "tests": ["x", 3]},
            ":2: tests[1]: must be a string or an object, is a number",
        ),
        ({"id": "q", "tests": [{}]}, ":2: tests[0]: has none of stdin, call and unittest"),
        ({"id": "q", "tests": [{"stdin": ""}]}, ":2: tests[0].expected_stdout: missing"),
        (
            {"id": "q", "tests": [{"call": {}, "expected": 1}]},
            ":2: entry_point: missing, and tests[0] calls it",
        ),
        (
            {"id": "q", "entry_point": "f", "tests": [{"call": {}}]},
            ":2: tests[0].expected: missing",
        ),
        (
            {
                "id": "q",
                "tests": [{"stdin": "", "expected_stdout": "", "checker": {"kind": "regex"}}],
            },
            ":2: tests[0].checker.kind: 'regex' is none of lines, exact, tokens, float, unordered, judge, interactive",
        ),
        ({"id": "q", "tests": ["x"], "limits": {"cpu": 1}}, ":2: limits.cpu: no such limit"),
        (
            {"id": "q", "tests": ["x"], "limits": {"cpu_time_s": -1}},
            ":2: limits.cpu_time_s: must be a positive number in range, not -1",
        ),
        (
            {"id": "q", "tests": ["x"], "limits": {"isolate": 1}},
            ":2: limits.isolate: must be true or false, not 1",
        ),
        ({"id": "q", "tests": ["x"], "test_setup": 1}, ":2: test_setup: must be a string"),
    ],
)
def test_bad_problems_are_told_by_line_and_field(tmp_path: Path, row: object, said: str) -> None:
    assert complaint(write(tmp_path / "p.jsonl", GOOD, row)).startswith(said)


def test_a_huge_line_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradebox_command.rows.MAX_LINE_BYTES", 1000)
    path = write(tmp_path / "p.jsonl", GOOD, b"x" * 1001)
    assert complaint(path) == ":2: line is longer than 1,000 bytes"


def test_unreadable_files(tmp_path: Path) -> None:
    assert complaint(tmp_path / "none.jsonl") == ": No such file or directory"
    damaged = tmp_path / "p.gz"
    damaged.write_bytes(gzip.compress(json.dumps(GOOD).encode() * 100)[:-9])
    assert "damaged gzip file" in complaint(damaged)
    parquet = tmp_path / "p.parquet"
    parquet.write_bytes(b"PAR1 but no more")
    assert "damaged Parquet file" in complaint(parquet)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"programs": []}, "id: missing"),
        ({"id": "other", "programs": []}, "id: no problem 'other' in "),
        ({"id": "p"}, "programs: missing"),
        ({"id": "p", "programs": "x"}, "programs: must be a list, is a string"),
        ({"id": "p", "programs": ["x", None]}, "programs[1]: must be a string, is null"),
    ],
)
def test_bad_programs_are_told_by_line_and_field(tmp_path: Path, row: object, said: str) -> None:
    with Problems(write(tmp_path / "p.jsonl", GOOD)) as problems:
        path = write(tmp_path / "g.jsonl", {"id": "p", "programs": ["x"]}, b"", row)
        with pytest.raises(InputError) as caught:
            Programs(path, problems).count()
    assert str(caught.value).startswith(f"{path}:3: {said}")


def test_programs_of_other_problems_can_be_left_out(tmp_path: Path) -> None:
    with Problems(write(tmp_path / "p.jsonl", GOOD)) as problems:
        rows = [{"id": id, "programs": ["x", "y"]} for id in ("other", "p", "another", "p")]
        programs = Programs(write(tmp_path / "g.jsonl", *rows), problems, skip_unknown=True)
        assert (programs.count(), programs.skipped) == (4, 4)
        assert [row.line for row in programs] == [2, 4]
        bad = Programs(write(tmp_path / "b.jsonl", {"id": "other", "programs": "x"}), problems, skip_unknown=True)
        with pytest.raises(InputError, match="must be a list"):
            bad.count()


def test_programs_are_not_judged_by_the_reader(tmp_path: Path) -> None:
    hostile = ["\x00", "\ud800", "(" * 100_000, ""]
    with Problems(write(tmp_path / "p.jsonl", GOOD)) as problems:
        path = write(tmp_path / "g.jsonl", {"id": "p", "programs": hostile, "meta": {"k": 1}})
        (row,) = Programs(path, problems)
        assert (row.line, row.id, row.programs) == (1, "p", hostile)
        assert Programs(path, problems).count() == 4
