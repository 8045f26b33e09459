"""Files to question groups: preference pairs, or labels with their programs and problems."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradebox_command.errors import BadArgument, InputError
from gradebox_command.rows import json_kind, read_rows
from gradebox_trainer.reward.groups import Group, GroupBuilder
from gradebox_trainer.reward.settings import PairRule

PROMPT_FIELDS = ("prompt", "question", "instruction")
_RATES = ("pass_rate", "accuracy", "score")
"""Names of a program's pass rate beside a pair: chosen_pass_rate, chosen_accuracy…"""


def is_labels(path: Path) -> bool:
    """Whether the first row of a file is a label.

    Raises:
        InputError: the file has no rows, or cannot be read.
    """
    for _, row in read_rows(path):
        return "program_sha256" in row
    raise InputError(path, None, "", "no rows")


def read_pairs(paths: Sequence[Path]) -> list[Group]:
    """Groups of pairs files, in order of their first pair.

    A row is TRL's preference format or AceCodePair's columns: a prompt, `chosen`, `rejected` (text, or messages), and
    possibly the problem's `id` and pass rates. Rows without are one question where their prompts are the same.

    Raises:
        InputError: a field is missing or of the wrong kind, or both programs are the same.
    """
    builders: dict[str, GroupBuilder] = {}
    for path in paths:
        for line, row in read_rows(path):
            prompt, chosen, rejected = _pair(path, line, row)
            if chosen == rejected:
                raise InputError(path, line, "rejected", "the same program as chosen: no preference; drop the row")
            id = row["id"] if isinstance(row.get("id"), str) else prompt  # AceCodePair's number is the pair's
            builder = builders.setdefault(id, GroupBuilder(id, prompt))
            if builder.prompt != prompt:
                raise InputError(path, line, "prompt", f"not that of an earlier row with the id {id!r}")
            better = builder.program(chosen, _rate(path, line, row, "chosen"))
            builder.pair(better, builder.program(rejected, _rate(path, line, row, "rejected")))
    return [builder.build() for builder in builders.values()]


def read_labels(
    labels: Sequence[Path], programs: Sequence[Path], problems: Sequence[Path], rule: PairRule
) -> list[Group]:
    """Groups of all pairs that keep the rule, in the order of the labels.

    Raises:
        InputError: a row is no label, or its program or problem is not in the files.
    """
    prompts = read_prompts(problems)
    texts = read_program_texts(programs)
    builders: dict[str, GroupBuilder] = {}
    for path in labels:
        for line, row in read_rows(path):
            id, digest, rate = _label(path, line, row)
            if id not in prompts:
                raise InputError(path, line, "id", f"no problem {id!r} in {_names(problems)}")
            text = texts.get((id, digest))
            if text is None:
                raise InputError(path, line, "program_sha256", f"no such program of {id!r} in {_names(programs)}")
            builders.setdefault(id, GroupBuilder(id, prompts[id])).program(text, rate)
    groups = []
    for builder in builders.values():
        builder.apply_rule(**rule.model_dump())
        groups.append(builder.build())
    return [group for group in groups if group.pairs]


def read_prompts(problems: Sequence[Path]) -> dict[str, str]:
    """Prompt by problem id.

    Raises:
        InputError: a row has no id or no prompt.
    """
    prompts = {}
    for path in problems:
        for line, row in read_rows(path):
            prompts[_text(path, line, row, "id")] = prompt_of(path, line, row)
    return prompts


def read_program_texts(programs: Sequence[Path]) -> dict[tuple[str, str], str]:
    """Program by (problem id, SHA-256 as labels have it)."""
    return {(row.id, digest(text)): text for row in program_rows(programs) for text in row.programs}


class ProgramsRow:
    """A row of a programs file: its problem's id, its programs, the whole row, where it stands."""

    __slots__ = ("id", "line", "path", "programs", "row")

    def __init__(self, path: Path, line: int, row: Mapping[str, Any]) -> None:
        self.path = path
        self.line = line
        self.row = row
        self.id = _text(path, line, row, "id")
        programs = row.get("programs")
        if not isinstance(programs, list):
            problem = "missing" if programs is None else f"must be a list, is {json_kind(programs)}"
            raise InputError(path, line, "programs", problem)
        for index, program in enumerate(programs):
            if not isinstance(program, str):
                raise InputError(path, line, f"programs[{index}]", f"must be a string, is {json_kind(program)}")
        self.programs: list[str] = programs


def program_rows(paths: Sequence[Path]) -> Iterator[ProgramsRow]:
    """The rows of programs files.

    Raises:
        InputError: a row is not one of programs.
    """
    for path in paths:
        for line, row in read_rows(path):
            yield ProgramsRow(path, line, row)


def digest(program: str) -> str:
    """A program's SHA-256, as labels have it."""
    return hashlib.sha256(program.encode("utf-8", "surrogatepass")).hexdigest()


def prompt_of(path: Path, line: int, row: Mapping[str, Any]) -> str:
    """The row's prompt, under one of its names; messages are told apart by the last one of a user.

    Raises:
        InputError: it has none.
    """
    for field in PROMPT_FIELDS:
        if row.get(field) is not None:
            return _content(path, line, row, field)
    raise InputError(path, line, "prompt", "missing")


def _pair(path: Path, line: int, row: Mapping[str, Any]) -> tuple[str, str, str]:
    return prompt_of(path, line, row), _content(path, line, row, "chosen"), _content(path, line, row, "rejected")


def _label(path: Path, line: int, row: Mapping[str, Any]) -> tuple[str, str, float | None]:
    rate = row.get("pass_rate")
    if "pass_rate" not in row or not (rate is None or isinstance(rate, int | float)):
        raise InputError(
            path, line, "pass_rate", "missing: not a label" if rate is None else "must be a number or null"
        )
    return _text(path, line, row, "id"), _text(path, line, row, "program_sha256"), rate


def _content(path: Path, line: int, row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    if isinstance(value, list) and value:  # messages: one question, one answer
        last = value[-1]
        if isinstance(last, dict) and isinstance(last.get("content"), str):
            return str(last["content"])
        raise InputError(path, line, f"{field}[{len(value) - 1}].content", "must be a string")
    return _text(path, line, row, field)


def _text(path: Path, line: int, row: Mapping[str, Any], field: str) -> str:
    value = row.get(field)
    if value is None:
        raise InputError(path, line, field, "missing")
    if not isinstance(value, str):
        raise InputError(path, line, field, f"must be a string, is {json_kind(value)}")
    return value


def _rate(path: Path, line: int, row: Mapping[str, Any], side: str) -> float | None:
    for name in _RATES:
        value = row.get(f"{side}_{name}")
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(path, line, f"{side}_{name}", f"must be a number, is {json_kind(value)}")
        return float(value)
    return None


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths)) or "no file"


def read_groups(
    inputs: Sequence[Path], programs: Sequence[Path], problems: Sequence[Path], rule: PairRule
) -> list[Group]:
    """Groups of pairs files, or of labels files with their programs and problems.

    Raises:
        BadArgument: the files that go with labels are missing, or not asked for, or nothing is left.
        InputError: see `read_pairs` and `read_labels`.
    """
    kinds = {is_labels(path) for path in inputs}
    if kinds == {True, False}:
        raise BadArgument("pairs and labels in one run: make pairs of the labels first (gradebox pairs)")
    if kinds == {True}:
        if not programs or not problems:
            raise BadArgument("labels need --programs and --problems: the texts are there")
        groups = read_labels(inputs, programs, problems, rule)
        reason = f"no two programs of a problem keep the rule of pairs ({rule})"
    else:
        if programs or problems:
            raise BadArgument("--programs and --problems go with labels, and the input is pairs")
        groups = read_pairs(inputs)
        reason = "no pairs"
    if not groups:
        raise BadArgument(f"{_names(inputs)}: {reason}")
    return groups
