"""Loads the program: once, as a real module that is in sys.modules under its own name."""

from __future__ import annotations

import builtins
import re
import sys

from gradebox_inside.describe import PROGRAM_FILE, error_info

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, ModuleType
    from typing import Any

_Module = type(sys)
_modules = sys.modules


# A quick look at the text: most programs have nothing of the kind, and are not parsed a second time.
_CATCHES_ALL = re.compile(r"\bexcept\s*:|\bBaseException\b|\bAssertionError\b|\bSystemExit\b")
_LARGEST_PARSED = 1 << 18  # characters; a tree takes some hundred bytes for each
_ONLY_TREE = 0x400  # ast.PyCF_ONLY_AST
_MEANT_TO_END = {"BaseException", "AssertionError", "SystemExit"}


def swallows_exceptions(text: str) -> bool:
    """Whether a handler in this source, which compiles, catches what is meant to end a program or fail a test.

    That is a bare `except`, or one that names BaseException, SystemExit or AssertionError, with no `raise` in it.
    """
    try:
        tree = compile(text, PROGRAM_FILE, "exec", _ONLY_TREE, dont_inherit=True)
    except (RecursionError, MemoryError):  # what compiles may still be nested too deep for a tree of objects
        return False
    for node in _walk(tree):
        if type(node).__name__ == "ExceptHandler" and _catches_ends(node.type):
            if not any(type(each).__name__ == "Raise" for each in _walk(node)):
                return True
    return False


def _catches_ends(kind: Any) -> bool:
    kinds = [kind] if kind is None or not hasattr(kind, "elts") else kind.elts
    return any(each is None or getattr(each, "id", None) in _MEANT_TO_END for each in kinds)


def _walk(node: Any) -> Iterator[Any]:
    """The node and all below it; ast.walk without the module, which every such program would pay for."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        for name in node._fields:
            value = getattr(node, name, None)
            for each in value if type(value) is list else (value,):
                if hasattr(each, "_fields"):
                    waiting.append(each)


class _Source:
    """The `__loader__` of a module that has no file: inspect and tracebacks ask it for the source."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_source(self, name: str) -> str:
        return self._text


def compile_program(source: bytes, filename: str = PROGRAM_FILE) -> tuple[CodeType, str]:
    """The code and the text of a source. Raises whatever the compiler raises; nothing of it has run then."""
    text = source.decode("utf-8", "surrogatepass")
    return compile(text, filename, "exec", dont_inherit=True, optimize=0), text


def new_module(name: str, text: str, filename: str = PROGRAM_FILE) -> ModuleType:
    """An empty module, registered under its name, whose source can be asked for."""
    module = _Module(name)
    namespace = module.__dict__
    namespace["__file__"] = filename
    namespace["__loader__"] = _Source(text)
    namespace["__builtins__"] = vars(builtins)  # else exec() would give it the private copy of this module
    _modules[name] = module
    return module


# What a program for call tests finds in its globals without importing it, by the convention of the sites that such
# problems come from. Not the typing names that are ordinary classes: these have methods that could be an entry point.
_TYPING_NAMES = ("Any", "Callable", "Deque", "DefaultDict", "Dict", "Iterable", "Iterator", "List", "Optional",
                 "Sequence", "Set", "Tuple", "Union")  # fmt: skip


def load(
    source: bytes, name: str, with_typing: bool = False, note: Callable[[str], None] | None = None
) -> tuple[ModuleType | None, tuple[str, dict[str, Any]] | None]:
    """(module, None), or (None, (kind, info)) with kind "compile" or "raised".

    note: is told, before the program's first line runs, what its source says of it.
    """
    try:
        code, text = compile_program(source)
    except BaseException as error:  # SyntaxError, ValueError, MemoryError and RecursionError of deep nesting, …
        return None, ("compile", error_info(error))
    if note is not None and len(text) <= _LARGEST_PARSED and _CATCHES_ALL.search(text) and swallows_exceptions(text):
        note("SWALLOWED_EXCEPTION")
    module = new_module(name, text)
    if with_typing:
        import typing

        module.__dict__.update((each, getattr(typing, each)) for each in _TYPING_NAMES)
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        return None, ("raised", error_info(error))
    return module, None
