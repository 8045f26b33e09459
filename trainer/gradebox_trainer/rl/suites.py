"""Suites for `gradebox evaluate`: a file by its path, or one of those that are published by its name in a folder.

Files are taken as they are published (see `gradebox_trainer.published`) or as problems files; nothing is downloaded.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradebox_command.errors import BadArgument, InputError
from gradebox_command.problem_rows import FieldError, check_problem
from gradebox_trainer.published import detect, readers
from gradebox_trainer.published.importing import published_rows
from gradebox_trainer.rl.prompts import question

NAMES = ("humaneval", "humaneval+", "mbpp", "mbpp+", "livecodebench", "bigcodebench")
_SUFFIXES = ("", ".jsonl", ".jsonl.gz", ".parquet")
_SHOWN_TESTS, _SHOWN_CHARACTERS = 3, 300


def suite_file(suite: str, folder: Path | None) -> Path:
    """The file, or the folder, of a suite: the path that `suite` is, or NAME (+ written plus) in `folder`.

    Raises:
        BadArgument: there is none.
    """
    if suite not in NAMES:
        path = Path(suite)
        if path.exists():
            return path
        raise BadArgument(f"--suite {suite!r} is no file, and none of {', '.join(NAMES)}")
    if folder is None:
        raise BadArgument(f"--suite {suite} needs --data DIR: the folder with its file, as published")
    name = suite.replace("+", "plus")
    for suffix in _SUFFIXES:
        if (path := folder / (name + suffix)).exists():
            return path
    raise BadArgument(f"{folder} has no {name}.jsonl, .jsonl.gz, .parquet or folder {name}")


def read_suite(path: Path, *, published: bool = True) -> list[dict[str, Any]]:
    """Rows of problems, checked, each with what the model reads in `prompt`.

    published: what a problem's text leaves out is added, see `asked`; else a problems file's texts are what is asked,
    as in training.

    Raises:
        InputError: which line, which field, what is wrong.
    """
    rows: list[dict[str, Any]] = []
    for line, row in published_rows(path):
        try:
            own = "tests" in row and "id" in row
            problem = dict(row) if own else _imported(row)
            checked = check_problem(problem)
            if not question(problem):
                raise FieldError("prompt", "missing: there is nothing for the model to read")
        except FieldError as error:
            raise InputError(path, line, error.field, error.problem) from None
        rows.append({**problem, **checked, "prompt": question(problem) if own and not published else asked(problem)})
    if not rows:
        raise InputError(path, None, "", "there is no problem in it")
    return rows


def asked(problem: Mapping[str, Any]) -> str:
    """A problem's text; where it does not say what the function is called (MBPP), with the first of its tests, as
    MBPP's authors ask."""
    text, name = question(problem), problem.get("entry_point")
    if not name or re.search(rf"\b{re.escape(str(name))}\b", text):
        return text
    shown = [test for test in problem["tests"] if isinstance(test, str) and len(test) <= _SHOWN_CHARACTERS]
    tests = "\n".join(shown[:_SHOWN_TESTS]) or f"(a function called {name})"
    return f"{text}\nYour code should pass these tests:\n\n{tests}\n"


def _imported(row: Mapping[str, Any]) -> dict[str, Any]:
    return readers()[detect(row)][1](row).row
