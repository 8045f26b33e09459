"""Small mistakes put into a program, one at a time: what its tests should notice.

The classic operators of mutation testing (Offutt et al. 1996: relational, arithmetic and logical operator replacement;
constants off by one; statement deletion), on the syntax tree. Some mutants do what the program does, and no test can
tell those: a score below 1 is no proof of a gap.
"""

import ast
import contextlib
import copy
import random
from collections.abc import Iterator

from gradebox_trainer.python_text import parse_python

_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


def mutants(source: str, limit: int, seed: int = 0) -> list[str]:
    """Up to `limit` mutants of a program, drawn evenly from all of them; every time the same, in the same order."""
    module = parse_python(source)
    if module is None:
        return []
    try:
        places = [place for place in _walk(module, ()) if place[0]]
        found = {ast.unparse(module): -1}
        docstrings = set(map(id, _docstrings(module)))
        changes = [
            (path, node, replacement)
            for path, node in places
            if id(node) not in docstrings
            for replacement in _replacements(node)
        ]
        for number in random.Random(seed).sample(range(len(changes)), len(changes)):
            if len(found) > limit:
                break
            path, node, replacement = changes[number]
            _put(module, path, replacement)
            with contextlib.suppress(ValueError):  # a number that has become too long to be written down
                found.setdefault(ast.unparse(module), number)
            _put(module, path, node)
    except RecursionError:
        return []
    return [text for text, number in sorted(found.items(), key=lambda item: item[1]) if number >= 0]


type _Path = tuple[tuple[str, int | None], ...]


def _walk(node: ast.AST, path: _Path) -> Iterator[tuple[_Path, ast.AST]]:
    """Every node inside functions' bodies, with the way to it; annotations and decorators are no part of the doing."""
    yield path, node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases", "keywords", "ctx"):
            if not (name == "keywords" and isinstance(node, ast.Call)):
                continue
        if isinstance(value, ast.AST):
            yield from _walk(value, (*path, (name, None)))
        elif isinstance(value, list):
            for index, child in enumerate(value):
                if isinstance(child, ast.AST):
                    yield from _walk(child, (*path, (name, index)))


def _put(module: ast.AST, path: _Path, replacement: ast.AST) -> None:
    for name, index in path[:-1]:
        child = getattr(module, name)
        module = child if index is None else child[index]
    name, index = path[-1]
    if index is None:
        setattr(module, name, replacement)
    else:
        getattr(module, name)[index] = replacement


def _docstrings(module: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first
                yield first.value


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""
    match node:
        case ast.Compare(ops=[op]):
            for kind in _COMPARE[type(op)]:
                yield _with(node, ops=[kind()])
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            yield _with(node, op=_ARITHMETIC[type(op)]())
        case ast.AugAssign(op=op) if type(op) in _ARITHMETIC:
            yield _with(node, op=_ARITHMETIC[type(op)]())
        case ast.BoolOp(op=op):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)) | ast.Constant(value=float(value)):
            yield ast.Constant(value + 1)
            if value:
                yield ast.Constant(value - 1)
        case ast.Constant(value=str(value)):
            yield ast.Constant("" if value else "x")
        case ast.Return(value=ast.expr()):
            yield ast.Return(ast.Constant(None))
        case ast.If(test=test):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))
        case ast.Assign() | ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    fresh = copy.copy(node)
    for name, value in fields.items():
        setattr(fresh, name, value)
    return fresh
