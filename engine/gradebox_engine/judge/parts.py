"""Compiled expressions, and what their constants may weigh."""

from typing import Any

from gradebox_engine.judge.frame import Code, Unsupported
from gradebox_engine.judge.kinds import CONTAINERS, TEXTS

_ABSENT = object()


class Part:
    """A compiled expression. `value` is set when it is constant; `tree` is its index when it is one call."""

    __slots__ = ("code", "fixed", "program", "tree", "value")

    def __init__(self, code: Code, *, program: bool = False, tree: int | None = None, value: Any = _ABSENT):
        self.code = code
        self.program = program
        self.tree = tree
        self.value = value
        self.fixed = value is not _ABSENT


class PlanBudget:
    """How many elements the constants of one suite may have: they stay in memory with its plan."""

    __slots__ = ("left",)

    def __init__(self, elements: int = 4_000_000) -> None:
        self.left = elements

    def spend(self, value: Any) -> None:
        """Pays for keeping a constant; raises Unsupported when it is one too many."""
        if type(value) in CONTAINERS and type(value) is not range:
            self.left -= len(value) >> 3 if type(value) in TEXTS else len(value)
        if self.left < 0:
            raise Unsupported("constants")
