"""The fast path's plan: calls for the program, and a check that decides when their answers are there."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradebox_engine.judge.equality import equal_as_json
from gradebox_engine.judge.extract import Compiler
from gradebox_engine.judge.frame import Code, Frame, Undecidable, Unsupported, answer
from gradebox_engine.judge.kinds import has_opaque, truth
from gradebox_engine.judge.parts import Part, PlanBudget
from gradebox_engine.judge.scope import Scope
from gradebox_engine.judge.suite import CallTest, Seal
from gradebox_engine.judge.text import brief, shorten
from gradebox_inside.codec import CodecError, OverBudget, encode, has_nan

_SOURCE_CHARS = 120


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """`holds` says whether the test passes; `explain` gives the message when it does not."""

    holds: Callable[[Frame], bool]
    explain: Callable[[Frame], str]


@dataclass(frozen=True, slots=True)
class FastTest:
    """Calls for the program to make, in order, and how to decide on the answers.

    `trees` are plain data: ("name", n) | ("entry", n) | ("const", v) | ("attr", tree, n) |
    ("call", tree, [tree, …], {keyword: tree}). `consume` says for each whether an answer that is an iterator is
    wanted as a list of its elements. `shortcut` is the encoded form of the one right answer, where equal bytes mean
    PASSED; None where there is none.
    """

    index: int
    seal: Seal
    trees: tuple[Any, ...]
    consume: tuple[bool, ...]
    check: Check
    shortcut: bytes | None


def plan_code(index: int, source: str, tree: ast.Module, scope: Scope, budget: PlanBudget) -> FastTest | None:
    """The plan of a test that is one assert, or one expression, after imports. None when it has to be another path."""
    if not tree.body or not isinstance(tree.body[-1], ast.Assert | ast.Expr):
        return None
    imports, last = tree.body[:-1], tree.body[-1]
    if not all(isinstance(n, ast.Import | ast.ImportFrom) for n in imports):
        return None
    bound = _bind_imports(imports, scope)
    if bound is None:
        return None
    try:
        compiler = Compiler(scope, budget)
        if isinstance(last, ast.Assert):
            return _plan_assert(index, compiler, last, source)
        return _plan_expression(index, compiler, last.value)
    except (Unsupported, RecursionError, CodecError, OverBudget, ValueError):
        for name in bound:  # the test will run in full elsewhere, imports and all
            scope.prelude.pop(name, None)
        return None


def _bind_imports(nodes: list[Any], scope: Scope) -> list[str] | None:
    """Binds the imports before an assert, which later tests see too. None where they do more than bind."""
    bound = []
    for node in nodes:
        if any(a.name == "*" for a in node.names) or not scope.bind_import(node):
            return None
        line = ast.unparse(node)
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            scope.prelude[name] = line
            bound.append(name)
    return bound


def _plan_expression(index: int, compiler: Compiler, node: ast.expr) -> FastTest | None:
    """A bare call: it passes when nothing raises."""
    part = compiler.value(node)
    if not compiler.trees:
        return None

    def holds(frame: Frame) -> bool:
        part.code(frame)
        return True

    return _finish(index, compiler, Check(holds, lambda frame: ""), None)


def _plan_assert(index: int, compiler: Compiler, node: ast.Assert, source: str) -> FastTest | None:
    part = compiler.value(node.test)
    if not compiler.trees:
        return None  # nothing of the program in it: let Python itself say what that means
    code = part.code
    text = shorten(source.strip(), _SOURCE_CHARS)
    sides = _sides(compiler, node.test) if len(compiler.trees) == 1 else None
    explain = _with_message(compiler, node.msg, _explain(compiler, sides, text))

    def holds(frame: Frame) -> bool:
        return truth(frame, code(frame))

    check = Check(holds, explain)
    return _finish(index, compiler, check, _shortcut(compiler, part, node.test, sides))


def _with_message(compiler: Compiler, node: ast.expr | None, explain: Callable[[Frame], str]) -> Callable[[Frame], str]:
    """`explain` after the assert's own message. Where making that may fail, a failed test is left to the oracle."""
    if node is None:
        return explain
    constant = _quiet(compiler, node)
    if constant is None:
        return _plain_only(explain) if _is_text(compiler, node) else _undecidable
    message = constant(Frame([]))
    text = shorten(message, 100) if type(message) is str else brief(message)
    return lambda frame: shorten(f"{text}: {explain(frame)}")


def _is_text(compiler: Compiler, node: ast.expr) -> bool:
    """Whether a message cannot fail: text made of constants and of calls that the assert has made already."""
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _is_text(compiler, left) and _is_text(compiler, right)
        case ast.JoinedStr(values=values):
            return all(_is_text(compiler, v) for v in values)
        case ast.FormattedValue(value=value, format_spec=None):
            return _is_repeated(compiler, value)
        case ast.Call(func=ast.Name(id="str" | "repr" as name), args=[argument], keywords=[]):
            return not compiler.scope.bound(name) and _is_repeated(compiler, argument)
    return False


def _is_repeated(compiler: Compiler, node: ast.expr) -> bool:
    try:
        return compiler.tree(node) in compiler.trees or _quiet(compiler, node) is not None
    except Unsupported:
        return False


def _plain_only(explain: Callable[[Frame], str]) -> Callable[[Frame], str]:
    """Leaves it to the oracle what becomes of a message with objects in it."""

    def run(frame: Frame) -> str:
        if any(has_opaque(frame, o[1]) for o in frame.outcomes):
            raise Undecidable("the message of a failed assert")
        return explain(frame)

    return run


def _undecidable(frame: Frame) -> str:
    raise Undecidable("the message of a failed assert")


def _sides(compiler: Compiler, node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """The call and the other side of `call == other`, in either order."""
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq) or len(node.ops) > 1:
        return None
    left, right = node.left, node.comparators[0]
    for call, other in ((left, right), (right, left)):
        if compiler.tree(call) is not None and compiler.tree(other) is None:
            return call, other
    return None


def _explain(compiler: Compiler, sides: tuple[ast.expr, ast.expr] | None, text: str) -> Callable[[Frame], str]:
    if sides is None:
        return lambda frame: f"failed: {text}"
    other = _quiet(compiler, sides[1])

    def explain(frame: Frame) -> str:
        outcome = frame.outcomes[0]
        expected = brief(other(frame)) if other is not None else "something else"
        return shorten(f"expected {expected}, got {brief(outcome[1])}")

    return explain


def _quiet(compiler: Compiler, node: ast.expr) -> Code | None:
    """The code of an expression in which there is nothing of the program, else None."""
    part = compiler.compared_parts.get(id(node))
    try:
        part = part or Compiler(compiler.scope, PlanBudget()).value(node)
    except (Unsupported, RecursionError):
        return None
    return part.code if part.fixed else None


def _shortcut(compiler: Compiler, part: Part, node: ast.expr, sides: tuple[ast.expr, ast.expr] | None) -> bytes | None:
    """The encoded answer that makes the assert true, where there is just one and a NaN is not in it."""
    if len(compiler.trees) != 1:
        return None
    if part.tree == 0:
        return encode(True)
    expected: Any
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and compiler.tree(node.operand) is not None:
        return encode(False)
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is) and len(node.ops) == 1:
        right = node.comparators[0]
        if compiler.tree(node.left) is None or not isinstance(right, ast.Constant):
            return None
        return encode(right.value) if any(right.value is s for s in (None, True, False)) else None
    if sides is None:
        return None
    other = _quiet(compiler, sides[1])
    if other is None or not part.program:
        return None
    expected = other(Frame([]))
    try:
        return None if has_nan(expected) else encode(expected)
    except (CodecError, OverBudget):
        return None


def _finish(index: int, compiler: Compiler, check: Check, shortcut: bytes | None) -> FastTest:
    for tree in compiler.trees:
        encode(tree)  # raises where a constant in it cannot travel
    seal = Seal.COMPARED if compiler.compared else Seal.SEALED
    return FastTest(index, seal, tuple(compiler.trees), tuple(compiler.consume), check, shortcut)


def plan_call(index: int, entry_point: str, test: CallTest) -> FastTest:
    """A call of the entry point whose answer must be `expected`, tuples counting as lists. Raises Unsupported."""
    tree = (
        "call",
        ("entry", entry_point),
        [("const", a) for a in test.args],
        {k: ("const", v) for k, v in test.kwargs.items()},
    )
    try:
        encode(tree)
        shortcut = None if has_nan(test.expected) else encode(test.expected)
    except (CodecError, OverBudget, RecursionError):
        raise Unsupported("size") from None
    expected = test.expected

    def holds(frame: Frame) -> bool:
        try:
            return equal_as_json(frame, answer(frame, 0), expected)
        except Undecidable:
            return False  # larger than any expected value, or not the kind of thing that JSON can say

    def explain(frame: Frame) -> str:
        outcome = frame.outcomes[0]
        got = brief(outcome[1]) if outcome[0] == "value" else "too large an answer"
        return shorten(f"expected {brief(expected)}, got {got}")

    return FastTest(index, Seal.SEALED, (tree,), (False,), Check(holds, explain), shortcut)
