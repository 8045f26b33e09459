"""Loads the program: once, as a real module that is in sys.modules under its own name."""

from __future__ import annotations

import builtins
import sys

from gradebox_inside.describe import PROGRAM_FILE, error_info

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

_Module = type(sys)
_modules = sys.modules


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
    source: bytes, name: str, with_typing: bool = False
) -> tuple[ModuleType | None, tuple[str, dict[str, Any]] | None]:
    """(module, None), or (None, (kind, info)) with kind "compile" or "raised"."""
    try:
        code, text = compile_program(source)
    except BaseException as error:  # SyntaxError, ValueError, MemoryError and RecursionError of deep nesting, …
        return None, ("compile", error_info(error))
    module = new_module(name, text)
    if with_typing:
        import typing

        module.__dict__.update((each, getattr(typing, each)) for each in _TYPING_NAMES)
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        return None, ("raised", error_info(error))
    return module, None
