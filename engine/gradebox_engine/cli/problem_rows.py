"""Rows of a problems file, checked as an engine of this version would: a mistake is told before anything is graded."""

from collections.abc import Mapping
from typing import Any

import gradebox
from gradebox_command import problem_rows
from gradebox_command.problem_rows import FieldError
from gradebox_engine.convert import InvalidSuite, suite_from_wire
from gradebox_engine.limits import Ceilings
from gradebox_proto.v1.grading_pb2 import Suite


def check_problem(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a problem that grading needs, checked and in one spelling.

    Raises:
        FieldError: the first field that is wrong.
    """
    problem = problem_rows.check_problem(row)
    try:
        suite_from_wire(Suite.FromString(gradebox.Problem.from_dict(problem).suite.data), Ceilings())
    except InvalidSuite as error:
        field = error.field.removeprefix("suite.").replace("].stdio.", "].")
        raise FieldError(field, error.message.replace("suite.", "")) from None
    return problem
