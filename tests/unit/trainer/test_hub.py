"""Hugging Face `datasets`, both ways."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import in_ci
from tests.unit.trainer.test_published import ACECODE
from tests.unit.trainer.test_report import label, write

from gradebox_command.errors import InputError
from gradebox_engine.cli import main

try:
    import datasets
except ImportError:
    if in_ci():
        raise
    pytest.skip("NOT TESTED: datasets is not installed: make setup-test", allow_module_level=True)

from gradebox_trainer.hub import from_dataset, to_dataset

pytestmark = pytest.mark.filterwarnings("default")  # of datasets and what it imports


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_labels_to_a_dataset_and_back(tmp_path: Path, suffix: str) -> None:
    rows = [label(f"{n}", ["PASSED", "WRONG_ANSWER"], generator="g") for n in range(5)]
    path = tmp_path / f"labels{suffix}"
    assert from_dataset(datasets.Dataset.from_list(rows), path) == 5
    made = to_dataset(path)
    assert made.num_rows == 5
    assert made[3]["tests"] == rows[3]["tests"]
    assert main(["report", str(path), "-o", str(tmp_path / "r.html")]) == 0


def test_a_folder_of_shards_is_one_dataset(tmp_path: Path) -> None:
    for number in range(2):
        from_dataset(datasets.Dataset.from_list([{"id": str(number)}]), tmp_path / f"labels-{number}.parquet")
    assert to_dataset(tmp_path)["id"][:] == ["0", "1"]


def test_tests_of_several_kinds(tmp_path: Path) -> None:
    """Kept where `datasets` has a type for them (version 5: JSON), else refused with a reason."""
    mixed: list[dict[str, Any]] = [{"tests": ["a"]}, {"tests": [{"stdin": "x"}]}]
    path = write(tmp_path / "p.jsonl", mixed)
    try:
        made = to_dataset(path)
    except InputError as error:
        assert "does not fit a Dataset" in str(error)
    else:
        assert list(made) == mixed


def test_rows_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("nonsense\n")
    with pytest.raises(InputError, match=r"q\.jsonl:1: not JSON"):
        to_dataset(tmp_path / "q.jsonl")


def test_what_datasets_saved_is_imported(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    datasets.DatasetDict({"train": datasets.Dataset.from_list([ACECODE])}).save_to_disk(str(saved))
    assert main(["import", str(saved), "-o", str(tmp_path / "p.jsonl")]) == 0
    assert json.loads((tmp_path / "p.jsonl").read_text())["id"] == "oss_1"


def test_an_exported_folder_loads_with_its_card(tmp_path: Path) -> None:
    files = {
        "problems": [{"id": "p", "prompt": "Add.", "tests": ["assert f(1) == 2", "assert f(2) == 3"]}],
        "programs": [{"id": "p", "programs": ["good", "bad"], "generator": "m"}],
        "labels": [label("good", ["PASSED", "PASSED"]), label("bad", ["PASSED", "WRONG_ANSWER"])],
    }
    paths = {name: str(write(tmp_path / f"{name}.jsonl", rows)) for name, rows in files.items()}
    texts = [f"--problems={paths['problems']}", f"--programs={paths['programs']}"]
    assert main(["export", paths["labels"], "-o", str(tmp_path / "out"), *texts]) == 0
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [each["pass_rate"] for each in loaded[0]["inferences"]] == [1.0, 0.5]
    assert main(["pairs", paths["labels"], "-o", str(tmp_path / "pairs"), *texts, "--validation", "0"]) == 0
    pairs = datasets.load_dataset(str(tmp_path / "pairs"), cache_dir=str(tmp_path / "cache"))
    assert set(pairs) == {"train"}
