"""One test: a single assert with constant inputs and a constant output, that calls the entry point once.

Only the text is looked at, nothing of it runs. What is accepted may use arithmetic on constants, and the functions of
`_PURE` around them: `assert f(3) == [1] * 3`, `assert abs(f(2.0) - 1.5) < 1e-06`, `assert sorted(f({1})) == [1]`.
"""

import ast
from dataclasses import dataclass

from gradebox_trainer.python_text import parse_python

MAX_TEST_CHARACTERS = 4000

_PURE = frozenset(
    "abs all any bool bytes complex dict divmod float frozenset int isinstance len list max min range repr reversed "
    "round set sorted str sum tuple type zip".split()
)
_PURE_OF_MATH = frozenset("e inf isclose isinf isnan nan pi sqrt".split())
_NAMES_OF_TYPES = frozenset("bool bytes complex dict float frozenset int list set str tuple type".split())


class Unfit(Exception):
    """Why a test is not taken: one of a few words that can be counted."""


@dataclass(frozen=True, slots=True)
class Assert:
    """A test that is fit.

    Attributes:
        text: the assert, in one spelling, without its message.
        question: the call of the entry point, in one spelling, where the test says what it is equal to; else all of
            the test. Tests with equal ones, and different texts, contradict each other.
    """

    text: str
    question: str


def read_assert(source: str, entry_point: str) -> Assert:
    """A test from its source.

    Raises:
        Unfit: it is no such test; the text says why.
    """
    if len(source) > MAX_TEST_CHARACTERS:
        raise Unfit("too long")
    module = parse_python(source.strip())
    if module is None:
        raise Unfit("not Python")
    statements = module.body
    if len(statements) != 1 or not isinstance(statements[0], ast.Assert):
        raise Unfit("not a single assert")
    test = statements[0].test
    try:
        calls = [call for call in _calls(test) if _is_name(call.func, entry_point)]
        if not calls:
            raise Unfit("does not call the entry point")
        if len(calls) > 1:
            raise Unfit("calls the entry point more than once")
        _check(test, calls[0])
        if not isinstance(test, ast.Compare | ast.Call | ast.UnaryOp):  # `assert (f(1) == 2, "message")`
            raise Unfit("does not compare")
        text = f"assert {ast.unparse(test)}"
        return Assert(text, ast.unparse(calls[0]) if _is_equation(test, calls[0]) else text)
    except RecursionError:
        raise Unfit("nested too deeply") from None


def _is_equation(test: ast.expr, call: ast.Call) -> bool:
    return (
        isinstance(test, ast.Compare)
        and [type(op) for op in test.ops] == [ast.Eq]
        and any(side is call for side in (test.left, test.comparators[0]))
    )


def _calls(node: ast.AST) -> list[ast.Call]:
    return [child for child in ast.walk(node) if isinstance(child, ast.Call)]


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _check(node: ast.AST, entry: ast.Call) -> None:
    """Raises Unfit unless everything around and inside the call of the entry point is constant."""
    match node:
        case ast.Call() if node is entry:
            for argument in node.args:
                _check(argument, entry)
            for keyword in node.keywords:
                if keyword.arg is None:
                    raise Unfit("not constant")
                _check(keyword.value, entry)
        case ast.Call(func=func):
            if not (isinstance(func, ast.Name) and func.id in _PURE) and not _of_math(func):
                raise Unfit("calls something else")
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                _check(argument, entry)
        case ast.Name(id=name):
            if name not in _NAMES_OF_TYPES:
                raise Unfit("not constant")
        case ast.Attribute():
            if not _of_math(node):
                raise Unfit("not constant")
        case (
            ast.Constant()
            | ast.List()
            | ast.Tuple()
            | ast.Set()
            | ast.Dict()
            | ast.UnaryOp()
            | ast.BinOp()
            | ast.Compare()
            | ast.Subscript()
            | ast.Slice()
        ):
            for child in ast.iter_child_nodes(node):
                _check(child, entry)
        case ast.operator() | ast.unaryop() | ast.cmpop() | ast.expr_context():
            pass
        case _:  # comprehensions, lambdas, f-strings, starred, awaits, walrus …
            raise Unfit("not constant")


def _of_math(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and _is_name(node.value, "math") and node.attr in _PURE_OF_MATH
