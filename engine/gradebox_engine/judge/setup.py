"""What test_setup, and each test in turn, does to the names of the tests after it."""

import ast

from gradebox_engine.judge.calls import check_constant
from gradebox_engine.judge.extract import Compiler
from gradebox_engine.judge.frame import Unsupported
from gradebox_engine.judge.helpers import declare, define
from gradebox_engine.judge.kinds import SCALARS, SINGLETONS
from gradebox_engine.judge.parts import PlanBudget
from gradebox_engine.judge.scope import Scope, global_names
from gradebox_engine.judge.text import parse


def read_setup(source: str, scope: Scope, budget: PlanBudget) -> None:
    """Brings `scope` to where test_setup leaves it. Clears `scope.inert` where it must run before the first test."""
    if not source.strip():
        return
    tree = parse(source)
    if tree is None:
        scope.anything = True
        scope.inert = False
        return
    declared = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            scope.bind(node.name, declare(node.name))
            declared.append(node)
        elif not _read_statement(node, scope, budget):
            scope.inert = False
    known = {n for n in scope.known}
    for node in declared:
        function = scope.known.get(node.name)
        try:
            if node.name not in known or function is None:
                continue
            define(function, node, scope, budget)
        except (Unsupported, RecursionError):
            scope.bind_foreign(node.name)
            if node.decorator_list or _computes(node):
                scope.inert = False
    _, bound = global_names(source)
    for name in bound:
        if not scope.bound(name):
            scope.bind_foreign(name)


def _read_statement(node: ast.stmt, scope: Scope, budget: PlanBudget) -> bool:
    """Follows one statement. False when it may do more than bind names to values that cannot change."""
    match node:
        case ast.Import() | ast.ImportFrom():
            return scope.bind_import(node)
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            return _read_assignment(name, value, scope, budget)
        case ast.ClassDef(name=name, body=body):
            scope.bind_foreign(name)
            return not node.decorator_list and not node.bases and not node.keywords and all(map(_harmless, body))
        case ast.AsyncFunctionDef(name=name):
            scope.bind_foreign(name)
            return not node.decorator_list and not _computes(node)
    return False


def _read_assignment(name: str, value: ast.expr, scope: Scope, budget: PlanBudget) -> bool:
    if isinstance(value, ast.Name) and scope.is_program(value.id):
        scope.bind_alias(name, value.id)
        return True
    compiler = Compiler(scope, budget, pure=True)
    try:
        part = compiler.value(value)
        if part.fixed:
            check_constant(part.value)
            scope.bind_foreign(name)
            if _immutable(part.value):
                scope.bind(name, part.value)
            return True
    except (Unsupported, RecursionError):
        pass
    scope.bind_foreign(name)
    return False


def _immutable(value: object) -> bool:
    if type(value) is tuple:
        return all(map(_immutable, value))
    return type(value) in SCALARS or type(value) in SINGLETONS or isinstance(value, type)


def _harmless(node: ast.stmt) -> bool:
    """Whether a statement of a class body only defines methods and constants."""
    if isinstance(node, ast.FunctionDef):
        return not node.decorator_list and not _computes(node)
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Constant) and all(isinstance(t, ast.Name) for t in node.targets)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _computes(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether defining the function evaluates more than constants."""
    spec = node.args
    given = [*spec.defaults, *(d for d in spec.kw_defaults if d is not None), node.returns]
    given += [a.annotation for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    return any(not isinstance(d, ast.Constant | ast.Name) for d in given if d is not None)
