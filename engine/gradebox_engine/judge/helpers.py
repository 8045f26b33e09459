"""Small pure functions that test_setup defines for the asserts, such as a comparison of floats.

They are understood where all they do is compute: arguments, if, for, while, return, assert, assignments to local
names. A function that does anything else, or calls the program, is left to the oracle with the tests that use it.
"""

import ast
from collections.abc import Callable
from typing import Any

from gradebox_engine.judge import comprehend
from gradebox_engine.judge.callables import Function
from gradebox_engine.judge.extract import Compiler
from gradebox_engine.judge.frame import Code, Frame, Undecidable, Unsupported
from gradebox_engine.judge.kinds import CONTAINERS, TEXTS, ordered, truth
from gradebox_engine.judge.operators import BINARY
from gradebox_engine.judge.parts import PlanBudget
from gradebox_engine.judge.scope import Scope

_MAX_CALLS = 40  # nested calls of helpers
_BREAK, _CONTINUE = object(), object()

# A statement gives None, or (value,) from a return, or _BREAK or _CONTINUE.
type _Step = Callable[[Frame], Any]


def declare(name: str) -> Function:
    """A function whose body is not compiled yet, so that functions can call each other."""

    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        raise Undecidable(name)

    return Function(name, run)


def define(function: Function, node: ast.FunctionDef, scope: Scope, budget: PlanBudget) -> None:
    """Gives a declared function its body. Raises Unsupported."""
    spec = node.args
    if node.decorator_list or spec.vararg or spec.kwarg:
        raise Unsupported("signature")
    compiler = Compiler(scope, budget, pure=True)
    defaults: dict[str, Any] = {}
    positional = [*spec.posonlyargs, *spec.args]
    given = list(zip(positional[len(positional) - len(spec.defaults) :], spec.defaults, strict=True))
    given += [(a, d) for a, d in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if d is not None]
    for argument, default in given:
        part = compiler.value(default)
        if not part.fixed or (type(part.value) in CONTAINERS and type(part.value) not in TEXTS | {tuple}):
            raise Unsupported("default")
        defaults[argument.arg] = part.value
    slots = {a.arg: compiler.new_slot(a.arg) for a in [*positional, *spec.kwonlyargs]}
    for name in _assigned(node):
        if name not in compiler.slots:
            compiler.new_slot(name)
    body = _block(compiler, node.body)
    names = [a.arg for a in positional]
    names_only = {a.arg for a in spec.posonlyargs}

    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if len(args) > len(names) or any(k not in slots or k in names[: len(args)] for k in kwargs):
            raise TypeError(f"{node.name}() got unexpected arguments")
        values = defaults | dict(zip(names, args, strict=False)) | kwargs
        if len(values) != len(slots) or kwargs.keys() & names_only:
            raise TypeError(f"{node.name}() got wrong arguments")
        if frame.depth >= _MAX_CALLS:
            raise Undecidable("depth")
        outer, frame.locals = frame.locals, {slots[k]: v for k, v in values.items()}
        frame.depth += 1
        try:
            frame.spend(2)
            found = body(frame)
            return found[0] if found else None
        finally:
            frame.depth -= 1
            frame.locals = outer

    function.run = run


def _assigned(node: ast.FunctionDef) -> list[str]:
    """The names that statements of the function assign: local everywhere in it, also before that."""
    targets: list[ast.expr] = []
    for child in ast.walk(node):
        if isinstance(child, ast.Assign):
            targets += child.targets
        elif isinstance(child, ast.AugAssign | ast.AnnAssign | ast.For):
            targets.append(child.target)
    return [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]


def _block(compiler: Compiler, nodes: list[ast.stmt]) -> _Step:
    steps = [step for node in nodes if (step := _statement(compiler, node)) is not None]

    def run(frame: Frame) -> Any:
        for step in steps:
            found = step(frame)
            if found is not None:
                return found
        return None

    return run


def _statement(compiler: Compiler, node: ast.stmt) -> _Step | None:
    match node:
        case ast.Pass() | ast.Expr(value=ast.Constant()):
            return None
        case ast.Return(value=value):
            code = compiler.value(value).code if value is not None else lambda frame: None
            return lambda frame: (code(frame),)
        case ast.If(test=test, body=body, orelse=orelse):
            return _if(compiler.value(test).code, _block(compiler, body), _block(compiler, orelse))
        case ast.Assert(test=test):
            return _assert(compiler.value(test).code, ast.unparse(test)[:200])
        case ast.Assign(targets=[target], value=value):
            source = compiler.value(value).code
            return _assign(source, comprehend.target(compiler, target))
        case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value):
            source = compiler.value(value).code
            return _assign(source, comprehend.target(compiler, target))
        case ast.AugAssign(target=ast.Name() as target, value=value):
            return _augmented(compiler, target, node.op, value)
        case ast.For(orelse=[]):
            return _for(compiler, node)
        case ast.While(orelse=[]):
            return _while(compiler.value(node.test).code, _block(compiler, node.body))
        case ast.Break():
            return lambda frame: _BREAK
        case ast.Continue():
            return lambda frame: _CONTINUE
    raise Unsupported(type(node).__name__)


def _if(test: Code, body: _Step, orelse: _Step) -> _Step:
    return lambda frame: body(frame) if truth(frame, test(frame)) else orelse(frame)


def _assert(test: Code, text: str) -> _Step:
    def run(frame: Frame) -> None:
        if not truth(frame, test(frame)):
            raise AssertionError(text)

    return run


def _assign(source: Code, store: Callable[[Frame, Any], None]) -> _Step:
    def run(frame: Frame) -> None:
        frame.spend(1)
        store(frame, source(frame))

    return run


def _augmented(compiler: Compiler, target: ast.Name, op: ast.operator, value: ast.expr) -> _Step:
    """`x += y` as `x = x + y`: the same for numbers and text, and refused for what would be changed in place."""
    operation = BINARY.get(type(op))
    slot = compiler.slots.get(target.id)
    if operation is None or slot is None:
        raise Unsupported("augmented assignment")
    source = compiler.value(value).code

    def run(frame: Frame) -> None:
        left = comprehend.load(frame, slot)
        if type(left) in CONTAINERS and type(left) not in (str, bytes, tuple):
            raise Undecidable("changed in place")
        frame.locals[slot] = operation(frame, left, source(frame))

    return run


def _for(compiler: Compiler, node: ast.For) -> _Step:
    source = compiler.value(node.iter).code
    store = comprehend.target(compiler, node.target)
    body = _block(compiler, node.body)

    def run(frame: Frame) -> Any:
        for x in ordered(frame, source(frame)):
            frame.spend(1)
            store(frame, x)
            found = body(frame)
            if found is _BREAK:
                break
            if found is not None and found is not _CONTINUE:
                return found
        return None

    return run


def _while(test: Code, body: _Step) -> _Step:
    def run(frame: Frame) -> Any:
        while truth(frame, test(frame)):
            frame.spend(1)
            found = body(frame)
            if found is _BREAK:
                break
            if found is not None and found is not _CONTINUE:
                return found
        return None

    return run
