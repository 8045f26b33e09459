"""Asserts as data: inputs and expected values, for checkers that take those and no asserts."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Cases:
    """Arguments of `entry_point`, and what it has to return, case by case."""

    entry_point: str
    inputs: list[list[Any]]
    expected: list[Any]

    def asserts(self) -> list[str | dict[str, str]]:
        """The same as asserts."""
        return [
            f"assert {self.entry_point}({', '.join(map(repr, arguments))}) == {right!r}"
            for arguments, right in zip(self.inputs, self.expected, strict=True)
        ]


def cases_of(tests: Sequence[Any], entry_point: str | None) -> Cases | None:
    """The cases of a problem's tests; None unless every one is `assert f(literals) == literal`, of one function.

    entry_point: that function, where it is known.
    """
    found = [_case(test) for test in tests]
    names = {case[0] for case in found if case} | ({entry_point} if entry_point else set())
    whole = [case for case in found if case]
    if not whole or len(whole) != len(tests) or len(names) != 1:
        return None
    return Cases(names.pop(), [arguments for _, arguments, _ in whole], [right for _, _, right in whole])


def _case(test: Any) -> tuple[str, list[Any], Any] | None:
    """Function, arguments and expected value of one test, if it has the form."""
    if not isinstance(test, str):
        return None
    try:
        match ast.parse(test).body:
            case [ast.Assert(ast.Compare(ast.Call(ast.Name(name), arguments, []), [ast.Eq()], [right]))]:
                return name, [ast.literal_eval(argument) for argument in arguments], ast.literal_eval(right)
    except (SyntaxError, ValueError):  # no Python; no literal
        pass
    return None
