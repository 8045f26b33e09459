"""Published data, or the sample that we wrote, as what a pipeline starts from: seeds, recorded answers, programs.

How recorded answers fit `gradebox synthesize`. They are what models answered when they were asked for tests of a
HumanEval task, and not when they were asked, with our prompt, for a question and tests:
- so the seeds are HumanEval's functions (prompt and solution), and the question of an answer is the task's prompt,
  since the model was given that one;
- the server wraps each recorded text into the second form of an answer that synthesize reads, a question and a block
  of Python, and changes nothing in it. What is no test in it (prose, repeated functions, cut-off lines, asserts of
  another function) is left for synthesize to find.
- code-completion models went on behind the word `assert`, so that word stands in front of theirs.
The seeds of `seeds/` have no recorded answers; they take a model.
"""

import gzip
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parent / "sample"

_QUESTION = "You are given the beginning of a Python function; finish it.\n\n```python\n{prompt}\n```"


@dataclass(frozen=True, slots=True)
class Recording:
    """Answers of one model: file below the data folder, answers a task, and what stands in front of each."""

    model: str
    file: str
    answers: int
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A folder of data.

    Attributes:
        problems: tasks with tests that are trusted, and a solution.
        programs: files of programs that models wrote, each with how many of a row are taken.
        strong: the generator whose programs decide about tests.
        evaluations: suites to keep clear of.
    """

    folder: Path
    problems: str
    recordings: tuple[Recording, ...]
    programs: tuple[tuple[str, int], ...]
    strong: str
    evaluations: tuple[str, ...]


def published(folder: Path) -> Source:
    """HumanEval's tasks with the tests and programs that models wrote for them (CodeT, AgentCoder, and others)."""
    return Source(
        folder,
        "problems/humaneval.jsonl.gz",
        (
            Recording("gpt-3.5-turbo-1106", "gentests/humaneval_gpt35_raw.jsonl.gz", 5),
            Recording("codegen-16B", "gentests/humaneval_codegen16b_raw.jsonl.gz", 100, "assert "),
        ),
        (("samples/humaneval_mixed.jsonl.gz", 100), ("samples/humaneval_codegen16b_n100.jsonl.gz", 20)),
        "gpt-4-0314",
        ("problems/mbpp.jsonl.gz",),
    )


def shipped() -> Source:
    """A small sample of the same shape, all of it written for this repository; no model had a part in it."""
    return Source(
        SAMPLE,
        "problems.jsonl",
        (Recording("recorded", "answers.jsonl", 3),),
        (("programs.jsonl", 100),),
        "strong",
        ("evaluation.jsonl",),
    )


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON Lines."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            yield json.loads(line)


def tasks(source: Source, every: int = 1) -> list[dict[str, Any]]:
    """The tasks, or each n-th of them."""
    return list(rows(source.folder / source.problems))[::every]


def seed(task: dict[str, Any]) -> dict[str, Any]:
    """A task's function as a row of a seeds file."""
    code = task["prompt"] + task["canonical_solution"]
    return {"id": task["id"], "entry_point": task["entry_point"], "code": code}


def recorded(source: Source, recording: Recording) -> dict[str, Sequence[str]]:
    """What the server answers, by the seed's code as it stands in a prompt."""
    texts = {row["id"]: row["samples"] for row in rows(source.folder / recording.file)}
    return {
        seed(task)["code"].strip(): [_answer(task, recording.lead + text) for text in texts[task["id"]]]
        for task in tasks(source)
        if texts.get(task["id"])
    }


def code_in(prompt: str) -> str:
    """The seed's code in a prompt of synthesize."""
    match = re.search(r"<code>\n(.*)\n</code>", prompt, re.DOTALL)
    return match[1] if match else ""


def _answer(task: dict[str, Any], text: str) -> str:
    question = _QUESTION.format(prompt=task["prompt"].strip("\n"))
    return f"{question}\n\n```python\n{text.strip(chr(10))}\n```"
