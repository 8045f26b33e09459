"""Calls into the program: which expressions are one, and the trees of plain data that its process evaluates."""

import ast
from abc import ABC, abstractmethod
from typing import Any

from gradebox_engine.judge.callables import Function
from gradebox_engine.judge.frame import Unsupported, answer
from gradebox_engine.judge.kinds import CONTAINERS, MAPPINGS, SCALARS, TEXTS, Items, is_namedtuple
from gradebox_engine.judge.parts import Part, PlanBudget
from gradebox_engine.judge.scope import MODULE_NAMES, Module, Scope

_SMALLEST_FOLDED = 3  # from here on, Python compiles a set of constants as a frozenset that is merged into a set


class CallReader(ABC):
    """Finds a test's calls into the program. `trees` and `consume` are what it found, in order of evaluation."""

    def __init__(self, scope: Scope, budget: PlanBudget, *, pure: bool = False) -> None:
        self.scope = scope
        self.budget = budget
        self.trees: list[Any] = []
        self.consume: list[bool] = []
        self.compared = False
        self.slots: dict[str, str] = {}
        self._slot_count = 0
        self._read: dict[int, Any] = {}  # calls by the ids of their nodes: each is asked for several times
        self.skippable = 1 if pure else 0  # above 0, a call into the program might not happen

    def new_slot(self, name: str) -> str:
        """Makes a local variable known from here on. Two of one name never share a place."""
        self._slot_count += 1
        slot = self.slots[name] = f"{name}#{self._slot_count}"
        return slot

    def constant(self, value: Any) -> Part:
        """A part whose value is known."""
        return Part(lambda frame: value, value=value)

    @abstractmethod
    def value(self, node: ast.expr) -> Part:
        """Compiles an expression. Raises Unsupported."""

    def register(self, tree: Any, consume: bool = False) -> Part:
        """A part that is the program's answer to one more call."""
        if self.skippable:
            raise Unsupported("a call that might not happen")
        index = len(self.trees)
        self.trees.append(tree)
        self.consume.append(consume)
        return Part(lambda frame: answer(frame, index), program=True, tree=index)

    def tree(self, node: ast.expr) -> Any:
        """The tree for an expression that the program evaluates as a whole, else None."""
        if isinstance(node, ast.Name):
            if node.id in self.slots or not self.scope.is_program(node.id):
                return None
            return ("name", self.scope.aliases.get(node.id, node.id))
        if isinstance(node, ast.Attribute) and self._is_object(node.value):
            base = self.tree(node.value)
            return None if base is None else ("attr", base, node.attr)
        if isinstance(node, ast.Call):
            known = self._read.get(id(node))
            if known is None and (function := self.tree(node.func)) is not None:
                known = self._read[id(node)] = self._call_tree(function, node)
            return known
        return None

    def _is_object(self, node: ast.expr) -> bool:
        """Whether attributes of this are the program's business: its classes, their instances, its globals."""
        while isinstance(node, ast.Attribute | ast.Call):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                return node.func.id[:1].isupper()
            node = node.func if isinstance(node, ast.Call) else node.value
        if isinstance(node, ast.Name) and self.scope.is_program(node.id):
            if node.id in MODULE_NAMES:
                raise Unsupported("perhaps a module")
            return True
        return False

    def _call_tree(self, function: Any, node: ast.Call) -> Any:
        args: list[Any] = []
        for arg in node.args:
            if isinstance(arg, ast.Starred):
                value = self._argument(arg.value)
                if value[0] != "const" or type(value[1]) not in (list, tuple, range):
                    raise Unsupported("star")
                args.extend(("const", x) for x in value[1])
            else:
                args.append(self._argument(arg))
        kwargs: dict[str, Any] = {}
        for keyword in node.keywords:
            value = self._argument(keyword.value)
            if keyword.arg is not None:
                kwargs[keyword.arg] = value
            elif value[0] == "const" and type(value[1]) is dict and all(type(k) is str for k in value[1]):
                if value[1].keys() & kwargs.keys():
                    raise Unsupported("keyword given twice")
                kwargs.update((k, ("const", v)) for k, v in value[1].items())
            else:
                raise Unsupported("double star")
        return ("call", function, args, kwargs)

    def _set_tree(self, node: ast.expr) -> Any:
        """The tree that builds a constant set as Python would, with the same order of its elements; else None."""
        if isinstance(node, ast.Set) and node.elts:
            elements = self.value(ast.Tuple(node.elts, ast.Load()))
            if not elements.fixed:
                return None
            check_constant(elements.value)
            if len(node.elts) < _SMALLEST_FOLDED or any(type(x) not in SCALARS for x in elements.value):
                return ("call", ("const", set), [("const", elements.value)], {})
            folded: Any = ("call", ("const", frozenset), [("const", elements.value)], {})
            return ("call", ("attr", ("const", set()), "union"), [folded], {})
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 1:
            kind = self.value(node.func).value if self.tree(node.func) is None else None
            if kind in (set, frozenset) and not node.keywords:
                return ("call", ("const", kind), [self._argument(node.args[0])], {})
        return None

    def _argument(self, node: ast.expr) -> Any:
        tree = self.tree(node) or self._set_tree(node)
        if tree is not None:
            return tree
        before = len(self.trees)
        part = self.value(node)
        if not part.fixed or len(self.trees) != before:
            raise Unsupported("argument")
        check_constant(part.value)
        return ("const", part.value)


def check_constant(value: Any) -> None:
    """Raises Unsupported for what cannot be sent as an argument: functions, shared containers."""
    if type(value) in SCALARS:
        return
    seen: set[int] = set()
    stack = [value]
    while stack:
        v = stack.pop()
        kind = type(v)
        if kind in (Function, Items, Module):
            raise Unsupported("function as an argument")
        if kind in CONTAINERS and kind not in TEXTS and kind is not range:
            if kind is not tuple and kind is not frozenset:
                if id(v) in seen:
                    raise Unsupported("shared container")
                seen.add(id(v))
            if not SCALARS.issuperset(map(type, v)):
                stack.extend(v)
            if kind in MAPPINGS:
                stack.extend(v.values())
        elif is_namedtuple(v):
            stack.extend(v)
