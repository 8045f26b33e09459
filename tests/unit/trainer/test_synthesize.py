"""`gradebox synthesize` and `gradebox sample`, as a user runs them, on a server that answers from memory."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from tests.pipeline.replay import Faults, ReplayServer
from tests.waiting import wait_until

from gradebox_engine.cli import main

SEEDS: list[dict[str, Any]] = [
    {"id": "double", "code": "def double(x):\n    return 2 * x\n", "entry_point": "double"},
    {"id": "fetch", "code": "import requests\n\ndef fetch(url):\n    return requests.get(url).text\n"},
    {"id": "again", "code": "def double(x):\n    return 2 * x\n"},
    {"code": "def half(x):\n    return x // 2\n", "instruction": "Halve a number."},
    {"id": "published", "code": "def published(x):\n    return x\n"},
    {"id": "garbled", "code": "def garbled(x):\n    return x\n"},
]
TESTS = {
    "double": [f"assert double({n}) == {2 * n}" for n in range(8)] + ["assert double(y) == 2"],
    "half": [f"assert half({n}) == {n // 2}" for n in range(4)],
    "published": [f"assert published({n}) == {n}" for n in range(8)],
}
QUESTIONS = {
    "double": "Write a function double(x) that returns two times a whole number.",
    "half": "Write a function half(x) that returns the half of a whole number, rounded down.",
    "published": "Given one number x, published should hand back that same number without changing it in any way.",
}


def answers(prompt: str) -> list[str]:
    name = next((name for name in TESTS if f"def {name}" in prompt), None)
    if name is None:
        return ["I do not know."]
    return [json.dumps({"question": QUESTIONS[name], "entry_point": name, "tests": TESTS[name]})]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_seeds_become_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = write(tmp_path / "seeds.jsonl", SEEDS)
    suite = write(tmp_path / "suite.jsonl", [{"id": "suite/7", "prompt": QUESTIONS["published"]}])
    output = tmp_path / "problems.jsonl"
    with ReplayServer(answers) as server:
        command = ["synthesize", str(seeds), "-o", str(output), "--model", "m", "--endpoint", server.url, "--json",
                   "--evaluation", str(suite), "--prices", "1,2", "--cpu-time", "2"]  # fmt: skip
        assert main(command) == 0
        summary = json.loads(capsys.readouterr().out)
        first = output.read_bytes()
        assert main(command) == 0
        assert output.read_bytes() == first
        assert server.seen.answers == 4  # the second run asked for nothing

    (problem,) = read(output)
    assert problem["id"] == "double" and problem["entry_point"] == "double"
    assert problem["question"] == QUESTIONS["double"]
    assert problem["tests"] == TESTS["double"][:8]
    assert problem["limits"] == {"cpu_time_s": 2.0}
    assert problem["meta"] == {"seed": "double", "model": "m", "answers": 1, "votes": [1] * 8}
    assert (summary["seeds"], summary["problems"], summary["tests"]) == (6, 1, 8)
    assert summary["dropped_seeds"] == {"needs what a test has not": 1, "a duplicate": 1}
    assert summary["dropped_answers"] == {"neither JSON nor a question with a block of tests": 1}
    assert summary["dropped_problems"] == {"fewer than 5 tests": 1, "overlaps with an evaluation": 1}
    assert summary["dropped_tests"] == {"not constant": 1}
    assert summary["model"]["answers"] == 4 and summary["model"]["cost_usd"] > 0
    dropped = {(row["seed"], row["detail"]) for row in read(tmp_path / "problems.dropped.jsonl")}
    assert {("fetch", "imports requests"), ("published", "suite/7"), ("garbled", "")} <= dropped
    # The prompt is told of the instruction and of the name to keep, and of neither where there is none.
    prompts = [request["messages"][-1]["content"] for request in server.seen.requests]
    assert ["<instruction>\nHalve a number.\n</instruction>" in prompt for prompt in prompts] == [
        "def half" in prompt for prompt in prompts
    ]
    assert sum("assert double(...)" in prompt for prompt in prompts) == 1


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"id": "a"}, "seeds.jsonl:7: code: missing"),
        ({"code": 1}, "seeds.jsonl:7: code: must be a string, is a number"),
        ({"code": "x = 1", "id": "double"}, "seeds.jsonl:7: id: 'double' is already the id of line 1"),
    ],
)
def test_bad_seeds(row: dict[str, Any], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = write(tmp_path / "seeds.jsonl", [*SEEDS, row])

    assert (
        main(["synthesize", str(seeds), "-o", str(tmp_path / "p.jsonl"), "--model", "m", "--endpoint", "http://x"]) == 2
    )
    assert words in capsys.readouterr().err


def test_a_model_that_refuses_everything_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = write(tmp_path / "seeds.jsonl", SEEDS)
    with ReplayServer(lambda prompt: None) as server:
        command = ["synthesize", str(seeds), "-o", str(tmp_path / "p.jsonl"), "--model", "m", "--endpoint", server.url]
        assert main(command) == 1

    assert "every request was refused: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--endpoint (or OPENAI_BASE_URL) says where the model is"),
        (("--backend", "oracle"), "--backend must be one of"),
        (("--endpoint", "http://x", "--prices", "1"), "--prices must be two numbers"),
    ],
)
def test_bad_options(
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    seeds = write(tmp_path / "seeds.jsonl", SEEDS)

    assert main(["synthesize", str(seeds), "-o", str(tmp_path / "p.jsonl"), "--model", "m", *options]) == 2
    assert words in capsys.readouterr().err


def test_an_interrupted_run_keeps_its_answers_and_goes_on(tmp_path: Path) -> None:
    seeds = write(tmp_path / "seeds.jsonl", [{"code": f"def double(x):\n    return {n} * x\n"} for n in range(30)])
    output, kept = tmp_path / "problems.jsonl", tmp_path / "problems.answers.jsonl"
    with ReplayServer(answers, Faults(delay_s=0.05)) as server:
        command = [sys.executable, "-m", "gradebox_engine", "synthesize", str(seeds), "-o", str(output), "--model", "m",
                   "--endpoint", server.url, "--concurrency", "2", "--near-duplicate", "1"]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert wait_until(lambda: kept.exists() and kept.read_bytes().count(b"\n") >= 3, 180)
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=180)[1]
        assert process.returncode == 130
        assert "30 answers are kept; the same command goes on" in said
        assert not output.exists()
        there = len(read(kept))
        subprocess.run(command, check=True)
        # What was under way when the run was interrupted was answered, too, but nobody was there to keep it.
        assert server.seen.answers - 30 <= 2

    assert there < 30 and len(read(kept)) == 30
    assert len(read(output)) == 1  # all the same question


PROBLEMS: list[dict[str, Any]] = [
    {"id": "a", "question": "Write f, which is one.", "entry_point": "f", "tests": ["assert f() == 1"]},
    {"id": "b", "prompt": "Print what you read.", "tests": [{"stdin": "1", "expected_stdout": "1"}]},
]


def programs(prompt: str) -> list[str]:
    if "Print what you read" in prompt:
        return ["```python\nprint(input())\n```", "I cannot."]
    assert "Write a Python program that defines `f`." in prompt
    return [f"Here:\n```python\ndef f():\n    return {n}\n```\nThere." for n in range(4)]


def test_programs_of_several_generators_in_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems = write(tmp_path / "problems.jsonl", PROBLEMS)
    output = tmp_path / "programs.jsonl"
    with ReplayServer(programs) as server:
        base = ["sample", str(problems), "-o", str(output), "--endpoint", server.url, "--json"]
        assert main([*base, "--model", "one", "-n", "3"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert main([*base, "--model", "two", "-n", "2", "--generator", "second"]) == 0
        assert main([*base, "--model", "one", "-n", "4"]) == 0
        assert server.seen.answers == 6 + 4 + 2

    assert (summary["programs"], summary["without_code"], summary["problems"]) == (5, 1, 2)
    rows = read(output)
    assert [(row["generator"], row["id"], len(row["programs"])) for row in rows] == [
        ("second", "a", 2), ("second", "b", 1), ("one", "a", 4), ("one", "b", 2),
    ]  # fmt: skip
    assert rows[2]["programs"][3] == "def f():\n    return 3\n"
    assert rows[3]["meta"]["without_code"] == 2


def test_greedy_sampling_asks_once(tmp_path: Path) -> None:
    problems = write(tmp_path / "problems.jsonl", PROBLEMS)
    with ReplayServer(programs) as server:
        command = [
            "sample",
            str(problems),
            "-o",
            str(tmp_path / "p.parquet"),
            "--endpoint",
            server.url,
            "--model",
            "one",
        ]
        assert main([*command, "--temperature", "0"]) == 0

    assert server.seen.answers == 2


def test_a_problem_without_a_text_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems = write(tmp_path / "problems.jsonl", [*PROBLEMS, {"id": "c"}])

    command = ["sample", str(problems), "-o", str(tmp_path / "p.jsonl"), "--endpoint", "http://x", "--model", "one"]
    assert main(command) == 2
    assert "problems.jsonl:3: question: missing" in capsys.readouterr().err
