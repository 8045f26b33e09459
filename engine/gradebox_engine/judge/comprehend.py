"""Comprehensions, generator expressions and lambdas of a check."""

import ast
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gradebox_engine.judge.callables import Function
from gradebox_engine.judge.frame import MAX_ITEMS, Code, Frame, Undecidable, Unsupported
from gradebox_engine.judge.kinds import Items, hashable, items, ordered, truth
from gradebox_engine.judge.parts import Part

if TYPE_CHECKING:
    from gradebox_engine.judge.extract import Compiler

_MISSING = object()


def load(frame: Frame, slot: str) -> Any:
    """The value of a local name; UnboundLocalError as Python's."""
    value = frame.locals.get(slot, _MISSING)
    if value is _MISSING:
        raise UnboundLocalError(slot.split("#")[0])
    return value


def target(compiler: "Compiler", node: ast.expr) -> Callable[[Frame, Any], None]:
    """Compiles an assignment to a name or a tuple of names, and makes the names known to the compiler."""
    if isinstance(node, ast.Name):
        slot = compiler.slots.get(node.id, "")
        if not slot:
            slot = compiler.new_slot(node.id)

        def store(frame: Frame, value: Any) -> None:
            frame.locals[slot] = value

        return store
    if isinstance(node, ast.Tuple | ast.List):
        stores = [target(compiler, n) for n in node.elts]

        def unpack(frame: Frame, value: Any) -> None:
            values = list(items(frame, value))
            if len(values) != len(stores):
                raise ValueError("wrong number of values to unpack")
            for each, x in zip(stores, values, strict=True):
                each(frame, x)

        return unpack
    raise Unsupported("target")


def _loops(
    compiler: "Compiler", generators: list[ast.comprehension], finish: Callable[[], Any]
) -> tuple[Callable[[Frame], Iterator[None]], Any, list[Part]]:
    """Compiles the loops, then, with their names in scope, what `finish` compiles."""
    outer = dict(compiler.slots)
    first = compiler.value(generators[0].iter)
    compiler.skippable += 1
    levels: list[tuple[Code, Callable[[Frame, Any], None], list[Code]]] = []
    for number, generator in enumerate(generators):
        if generator.is_async:
            raise Unsupported("async")
        source = first if number == 0 else compiler.value(generator.iter)
        for name in ast.walk(generator.target):
            if isinstance(name, ast.Name):
                compiler.new_slot(name.id)
        store = target(compiler, generator.target)
        levels.append((source.code, store, [compiler.value(c).code for c in generator.ifs]))
    finished = finish()
    compiler.skippable -= 1
    compiler.slots.clear()
    compiler.slots.update(outer)

    def run(frame: Frame, level: int = 0) -> Iterator[None]:
        source, store, conditions = levels[level]
        for x in ordered(frame, source(frame)):
            frame.spend(1)
            store(frame, x)
            if all(truth(frame, c(frame)) for c in conditions):
                if level + 1 == len(levels):
                    yield
                else:
                    yield from run(frame, level + 1)

    return run, finished, [first]


def _gather(frame: Frame, run: Callable[[Frame], Iterator[None]], code: Code) -> list[Any]:
    found: list[Any] = []
    for _ in run(frame):
        found.append(code(frame))
        if len(found) > MAX_ITEMS:
            raise Undecidable("size")
    return found


def _part(compiler: "Compiler", code: Code, parts: list[Part]) -> Part:
    """Constant only where nothing but constants goes in, and it is no part of another function or loop."""
    if compiler.slots:
        return Part(code, program=any(p.program for p in parts))
    return compiler.combine(code, parts)


def collection(compiler: "Compiler", node: ast.ListComp | ast.SetComp, kind: type) -> Part:
    """A list or set comprehension."""
    run, element, parts = _loops(compiler, node.generators, lambda: compiler.value(node.elt))

    def code(frame: Frame) -> Any:
        found = _gather(frame, run, element.code)
        return set(hashable(frame, found)) if kind is set else found

    return _part(compiler, code, parts)


def mapping(compiler: "Compiler", node: ast.DictComp) -> Part:
    """A dict comprehension."""
    run, (key, value), parts = _loops(
        compiler, node.generators, lambda: (compiler.value(node.key), compiler.value(node.value))
    )

    def code(frame: Frame) -> Any:
        pairs = _gather(frame, run, lambda frame: (key.code(frame), value.code(frame)))
        hashable(frame, [k for k, _ in pairs])
        return dict(pairs)

    return _part(compiler, code, parts)


def generator(compiler: "Compiler", node: ast.GeneratorExp, *, lazy: bool) -> Part:
    """A generator expression as the one argument of a call; `lazy` where that may stop before the end."""
    run, element, parts = _loops(compiler, node.generators, lambda: compiler.value(node.elt))
    if lazy:
        return _lazy(run, element, parts)
    return _part(compiler, lambda frame: Items(_gather(frame, run, element.code)), parts)


def _lazy(run: Callable[[Frame], Iterator[None]], element: Part, parts: list[Part]) -> Part:
    def code(frame: Frame) -> Any:
        return (element.code(frame) for _ in run(frame))

    return Part(code, program=any(p.program for p in parts))


def function(compiler: "Compiler", node: ast.Lambda) -> Part:
    """A lambda, for sorted(key=…), map and the like."""
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults or arguments.posonlyargs:
        raise Unsupported("lambda")
    outer = dict(compiler.slots)
    slots = [compiler.new_slot(argument.arg) for argument in arguments.args]
    compiler.skippable += 1
    body = compiler.value(node.body)
    compiler.skippable -= 1
    compiler.slots.clear()
    compiler.slots.update(outer)

    def run(frame: Frame, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if kwargs or len(args) != len(slots):
            raise Undecidable("lambda")
        frame.locals.update(zip(slots, args, strict=True))
        return body.code(frame)

    return compiler.constant(Function("<lambda>", run))
