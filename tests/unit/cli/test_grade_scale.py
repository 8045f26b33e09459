"""`gradebox grade` on much data: shards, the ledger, the same program twice, resuming; with a client that answers."""

import json
import sqlite3
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.unit.cli.test_grade import Client, Work

import gradebox


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(tmp_path, monkeypatch)


@pytest.fixture
def folder(work: Work) -> Work:
    work.labels = work.folder / "labels"
    work.slash = "/"
    return work


def shards(work: Work) -> list[str]:
    return sorted(path.name for path in work.labels.iterdir() if path.name[0] != "_")


def test_the_same_program_with_the_same_tests_is_graded_once(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    work.problems([{"id": "p", "tests": ["x"]}, {"id": "q", "tests": ["x"]}, {"id": "r", "tests": ["y"]}])
    work.programs(
        [
            {"id": "p", "programs": ["pass", "pass", "fail"], "generator": "a"},
            {"id": "r", "programs": ["pass"]},
            {"id": "p", "programs": ["fail", "pass"], "meta": {"generator": "b"}},
        ]
    )
    client = Client()
    assert work.grade("--json", client=client) == 0
    assert sorted(client.programs) == ["fail", "pass", "pass"]  # once for p, once for r: other tests
    rows = work.rows()
    assert [(row["id"], row["program_index"], row["pass_rate"]) for row in rows] == [
        ("p", 0, 1.0),
        ("p", 1, 1.0),
        ("p", 2, 0.0),
        ("r", 0, 1.0),
        ("p", 0, 0.0),
        ("p", 1, 1.0),
    ]
    assert [row.get("generator") for row in rows] == ["a", "a", "a", None, "b", "b"]
    summary = json.loads(capsys.readouterr().out)
    assert (summary["submissions"], summary["graded"]) == (6, 3)
    assert not list(work.folder.glob("*.ledger*"))  # the file is complete


@pytest.mark.parametrize("format", ["parquet", "jsonl", "jsonl.gz"])
def test_shards_hold_the_rows_in_order(folder: Work, format: str) -> None:
    assert folder.grade("--shard-rows", "10", "--shard-format", format) == 0
    assert shards(folder) == [f"labels-0000{n}.{format}" for n in range(3)]
    places = [(row["id"], row["program_index"]) for row in folder.rows()]
    assert places == [*(("p", i) for i in range(20)), ("q", 0), ("q", 1), ("p", 0)]
    manifest = json.loads((folder.labels / "_manifest.json").read_text())
    assert manifest["counts"]["submissions"] == 23
    assert manifest["counts"]["verdicts"] == {"PASSED": 20, "WRONG_ANSWER": 3}
    assert manifest["inputs"]["programs"]["path"] == str(folder.folder / "programs.jsonl")
    assert manifest["settings"]["images"] == {"python": "sha256:0"}
    if format == "parquet":
        assert pq.read_table(folder.labels / "labels-00000.parquet").num_rows == 10


def test_a_folder_with_labels_is_not_overwritten(folder: Work, capsys: pytest.CaptureFixture[str]) -> None:
    assert folder.grade() == 0
    before = (folder.labels / "labels-00000.parquet").read_bytes()
    assert folder.grade() == 2
    assert "has labels: --resume goes on with them" in capsys.readouterr().err
    assert (folder.labels / "labels-00000.parquet").read_bytes() == before


def test_what_an_engine_gave_is_not_graded_again(folder: Work) -> None:
    """Two of four units are answered, then the engine fails: no shard is full, the ledger has both."""
    client = Client(lasts=2, error=gradebox.Unavailable("gone"))
    assert folder.grade("--shard-rows", "1000", client=client) == 1
    assert shards(folder) == []
    assert len(client.programs) == 20
    rest = Client()
    assert folder.grade("--shard-rows", "1000", "--resume", client=rest) == 0
    assert rest.programs == ["\x00", "\ud800", "one more"]
    assert len(folder.rows()) == 23


def test_a_half_written_shard_is_written_again(folder: Work) -> None:
    folder.grade("--shard-rows", "10")
    whole = folder.rows()
    last = folder.labels / "labels-00002.parquet"
    last.rename(folder.labels / ".labels-00002.parquet.tmp")  # as a kill -9 before the rename leaves it
    client = Client()
    assert folder.grade("--shard-rows", "10", "--resume", client=client) == 0
    assert client.programs == []
    assert folder.rows() == whole
    assert shards(folder) == [f"labels-0000{n}.parquet" for n in range(3)]


def test_a_missing_shard_is_told(folder: Work, capsys: pytest.CaptureFixture[str]) -> None:
    folder.grade("--shard-rows", "10")
    (folder.labels / "labels-00001.parquet").unlink()
    assert folder.grade("--resume") == 2
    assert "should be labels-00001.parquet: a shard is missing" in capsys.readouterr().err


@pytest.mark.parametrize("slash", ["", "/"])
def test_changed_tests_are_told(work: Work, slash: str, capsys: pytest.CaptureFixture[str]) -> None:
    work.labels, work.slash = work.folder / "labels", slash
    client = Client(lasts=2, error=gradebox.Unavailable("gone"))
    assert work.grade("--shard-rows", "10", client=client) == 1
    work.problems([{"id": "p", "tests": ["x"], "limits": {"cpu_time_s": 1}}, {"id": "q", "tests": ["x"]}])
    capsys.readouterr()
    assert work.grade("--resume") == 2
    said = capsys.readouterr().err
    assert ":1: tests: made with other tests or settings than 'p' has now: --resume goes on with the same input" in said
    assert said.count("\n") == 1


def test_changed_settings_are_told(folder: Work, capsys: pytest.CaptureFixture[str]) -> None:
    folder.grade()
    assert folder.grade("--resume", "--stop-early") == 2
    assert "made with other tests or settings" in capsys.readouterr().err


def test_fewer_programs_are_told(folder: Work, capsys: pytest.CaptureFixture[str]) -> None:
    folder.grade()
    folder.programs([{"id": "p", "programs": ["pass 0"]}])
    assert folder.grade("--resume") == 2
    assert "labels-00000.parquet:2: id: the input has only 1 programs" in capsys.readouterr().err


def test_programs_that_were_added_are_graded(folder: Work) -> None:
    folder.grade()
    with (folder.folder / "programs.jsonl").open("a") as file:
        file.write('\n{"id": "q", "programs": ["pass and new", "\\u0000"]}\n')
    client = Client()
    assert folder.grade("--resume", client=client) == 0
    assert client.programs == ["pass and new"]
    assert len(folder.rows()) == 25


def test_another_image_is_told(folder: Work, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(lasts=2, error=gradebox.Unavailable("gone"))
    folder.grade(client=client)
    capsys.readouterr()
    assert folder.grade("--resume", client=Client(image="sha256:1")) == 2
    assert "begun with image python@sha256:0, the engine has sha256:1" in capsys.readouterr().err


def test_an_engine_error_is_not_kept_for_the_next_run(folder: Work) -> None:
    folder.programs([{"id": "p", "programs": ["broken", "broken"]}, {"id": "q", "programs": ["pass", "stop"]}])
    client = Client(lasts=1, error=gradebox.Unavailable("gone"))
    assert folder.grade("--shard-rows", "100", client=client) == 1
    assert client.programs == ["broken"]  # once a run
    again = Client()
    assert folder.grade("--shard-rows", "100", "--resume", client=again) == 0
    assert again.programs == ["broken", "pass", "stop"]


def test_a_ledger_of_another_version_is_told(folder: Work, capsys: pytest.CaptureFixture[str]) -> None:
    folder.grade()
    with sqlite3.connect(folder.labels / "_ledger.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert folder.grade("--resume") == 2
    assert "a ledger of another version" in capsys.readouterr().err


def test_folders_of_input(work: Work) -> None:
    work.grade()
    expected = work.rows()
    lines = (work.folder / "programs.jsonl").read_text().splitlines()
    (work.folder / "programs.jsonl").unlink()
    work.folder.joinpath("programs.jsonl").mkdir()
    for number, line in enumerate(lines):
        work.folder.joinpath("programs.jsonl", f"part-{number}.jsonl").write_text(line + "\n")
    work.folder.joinpath("programs.jsonl", "_ignored.jsonl").write_text("nonsense")
    assert work.grade() == 0
    assert work.rows() == expected


def test_without_ray_it_says_what_to_install(
    work: Work, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "gradebox_trainer.ray_grading", raising=False)
    assert work.grade("--ray") == 1
    assert capsys.readouterr().err == "gradebox: --ray needs Ray, which is not installed: pip install 'gradebox[ray]'\n"
