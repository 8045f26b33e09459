"""The labels file survives every way of ending its writer."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gradebox_command.errors import CommandError, InputError
from gradebox_command.labels import LabelsFile


def label(index: int) -> dict[str, Any]:
    return {
        "id": "p\ud800" if index == 7 else "p",
        "program_index": index,
        "program_sha256": f"{index:064x}",
        "verdict": "PASSED",
        "pass_rate": None if index == 1 else 1.0,
        "tests": [
            {
                "verdict": "PASSED",
                "seal": "SEALED",
                "cpu_time_s": 0.1,
                "wall_time_s": 0.2,
                "memory_bytes": 3,
            }
        ],
        "evidence": ["EARLY_EXIT"] if index == 2 else [],
        "engine": {"version": "1", "image": "python@0", "protections": ["a"]},
    }


@pytest.mark.parametrize("name", ["l.jsonl", "l.jsonl.gz", "l.parquet"])
def test_resume_cuts_a_half_written_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with LabelsFile(path, resume=False) as labels:
        labels.append([label(0), label(1)])
        work = labels.work
    with work.open("ab") as stream:  # as a kill -9 in the middle of a write leaves it
        stream.write(json.dumps(label(2)).encode()[:-1])
    with LabelsFile(path, resume=True) as labels:
        assert [row.program_index for row in labels.written()] == [0, 1]
        labels.append([label(2)])
        labels.finish()
    if name.endswith(".parquet"):
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
        assert [row["tests"][0].pop("message") for row in rows] == [None] * 3
        assert [row.pop("generator") for row in rows] == [None] * 3
    else:
        data = path.read_bytes()
        text = gzip.decompress(data) if name.endswith(".gz") else data
        rows = [json.loads(line) for line in text.splitlines()]
    assert rows == [label(0), label(1), label(2)]
    assert [file.name for file in tmp_path.iterdir()] == [name]
    with LabelsFile(path, resume=True) as labels:
        assert len(list(labels.written())) == 3


def test_without_resume_the_file_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    for _ in range(2):
        with LabelsFile(path, resume=False) as labels:
            assert list(labels.written()) == []
            labels.append([label(7)])
    assert len(path.read_text().splitlines()) == 1


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    with LabelsFile(path, resume=False) as labels:
        labels.append([label(0)])
        with pytest.raises(CommandError, match="another process"):
            LabelsFile(path, resume=False)
    assert path.read_text()


def test_lines_that_are_no_labels_are_told(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_text('{"id": "p"}\n')
    with LabelsFile(path, resume=True) as labels, pytest.raises(InputError) as caught:
        list(labels.written())
    assert str(caught.value) == f"{path}:1: program_index: missing: not a label"
