"""Published data sets: what each format becomes, what is refused, and that nothing in them is executed."""

import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from gradebox_command.problem_rows import FieldError, check_problem
from gradebox_engine.cli import main
from gradebox_trainer.published import Imported, detect, readers
from gradebox_trainer.published.acecode import program_of
from gradebox_trainer.published.contests import unpickled_text
from gradebox_trainer.published.functions import split_check

CHECK = """

METADATA = {'author': 'us', 'dataset': 'test'}

import math

def check(candidate):
    \"\"\"Checks.\"\"\"
    assert candidate(1) == 2, "one"
    assert math.isclose(candidate(0.5), 1.5)
    assert True, "This prints if this assert fails"
"""

HUMANEVAL = {
    "task_id": "HumanEval/999",
    "prompt": "def add_one(x):\n    ...\n",
    "entry_point": "add_one",
    "canonical_solution": "    return x + 1\n",
    "test": CHECK,
}
MBPP = {
    "task_id": 7,
    "text": "Write a function to add one.",
    "code": "def add_one(x):\n    return x + 1",
    "test_list": ["assert add_one(1) == 2"],
    "test_setup_code": "import math",
    "challenge_test_list": ["assert add_one(-1) == 0"],
}
BIGCODEBENCH = {
    "task_id": "BigCodeBench/9",
    "complete_prompt": "import math\ndef task_func(x):\n",
    "instruct_prompt": "Add one.",
    "code_prompt": "import math\ndef task_func(x):\n",
    "canonical_solution": "    return x + 1\n",
    "test": "import unittest\nclass TestCases(unittest.TestCase):\n    def test_it(self):\n        pass\n",
    "entry_point": "task_func",
    "libs": "['math']",
}
APPS: dict[str, Any] = {
    "problem_id": 12,
    "question": "Add.",
    "solutions": json.dumps(["print(1 + int(input()))"]),
    "input_output": json.dumps({"inputs": ["1\n", ["1", "2"]], "outputs": ["2\n", ["3"]]}),
    "difficulty": "introductory",
    "starter_code": "",
}
APPS_CALL = {
    **APPS,
    "input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [[3], [7]]}),
}
PUBLIC = json.dumps([{"input": "1\n", "output": "2", "testtype": "stdin"}])
LIVECODEBENCH = {
    "question_title": "t",
    "question_content": "Add one.",
    "platform": "atcoder",
    "question_id": "abc_a",
    "contest_date": "2024-01-01T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": PUBLIC,
    "private_test_cases": "",
    "metadata": "{}",
}
BLOCK = "Here:\n```python\ndef f(x): return 0\n```\n"
ACECODE = {
    "id": "oss_1",
    "source": "oss",
    "question": "Add one.",
    "test_cases": ["assert f(1) == 2", "assert f(2) == 3"],
    "inferences": [
        {"model_name": "m", "completion_id": 0, "completion": "def f(x): return x + 1", "pass_rate": 1.0},
        {"model_name": "n", "completion_id": 0, "completion": "def f(x): return 2", "pass_rate": 0.5},
        {"model_name": "m", "completion_id": 1, "completion": BLOCK, "pass_rate": 0.0},
    ],
    "context_messages": [{"content": "Add one.", "role": "user"}],
}
PAIR = {
    "instruction": "Add one.",
    "input": "",
    "chosen": "```python\ndef f(x): return x + 1\n```",
    "rejected": "def f(x): return x",
    "id": 3,
}
ALL: dict[str, dict[str, Any]] = {
    "humaneval": HUMANEVAL,
    "mbpp": MBPP,
    "bigcodebench": BIGCODEBENCH,
    "apps": APPS,
    "livecodebench": LIVECODEBENCH,
    "acecode": ACECODE,
    "acecode-pairs": PAIR,
}


def read(row: dict[str, Any]) -> Imported:
    return readers()[detect(row)][1](row)


@pytest.mark.parametrize("name", ALL)
def test_every_format_is_told_by_its_fields_and_gives_a_problem_that_can_be_graded(name: str) -> None:
    assert detect(ALL[name]) == name
    imported = read(ALL[name])
    if name != "acecode-pairs":
        check_problem(imported.row)


def test_humaneval_asserts_become_tests() -> None:
    imported = read(HUMANEVAL)
    assert imported.row["tests"] == ["assert add_one(1) == 2, 'one'", "assert math.isclose(add_one(0.5), 1.5)"]
    assert imported.row["test_setup"] == "import math"
    assert imported.programs == [
        {"id": "HumanEval/999", "programs": ["def add_one(x):\n    ...\n    return x + 1\n"], "generator": "canonical"}
    ]


@pytest.mark.parametrize(
    "body",
    [
        "    for x in range(3):\n        assert candidate(x) == x + 1",
        "    y = 1\n    assert candidate(y) == 2",
        "    assert True",
        "    return (((",
    ],
)
def test_a_check_that_is_more_than_asserts_stays_whole(body: str) -> None:
    test = f"def check(candidate):\n{body}\n"
    assert split_check(test, "f") == ("", [f"{test}\n\ncheck(f)\n"])


def test_mbpp() -> None:
    imported = read(MBPP)
    assert imported.row == {
        "id": "MBPP/7",
        "prompt": "Write a function to add one.",
        "tests": ["assert add_one(1) == 2", "assert add_one(-1) == 0"],
        "test_setup": "import math",
        "entry_point": "add_one",
    }
    plus = read({**MBPP, "task_id": "7", "prompt": "Add.", "test": "inputs = [1]\nassert add_one(1) == 2\n"})
    assert plus.row["tests"] == ["inputs = [1]\nassert add_one(1) == 2\n"]


def test_apps() -> None:
    assert read(APPS).row["tests"] == [
        {"stdin": "1\n", "expected_stdout": "2\n"},
        {"stdin": "1\n2", "expected_stdout": "3"},
    ]
    called = read(APPS_CALL).row
    assert called["entry_point"] == "add"
    assert called["tests"][0] == {"call": {"args": [1, 2]}, "expected": 3}


def test_livecodebench_functional() -> None:
    case = {"input": '[1, 2]\n"a"', "output": "[3]", "testtype": "functional"}
    row = {**LIVECODEBENCH, "public_test_cases": json.dumps([case]), "metadata": '{"func_name": "go"}'}
    imported = read(row).row
    assert imported["entry_point"] == "go"
    assert imported["tests"] == [{"call": {"args": [[1, 2], "a"]}, "expected": [3]}]


@pytest.mark.parametrize("protocol", range(6))
def test_livecodebench_private_cases_are_read_and_not_unpickled(protocol: int) -> None:
    private = json.dumps([{"input": "5", "output": "6", "testtype": "stdin"}] * 40)
    packed = base64.b64encode(zlib.compress(pickle.dumps(private, protocol))).decode()
    row = read({**LIVECODEBENCH, "private_test_cases": packed}).row
    assert len(row["tests"]) == 41
    assert read({**LIVECODEBENCH, "private_test_cases": private}).row == row


class Attack:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/gradebox-was-unpickled",)


@pytest.mark.parametrize("value", [Attack(), ["a", "b"], {"a": Attack()}, b"bytes", 7])
def test_a_pickle_of_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        unpickled_text(pickle.dumps(value))
    packed = base64.b64encode(zlib.compress(pickle.dumps(value))).decode()
    with pytest.raises(FieldError, match="neither JSON nor what LiveCodeBench packs"):
        read({**LIVECODEBENCH, "private_test_cases": packed})
    assert not Path("/tmp/gradebox-was-unpickled").exists()


@pytest.mark.parametrize("packed", [b"no zlib", zlib.compress(b"(")])
def test_damaged_private_cases_are_refused(packed: bytes) -> None:
    for text in (base64.b64encode(packed).decode(), "%%%"):
        with pytest.raises(FieldError):
            read({**LIVECODEBENCH, "private_test_cases": text})


def test_acecode() -> None:
    imported = read(ACECODE)
    assert imported.row["tests"] == ACECODE["test_cases"]
    assert [(row["generator"], row["programs"], row["meta"]) for row in imported.programs] == [
        ("m", ["def f(x): return x + 1", "def f(x): return 0\n"], {"published_pass_rates": [1.0, 0.0]}),
        ("n", ["def f(x): return 2"], {"published_pass_rates": [0.5]}),
    ]
    assert read(PAIR).row == {
        "id": "3",
        "prompt": "Add one.",
        "chosen": "def f(x): return x + 1\n",
        "rejected": "def f(x): return x",
    }
    assert program_of("x = 1") == "x = 1"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"a": 1}, ""),
        ({"task_id": "x", "base_input": [], "plus_input": []}, "test"),
        ({**HUMANEVAL, "entry_point": "a b"}, "entry_point"),
        ({**MBPP, "test_list": [], "challenge_test_list": []}, "test_list"),
        ({**APPS, "input_output": "{"}, "input_output"),
        ({**APPS, "input_output": ""}, "input_output"),
        ({**LIVECODEBENCH, "public_test_cases": "[]"}, "public_test_cases"),
        ({**LIVECODEBENCH, "public_test_cases": '[{"input": "", "output": "", "testtype": "x"}]'}, "public_test_cases"),
        ({**ACECODE, "test_cases": [1]}, "test_cases"),
        ({**ACECODE, "inferences": [{"completion": None}]}, "inferences[0].completion"),
    ],
)
def test_wrong_rows_are_told_by_field(row: dict[str, Any], field: str) -> None:
    with pytest.raises(FieldError) as caught:
        read(row)
    assert caught.value.field == field


# The commands.


def test_import_writes_problems_and_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published = tmp_path / "published.jsonl"
    published.write_text(json.dumps(ACECODE) + "\n" + json.dumps({**ACECODE, "id": "oss_2"}) + "\n")
    argv = [
        "import",
        str(published),
        "-o",
        str(tmp_path / "p.jsonl"),
        "--programs",
        str(tmp_path / "g.jsonl"),
        "--json",
    ]
    assert main(argv) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["tests"], summary["programs"]) == (2, 4, 6)
    assert len((tmp_path / "g.jsonl").read_text().splitlines()) == 4
    published.write_text(json.dumps(ACECODE) + "\n{}\n")
    assert main(argv) == 2
    assert f"{published}:2: none of the formats" in capsys.readouterr().err
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 2  # as it was


def test_apps_folders(tmp_path: Path) -> None:
    folder = tmp_path / "APPS" / "train" / "0042"
    folder.mkdir(parents=True)
    (folder / "question.txt").write_text("Add.")
    (folder / "input_output.json").write_text(APPS["input_output"])
    (folder / "solutions.json").write_text(APPS["solutions"])
    assert main(["import", str(tmp_path / "APPS"), "-o", str(tmp_path / "p.jsonl")]) == 0
    assert json.loads((tmp_path / "p.jsonl").read_text())["id"] == "APPS/42"


def test_export_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours to AceCode's columns, with a card, and back: the same problems and programs."""
    from tests.unit.trainer.test_report import label, write

    stdin = {"id": "s", "tests": [{"stdin": "", "expected_stdout": ""}]}
    rows: dict[str, list[dict[str, Any]]] = {
        "problems": [{"id": "p", "prompt": "Add.", "tests": ["assert f(1) == 2"]}, stdin],
        "programs": [{"id": "p", "programs": ["good", "bad"], "generator": "m"}, {"id": "s", "programs": ["x"]}],
        "labels": [label("good", ["PASSED"]), label("bad", ["WRONG_ANSWER"]), label("x", ["PASSED"], id="s")],
    }
    files = {name: str(write(tmp_path / f"{name}.jsonl", found)) for name, found in rows.items()}
    out = tmp_path / "data set"
    texts = [f"--problems={files['problems']}", f"--programs={files['programs']}"]
    argv = ["export", files["labels"], "-o", str(out), *texts]
    assert main(argv) == 0
    assert "1 problems left out, since AceCode's columns hold assert tests only: s" in capsys.readouterr().err
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlicense: other\n")
    assert 'pretty_name: "data set"' in card and "| test_cases | list" in card
    back = ["import", str(out / "data"), "-o", str(tmp_path / "p.jsonl"), "--programs", str(tmp_path / "g.jsonl")]
    assert main(back) == 0
    assert json.loads((tmp_path / "p.jsonl").read_text())["tests"] == ["assert f(1) == 2"]
    assert json.loads((tmp_path / "g.jsonl").read_text())["programs"] == ["good", "bad"]
