"""Data sets as they are published, to problems and programs of ours; `gradebox import`.

| format | told by its fields | tests |
|---|---|---|
| acecode (AceCode-87K) | test_cases, inferences | asserts; the inferences are programs, a generator each model |
| humaneval, and evalplus/humanevalplus | entry_point, test | the asserts of its `check`, else all of it as one |
| mbpp (full, sanitized), and evalplus/mbppplus | test_list | asserts; of the plus sets the whole of `test` |
| bigcodebench | complete_prompt, instruct_prompt, test | one unittest module |
| apps | input_output | standard input, or calls where `fn_name` is there |
| livecodebench | public_test_cases, private_test_cases | standard input, or calls where `metadata` has `func_name` |
| acecode-pairs (AceCodePair-300K) | instruction, chosen, rejected | none: pairs, to prompt, chosen, rejected |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradebox_command.problem_rows import FieldError

type Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """What one published row becomes: a row to write, and rows of programs, if it has any."""

    row: dict[str, Any]
    programs: list[dict[str, Any]] = field(default_factory=list)


type Reader = Callable[[Row], Imported]
"""Raises FieldError where a row is not one of its format."""


def readers() -> dict[str, tuple[frozenset[str], Reader]]:
    """Each format's name with the fields that tell it, and its reader; the first that fits is taken."""
    from gradebox_trainer.published import acecode, contests, functions

    return {
        "acecode": (frozenset({"test_cases", "question"}), acecode.problem),
        "acecode-pairs": (frozenset({"instruction", "chosen", "rejected"}), acecode.pair),
        "livecodebench": (frozenset({"question_content", "public_test_cases"}), contests.livecodebench),
        "apps": (frozenset({"input_output", "question"}), contests.apps),
        "bigcodebench": (frozenset({"test", "entry_point", "instruct_prompt"}), functions.bigcodebench),
        "mbpp": (frozenset({"test_list", "task_id"}), functions.mbpp),
        "humaneval": (frozenset({"test", "entry_point", "task_id"}), functions.humaneval),
    }


def detect(row: Row) -> str:
    """The name of a row's format. Raises FieldError where it is none of them."""
    for name, (fields, _) in readers().items():
        if fields <= row.keys():
            return name
    if {"base_input", "plus_input"} & row.keys():
        raise FieldError(
            "test",
            "missing: evalplus's own file leaves the expected outputs to be computed; "
            "take evalplus/humanevalplus or evalplus/mbppplus from the Hub, whose rows have them",
        )
    found = ", ".join(sorted(row)[:8])
    raise FieldError("", f"none of the formats {', '.join(readers())}; its fields are {found}")


def text(row: Row, name: str, *, default: str | None = None) -> str:
    """A field that has to be a string. Raises FieldError."""
    value = row.get(name, default)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise FieldError(name, "missing" if value is None else "must be a string")
    return value


def texts(row: Row, name: str) -> list[str]:
    """A field that has to be a list of strings; empty where it is not there. Raises FieldError."""
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise FieldError(name, "must be a list of strings")
    return value


def solution(id: str, generator: str, *programs: str) -> list[dict[str, Any]]:
    """Rows of a programs file for solutions that come with a problem; none where there is none."""
    kept = [program for program in programs if program.strip()]
    return [{"id": id, "programs": kept, "generator": generator}] if kept else []
