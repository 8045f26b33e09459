"""Problems as data sets of RL frameworks spell them, and texts as they hold them."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from gradebox import InvalidRequest, Problem

FIELDS = ("id", "tests", "entry_point", "test_setup", "limits", "language", "image", "min_seal")
_KEPT = 4096  # problems


def problem_of(task: Any, **also: Any) -> Problem:
    """The problem that `task` says, with what is not None of `also` put in where the task says nothing of it.

    A task is a row of a problems file (`{"tests": [...], "entry_point": …}`), or only its tests: a list, one string
    of Python with an assert in it, or columns as PRIME and verl have them (`{"inputs": […], "outputs": […],
    "fn_name": …?}`, a call's input being a line of JSON an argument; `{"assert_case": […]}`). Each may be written as
    JSON. Arrays of numpy are lists, and fields that are None are absent, as data sets in columns have them. The same
    task is the same object.

    Raises InvalidRequest.
    """
    row = _row(_plain(task))
    for name, value in also.items():
        if row.get(name) is None and value is not None:
            row[name] = _plain(value)
    tests = row.get("tests")
    if isinstance(tests, str) and tests.lstrip()[:1] in ("[", "{"):
        tests = _from_json(tests)
    if isinstance(tests, Mapping) and "tests" not in tests and not _is_test(tests):
        tests = _from_columns(tests, row)
    if isinstance(tests, str) and "assert" not in tests:  # an answer to another kind of question, which would pass
        raise InvalidRequest(f"a string of Python must assert something, not {tests[:40]!r}", "tests")
    row["tests"] = [tests] if isinstance(tests, str | Mapping) else tests
    if isinstance(row.get("limits"), str):
        row["limits"] = _from_json(row["limits"])
    if isinstance(row.get("limits"), Mapping):
        row["limits"] = {name: value for name, value in row["limits"].items() if value is not None} or None
    if not row["tests"]:
        raise InvalidRequest("there are none, so there is nothing to grade", "tests")
    try:
        text = json.dumps({name: row[name] for name in FIELDS if row.get(name) is not None})
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"not JSON: {error}", "tests") from None
    return _problem(text)


@lru_cache(_KEPT)
def _problem(text: str) -> Problem:
    problem = Problem.from_dict(json.loads(text))
    _ = problem.suite  # what is wrong with it is said here
    return problem


def _row(task: Any) -> dict[str, Any]:
    if isinstance(task, str) and task.lstrip()[:1] in ("[", "{"):
        task = _from_json(task)
    if isinstance(task, Mapping) and ("tests" in task or not (_is_test(task) or _is_columns(task))):
        return dict(task)
    if isinstance(task, Mapping | list | str):
        return {"tests": task}
    raise InvalidRequest(f"must hold a problem or its tests, not {type(task).__name__}", "tests")


def _is_test(value: Mapping[str, Any]) -> bool:
    return any(name in value for name in ("stdin", "call", "unittest"))


def _is_columns(value: Mapping[str, Any]) -> bool:
    return "assert_case" in value or ("inputs" in value and "outputs" in value)


def _from_columns(columns: Mapping[str, Any], row: dict[str, Any]) -> list[Any]:
    """Tests that are spelled as parallel lists; a function's name becomes the row's entry point."""
    if not _is_columns(columns):
        raise InvalidRequest("has none of tests, inputs with outputs, and assert_case", "tests")
    if columns.get("assert_case"):
        return list(columns["assert_case"])
    inputs, outputs = columns["inputs"], columns["outputs"]
    if not (isinstance(inputs, list) and isinstance(outputs, list) and len(inputs) == len(outputs)):
        raise InvalidRequest("inputs and outputs must be lists of one length", "tests")
    if not columns.get("fn_name"):
        return [{"stdin": _text(i), "expected_stdout": _text(o)} for i, o in zip(inputs, outputs, strict=True)]
    if row.get("entry_point") is None:
        row["entry_point"] = columns["fn_name"]
    return [{"call": {"args": _arguments(i)}, "expected": _value(o)} for i, o in zip(inputs, outputs, strict=True)]


def _arguments(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [_from_json(line) for line in value.split("\n") if line.strip()]
    return value if isinstance(value, list) else [value]


def _value(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"looks like JSON, and is not: {error}", "tests") from None


def _plain(value: Any) -> Any:
    """Without arrays and scalars of numpy."""
    if isinstance(value, str | bytes | bool | int | float | None):
        return value
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def text_of(completion: Any) -> str:
    """What the model wrote, of a string or of messages: there, of the assistant's last one."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Mapping):
        return _content(completion)
    if isinstance(completion, Sequence):
        said = [m for m in completion if isinstance(m, Mapping) and m.get("role", "assistant") == "assistant"]
        return _content(said[-1]) if said else ""
    raise InvalidRequest(f"must be a string or messages, not {type(completion).__name__}", "completions")


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(part.get("text") or "" for part in content if isinstance(part, Mapping))
