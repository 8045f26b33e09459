"""Which names the tests' own code binds, and which of those the judge knows the value of.

In plain Python the test's names are looked up in one namespace: what test_setup and earlier tests bound there,
else what the program did, else the builtins. So a name that no test's code binds is the program's.
"""

import ast
import bisect
import builtins
import cmath
import collections
import copy
import datetime
import decimal
import fractions
import functools
import heapq
import itertools
import json
import math
import operator
import random
import re
import statistics
import string
import sys
import time
import typing
from types import ModuleType
from typing import Any, Final

from gradebox_engine.judge.functions import BUILTINS
from gradebox_engine.judge.library import MODULES
from gradebox_engine.judge.text import scopes

# Importing these has no effect that a test could see, so it need not be done before a fast test.
_INERT: Final[dict[str, ModuleType]] = {
    module.__name__: module
    for module in (
        *(bisect, cmath, collections, copy, datetime, decimal, fractions, functools, heapq, itertools),
        *(json, math, operator, random, re, statistics, string, sys, time, typing),
    )
}
BUILTIN_NAMES: Final = frozenset(dir(builtins))
_THIRD_PARTY = {"np", "numpy", "pd", "pandas", "plt", "scipy", "torch", "sp"}
# A name that stands for a module when nothing else is known of it: `math.pi` where only the program imports math.
MODULE_NAMES: Final = frozenset(sys.stdlib_module_names | _THIRD_PARTY)


class Module:
    """A module of the standard library, as far as checks can use it."""

    __slots__ = ("members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Any] = MODULES.get(name, {})


class Scope:
    """The names that the tests' code has bound so far.

    `known` has values; `aliases` are other names of program names; `foreign` names are bound to what the judge does
    not know. `anything` is set once any name may be bound. `inert` says that skipping the code so far changes nothing.
    """

    def __init__(self, entry_point: str | None, called_builtins: frozenset[str] = frozenset()) -> None:
        self.entry_point = entry_point
        self.called_builtins = called_builtins
        self.known: dict[str, Any] = {}
        self.aliases: dict[str, str] = {}
        self.foreign: set[str] = set()
        self.anything = False
        self.inert = True
        self.prelude: dict[str, str] = {}

    def bound(self, name: str) -> bool:
        """Whether the tests' code gives this name its meaning."""
        return self.anything or name in self.known or name in self.foreign or name in self.aliases

    def is_program(self, name: str) -> bool:
        """Whether the name is the program's: nobody else's, or the builtin name that is under test."""
        if name in self.aliases:
            return True
        if self.bound(name):
            return False
        return name not in BUILTIN_NAMES or name == self.entry_point or name in self.called_builtins

    def bind(self, name: str, value: Any) -> None:
        """Gives a name a value that the judge knows."""
        self.unbind(name)
        self.known[name] = value

    def bind_alias(self, name: str, target: str) -> None:
        """Gives a name the meaning of a program's name."""
        target = self.aliases.get(target, target)
        self.unbind(name)
        self.aliases[name] = target

    def bind_foreign(self, name: str) -> None:
        """Gives a name a value that the judge does not know."""
        self.unbind(name)
        self.foreign.add(name)

    def unbind(self, name: str) -> None:
        """Forgets what the name meant."""
        self.known.pop(name, None)
        self.aliases.pop(name, None)
        self.foreign.discard(name)

    def bind_import(self, node: ast.Import | ast.ImportFrom) -> bool:
        """Binds what an import binds. False when it may fail, or have an effect, or bind anything."""
        if isinstance(node, ast.Import):
            inert = True
            for alias in node.names:
                root = alias.name.split(".")[0]
                module = _INERT.get(alias.name)
                inert = inert and module is not None
                name = alias.asname or root
                if module is None:
                    self.bind_foreign(name)
                else:
                    self.bind(name, Module(alias.name))
            return inert
        module = _INERT.get(node.module or "") if node.level == 0 else None
        inert = module is not None
        for alias in node.names:
            if alias.name == "*":
                self._bind_star(node.module or "")
                inert = inert and node.module in MODULES
                continue
            members = MODULES.get(node.module or "", {})
            if module is not None and alias.name in members:
                self.bind(alias.asname or alias.name, members[alias.name])
            else:
                self.bind_foreign(alias.asname or alias.name)
                inert = inert and hasattr(module, alias.name)
        return inert

    def _bind_star(self, module: str) -> None:
        real = _INERT.get(module)
        if real is None:
            self.anything = True
            return
        members = MODULES.get(module, {})
        for name in getattr(real, "__all__", None) or [n for n in dir(real) if not n.startswith("_")]:
            if name in members:
                self.bind(name, members[name])
            else:
                self.bind_foreign(name)


def value_of_builtin(name: str) -> Any:
    """What a check knows of a builtin name; KeyError where it knows nothing."""
    return BUILTINS[name]


def global_names(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names that a test module looks up at module level, and those that it binds there.

    Both are empty for source that Python's own analysis of scopes refuses.
    """
    looked_up: set[str] = set()
    bound: set[str] = set()
    top = scopes(source)
    stack = [] if top is None else [top]
    while stack:
        table = stack.pop()
        stack.extend(table.get_children())
        for symbol in table.get_symbols():
            if table is top or symbol.is_global():
                if symbol.is_referenced():
                    looked_up.add(symbol.get_name())
                if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
                    bound.add(symbol.get_name())
    return frozenset(looked_up), frozenset(bound)
