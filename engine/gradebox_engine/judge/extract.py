"""The fast path's compiler: an expression of a test → calls into the program, and a check on their answers.

Every call into the program becomes a tree of plain data that its process evaluates; what is around the calls
becomes closures over guarded operations, which the judge runs itself. Expressions without any call are
evaluated once, here. Whatever has no meaning here raises Unsupported, and the test goes to the oracle.
"""

import ast
from collections.abc import Callable
from typing import Any

from gradebox_engine.judge import comprehend
from gradebox_engine.judge.callables import Function, call
from gradebox_engine.judge.calls import CallReader
from gradebox_engine.judge.equality import equal_to_constant
from gradebox_engine.judge.frame import Code, Frame, Undecidable, Unsupported
from gradebox_engine.judge.kinds import exotic, ordered, truth
from gradebox_engine.judge.methods import METHOD_NAMES, attribute, call_method
from gradebox_engine.judge.operators import BINARY, COMPARISONS, UNARY, subscript
from gradebox_engine.judge.parts import Part, PlanBudget
from gradebox_engine.judge.scope import Module, Scope, value_of_builtin

_MAX_DEPTH = 60
# Functions that take all elements of their one argument: the program's process may drain an iterator for them.
_CONSUMERS = frozenset("set frozenset sorted sum max min dict Counter deque".split())
# Types that the program's process itself applies to an answer: the order of a set is only known there.
_APPLIED = (list, tuple, str)


class Compiler(CallReader):
    """Compiles the expressions of one test."""

    def __init__(self, scope: Scope, budget: PlanBudget, *, pure: bool = False) -> None:
        super().__init__(scope, budget, pure=pure)
        self._depth = 0
        self.compared_parts: dict[int, Part] = {}  # what comparisons are made of, by the id of its node

    def combine(self, code: Code, parts: list[Part]) -> Part:
        """A part made of parts; evaluated at once where all of them are constant."""
        if all(p.fixed for p in parts):
            try:
                value = code(Frame([], fuel=200_000))
            except (Undecidable, RecursionError, MemoryError):
                raise Unsupported("constant") from None
            except Exception:
                return Part(code)  # raises again, at its time
            self.budget.spend(value)
            return self.constant(value)
        return Part(code, program=any(p.program for p in parts))

    def value(self, node: ast.expr) -> Part:
        """Compiles an expression. Raises Unsupported."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unsupported("depth")
        try:
            tree = self.tree(node)
            if tree is not None:
                return self.register(tree)
            method = getattr(self, "_" + type(node).__name__.lower(), None)
            if method is None:
                raise Unsupported(type(node).__name__)
            part: Part = method(node)
            return part
        finally:
            self._depth -= 1

    def _constant(self, node: ast.Constant) -> Part:
        self.budget.spend(node.value)
        return self.constant(node.value)

    def _name(self, node: ast.Name) -> Part:
        slot = self.slots.get(node.id)
        if slot is not None:
            return Part(lambda frame: comprehend.load(frame, slot))
        if node.id in self.scope.known and not self.scope.anything:
            return self.constant(self.scope.known[node.id])
        if self.scope.bound(node.id):
            raise Unsupported("a name of the test's own")
        try:
            return self.constant(value_of_builtin(node.id))
        except KeyError:
            raise Unsupported(node.id) from None

    def _elements(self, nodes: list[ast.expr]) -> tuple[list[Part], list[bool]]:
        parts, starred = [], []
        for node in nodes:
            starred.append(isinstance(node, ast.Starred))
            parts.append(self.value(node.value if isinstance(node, ast.Starred) else node))
        return parts, starred

    def _sequence(self, nodes: list[ast.expr], kind: Callable[[list[Any]], Any]) -> Part:
        if all(type(n) is ast.Constant for n in nodes):  # long literals
            value = kind([n.value for n in nodes if type(n) is ast.Constant])
            self.budget.spend(value)
            return Part(lambda frame: value, value=value)
        parts, starred = self._elements(nodes)

        def code(frame: Frame) -> Any:
            found: list[Any] = []
            for part, star in zip(parts, starred, strict=True):
                if star:
                    found.extend(ordered(frame, part.code(frame)))
                else:
                    found.append(part.code(frame))
            return kind(found)

        return self.combine(code, parts)

    def _list(self, node: ast.List) -> Part:
        return self._sequence(node.elts, list)

    def _tuple(self, node: ast.Tuple) -> Part:
        return self._sequence(node.elts, tuple)

    def _set(self, node: ast.Set) -> Part:
        part = self._sequence(node.elts, set)
        if not part.fixed and part.program:
            raise Unsupported("set of answers")
        return part

    def _dict(self, node: ast.Dict) -> Part:
        pairs = []
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                raise Unsupported("double star")
            pairs.append((self.value(key), self.value(value)))
        if any(k.program for k, _ in pairs):
            raise Unsupported("keys from the program")
        return self.combine(
            lambda frame: {k.code(frame): v.code(frame) for k, v in pairs}, [p for pair in pairs for p in pair]
        )

    def _unaryop(self, node: ast.UnaryOp) -> Part:
        operand, operation = self.value(node.operand), UNARY[type(node.op)]
        return self.combine(lambda frame: operation(frame, operand.code(frame)), [operand])

    def _binop(self, node: ast.BinOp) -> Part:
        operation = BINARY.get(type(node.op))
        if operation is None:
            raise Unsupported("operator")
        left, right = self.value(node.left), self.value(node.right)
        if left.program and right.program and isinstance(node.op, ast.Sub):
            self.compared = True  # f(1) - f(2), to be compared with 0
        return self.combine(lambda frame: operation(frame, left.code(frame), right.code(frame)), [left, right])

    def _boolop(self, node: ast.BoolOp) -> Part:
        parts = [self.value(node.values[0])]
        self.skippable += 1
        parts += [self.value(n) for n in node.values[1:]]
        self.skippable -= 1
        stop = isinstance(node.op, ast.Or)

        def code(frame: Frame) -> Any:
            for part in parts[:-1]:
                found = part.code(frame)
                if truth(frame, found) is stop:
                    return found
            return parts[-1].code(frame)

        return self.combine(code, parts)

    def _ifexp(self, node: ast.IfExp) -> Part:
        test = self.value(node.test)
        self.skippable += 1
        body, orelse = self.value(node.body), self.value(node.orelse)
        self.skippable -= 1
        return self.combine(
            lambda frame: (body if truth(frame, test.code(frame)) else orelse).code(frame), [test, body, orelse]
        )

    def _compare(self, node: ast.Compare) -> Part:
        parts = [self.value(node.left), self.value(node.comparators[0])]
        self.skippable += 1
        parts += [self.value(n) for n in node.comparators[1:]]
        self.skippable -= 1
        self.compared_parts.update(zip(map(id, (node.left, *node.comparators)), parts, strict=True))
        if sum(p.program for p in parts) > 1:
            self.compared = True
        operations = [COMPARISONS[type(op)] for op in node.ops]
        for op, left, right in zip(node.ops, parts, parts[1:], strict=False):
            if isinstance(op, ast.Is | ast.IsNot) and not (_has_identity(left) or _has_identity(right)):
                raise Unsupported("identity")
        if len(operations) == 1:
            operation, (a, b) = operations[0], (parts[0].code, parts[1].code)
            if (
                isinstance(node.ops[0], ast.Eq)
                and not self.skippable
                and any(p.fixed and not exotic(p.value) for p in parts)
            ):
                operation = equal_to_constant
            return self.combine(lambda frame: operation(frame, a(frame), b(frame)), parts)

        def code(frame: Frame) -> Any:
            left = parts[0].code(frame)
            found: Any = True
            for compare, part in zip(operations, parts[1:], strict=True):
                right = part.code(frame)
                found = compare(frame, left, right)
                if not truth(frame, found):
                    break
                left = right
            return found

        return self.combine(code, parts)

    def _subscript(self, node: ast.Subscript) -> Part:
        value, key = self.value(node.value), self.value(node.slice)
        return self.combine(lambda frame: subscript(frame, value.code(frame), key.code(frame)), [value, key])

    def _slice(self, node: ast.Slice) -> Part:
        ends = [self.constant(None) if n is None else self.value(n) for n in (node.lower, node.upper, node.step)]
        return self.combine(lambda frame: slice(*[p.code(frame) for p in ends]), ends)

    def _attribute(self, node: ast.Attribute) -> Part:
        if isinstance(node.value, ast.Name):
            module = self.scope.known.get(node.value.id) if node.value.id not in self.slots else None
            if isinstance(module, Module) and not self.scope.anything:
                if node.attr not in module.members:
                    raise Unsupported("a module's attribute")
                return self.constant(module.members[node.attr])
        value, name = self.value(node.value), node.attr
        if isinstance(value.value, Module):
            raise Unsupported("module")
        return self.combine(lambda frame: attribute(frame, value.code(frame), name), [value])

    def _call(self, node: ast.Call) -> Part:
        if isinstance(node.func, ast.Attribute) and not self._is_module_member(node.func):
            return self._method_call(node, node.func)
        function = self.value(node.func)
        if not function.fixed or not (type(function.value) is Function or isinstance(function.value, type)):
            raise Unsupported("callee")
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred):
            argument = node.args[0]
            tree = self.tree(argument)
            if tree is not None and function.value in _APPLIED and not node.keywords:
                return self.register(("call", ("const", function.value), [tree], {}))
            if tree is not None:
                arguments = [self.register(tree, consume=name in _CONSUMERS)]
            elif isinstance(argument, ast.GeneratorExp):
                arguments = [comprehend.generator(self, argument, lazy=name in ("any", "all"))]
            else:
                arguments = [self.value(argument)]
        else:
            arguments = self._arguments(node)
        keywords = self._keywords(node)
        if sum(p.program for p in arguments) > 1 and name in ("isclose", "dist"):
            self.compared = True
        target = function.value

        def code(frame: Frame) -> Any:
            args = [p.code(frame) for p in arguments]
            return call(frame, target, args, {k: p.code(frame) for k, p in keywords.items()})

        return self.combine(code, [*arguments, *keywords.values()])

    def _is_module_member(self, node: ast.Attribute) -> bool:
        return isinstance(node.value, ast.Name) and isinstance(self.scope.known.get(node.value.id), Module)

    def _arguments(self, node: ast.Call) -> list[Part]:
        if any(isinstance(a, ast.Starred) for a in node.args):
            raise Unsupported("star")
        return [self.value(a) for a in node.args]

    def _keywords(self, node: ast.Call) -> dict[str, Part]:
        keywords = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in keywords:
                raise Unsupported("double star")
            keywords[keyword.arg] = self.value(keyword.value)
        return keywords

    def _method_call(self, node: ast.Call, function: ast.Attribute) -> Part:
        name = function.attr
        if name not in METHOD_NAMES:
            raise Unsupported("method")
        owner = self.value(function.value)
        if len(node.args) == 1 and isinstance(node.args[0], ast.GeneratorExp):
            arguments = [comprehend.generator(self, node.args[0], lazy=False)]
        elif name == "join" and type(owner.value) is str and len(node.args) == 1 and not node.keywords:
            tree = self.tree(node.args[0])
            if tree is not None:
                return self.register(("call", ("attr", ("const", owner.value), "join"), [tree], {}))
            arguments = self._arguments(node)
        else:
            arguments = self._arguments(node)
        keywords = self._keywords(node)

        def code(frame: Frame) -> Any:
            value = owner.code(frame)
            args = [p.code(frame) for p in arguments]
            return call_method(frame, value, name, args, {k: p.code(frame) for k, p in keywords.items()})

        return self.combine(code, [owner, *arguments, *keywords.values()])

    def _listcomp(self, node: ast.ListComp) -> Part:
        return comprehend.collection(self, node, list)

    def _setcomp(self, node: ast.SetComp) -> Part:
        return comprehend.collection(self, node, set)

    def _dictcomp(self, node: ast.DictComp) -> Part:
        return comprehend.mapping(self, node)

    def _lambda(self, node: ast.Lambda) -> Part:
        return comprehend.function(self, node)


def _has_identity(part: Part) -> bool:
    """Whether `x is part` means the same outside of the program's process: not for text, which may be interned."""
    return part.fixed and type(part.value) not in (str, bytes)
