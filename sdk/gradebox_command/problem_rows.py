"""Rows of a problems file as the SDK takes them, checked by the SDK.

Some other spellings, of published data sets, are taken:

- `lang` for `language`;
- `test_style: "unittest"` beside string tests: they are test modules (as `{"unittest": …}`);
- `{"args": …, "expected": …}` for `{"call": {"args": …}, "expected": …}`;
- `"checker": "exact"` for `{"kind": "exact"}`.
"""

from collections.abc import Mapping
from typing import Any

import gradebox
from gradebox_command.rows import json_kind

_FIELDS = ("entry_point", "image", "test_setup", "limits")


class FieldError(Exception):
    """A field that is missing or wrong: (field, what is wrong)."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def check_problem(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a problem that grading needs, checked and in one spelling.

    Raises:
        FieldError: the first field that is wrong.
    """
    problem: dict[str, Any] = {"id": problem_id(row)}
    for field in ("prompt", "question", "language", "lang"):
        if row.get(field) is not None and not isinstance(row[field], str):
            raise FieldError(field, f"must be a string, is {json_kind(row[field])}")
    problem["language"] = row.get("language") or row.get("lang") or "python"
    problem.update((field, row[field]) for field in _FIELDS if row.get(field) is not None)

    tests = row.get("tests")
    if tests is None:
        raise FieldError("tests", "missing")
    if not isinstance(tests, list):
        raise FieldError("tests", f"must be a list, is {json_kind(tests)}")
    if not tests:
        raise FieldError("tests", "empty: a problem needs at least one test")
    modules = row.get("test_style") == "unittest"
    problem["tests"] = [_test(f"tests[{index}]", test, modules) for index, test in enumerate(tests)]
    try:
        _ = gradebox.Problem.from_dict(problem).suite
    except gradebox.InvalidRequest as error:
        raise FieldError(error.field, error.problem) from None
    return problem


def problem_id(row: Mapping[str, Any]) -> str:
    """The row's `id`, a string that is not empty."""
    if "id" not in row:
        raise FieldError("id", "missing")
    value = row["id"]
    if not isinstance(value, str):
        raise FieldError("id", f"must be a string, is {json_kind(value)}")
    if not value:
        raise FieldError("id", "empty")
    return value


def _test(field: str, test: Any, modules: bool) -> Any:
    if isinstance(test, str):
        if not test.strip():
            raise FieldError(field, "empty: it would pass whatever the program does")
        return {"unittest": test} if modules else test
    if not isinstance(test, dict):
        raise FieldError(field, f"must be a string or an object, is {json_kind(test)}")
    # Parquet gives every struct the fields of all of them, null where a test has not got one.
    given = {key: value for key, value in test.items() if value is not None}
    if ("call" in given or "args" in given) and "expected" in test:
        given["expected"] = test["expected"]  # null is an answer like any other
    if "args" in given and "call" not in given:
        call = {"args": given.pop("args"), "kwargs": given.pop("kwargs", None)}
        given["call"] = call
    if isinstance(given.get("checker"), str):
        given["checker"] = {"kind": given["checker"]}
    return given
