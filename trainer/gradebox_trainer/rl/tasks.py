"""Problems as the loop takes them: what the model reads beside what the engine is asked."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradebox
from gradebox_command.errors import InputError
from gradebox_command.problem_rows import FieldError, check_problem
from gradebox_command.rows import read_rows
from gradebox_trainer.rl.prompts import prompt_ids, question


@dataclass(frozen=True, slots=True)
class Task:
    """One problem: its id, its text, the prompt's tokens, and what answers are graded by.

    `group` is its row's `meta.split`, if it has one: evaluations are reported for each group, too.
    """

    id: str
    text: str
    prompt: tuple[int, ...]
    problem: gradebox.Problem
    group: str = ""


def read_problem_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a problems file, checked.

    Raises:
        InputError: which line, which field, what is wrong.
    """
    rows: list[dict[str, Any]] = []
    for line, row in read_rows(path):
        try:
            checked = check_problem(row)
        except FieldError as error:
            raise InputError(path, line, error.field, error.problem) from None
        if not question(row):
            raise InputError(path, line, "prompt", "missing: there is nothing for the model to read")
        rows.append({**row, **checked})
    if not rows:
        raise InputError(path, None, "", "there is no problem in it")
    return rows


def make_tasks(
    rows: Iterable[Mapping[str, Any]], tokenizer: Any, format: str, *, min_seal: str | None, max_prompt_tokens: int
) -> tuple[list[Task], int]:
    """Tasks, and how many problems were left out because their prompts are too long."""
    tasks: list[Task] = []
    too_long = 0
    for row in rows:
        prompt = prompt_ids(row, format, tokenizer)
        if len(prompt) > max_prompt_tokens:
            too_long += 1
            continue
        problem = gradebox.Problem.from_dict({**row, "min_seal": min_seal})
        meta = row.get("meta")
        group = str(meta.get("split") or "") if isinstance(meta, Mapping) else ""
        tasks.append(Task(str(row["id"]), question(row), tuple(prompt), problem, group))
    return tasks, too_long


def tasks_of_step(tasks: Sequence[Task], per_step: int, step: int, seed: int) -> list[Task]:
    """The tasks of a step (from 0): a function of seed and step alone. Each pass over the tasks has an order of its
    own, and a step may take the end of one pass and the beginning of the next."""
    chosen: list[Task] = []
    place = step * per_step
    while len(chosen) < per_step:
        epoch, start = divmod(place, len(tasks))
        order = list(range(len(tasks)))
        random.Random(f"{seed}/{epoch}").shuffle(order)
        taken = order[start : start + per_step - len(chosen)]
        chosen += [tasks[index] for index in taken]
        place += len(taken)
    return chosen
