"""Runs a whole program the way `python program.py` does: as `__main__`, on the real descriptors 0, 1 and 2."""

from __future__ import annotations

import builtins
import io
import sys

from gradebox_inside.describe import PROGRAM_FILE, error_info, exit_code
from gradebox_inside.loader import compile_program, new_module

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BOM = b"\xef\xbb\xbf"
_FLUSH_FAILED = 120  # the interpreter's own status for it


_opened = False


def open_streams() -> None:
    """New sys.stdin, stdout and stderr on descriptors 0, 1 and 2, as the interpreter makes them for pipes; once."""
    global _opened
    if _opened:
        return
    _opened = True
    streams = vars(sys)
    streams["stdin"] = streams["__stdin__"] = _stream(0, "r", "<stdin>", "surrogateescape")
    streams["stdout"] = streams["__stdout__"] = _stream(1, "w", "<stdout>", "surrogateescape")
    streams["stderr"] = streams["__stderr__"] = _stream(2, "w", "<stderr>", "backslashreplace")


def _stream(descriptor: int, mode: str, name: str, errors: str) -> io.TextIOWrapper:
    raw: Any = io.FileIO(descriptor, mode, closefd=False)
    raw.name = name
    buffer: Any = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    stream = io.TextIOWrapper(buffer, "utf-8", errors, newline="\n", line_buffering=descriptor == 2)
    stream.mode = mode  # type: ignore[misc]
    return stream


def run(source: bytes, argv: list[str]) -> tuple[int, dict[str, Any] | None]:
    """(exit code, info of the exception that ended it or None). Threads, atexit and flushing are done by then.

    The info of a program that does not compile has `"kind": "compile"`.
    """
    sys.argv = [PROGRAM_FILE, *argv]
    info: dict[str, Any] | None = None
    code = 0
    module = None
    try:
        compiled, text = compile_program(source.removeprefix(_BOM))
    except BaseException as error:
        info = error_info(error) | {"kind": "compile"}
        code = _report(error)
    else:
        module = new_module("__main__", text)
        module.__dict__["__builtins__"] = builtins
        try:
            exec(compiled, module.__dict__)
        except BaseException as error:
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            info = error_info(error)
            code = _report(error)
            del error
    if not _finish(module):
        code = _FLUSH_FAILED
    return code, info


def _report(error: BaseException) -> int:
    """What the interpreter does with an exception that nobody caught; its exit status."""
    if isinstance(error, SystemExit):
        if error.code is not None and not isinstance(error.code, int):
            _quietly(lambda: print(error.code, file=sys.stderr))
        return exit_code(error)
    _quietly(lambda: sys.stdout.flush())
    _quietly(lambda: sys.excepthook(type(error), error, error.__traceback__))
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def _quietly(action: Any) -> bool:
    try:
        action()
    except BaseException:
        return False
    return True


def _finish(module: Any) -> bool:
    """The interpreter's own end: threads, atexit, streams, then the module's names. False if stdout was lost."""
    threading = sys.modules.get("threading")
    if threading is not None:
        _quietly(lambda: threading._shutdown())
    _quietly(lambda: __import__("atexit")._run_exitfuncs())
    flushed = _flush()
    # As the interpreter does: what a program put in their place may not work any more without its globals.
    streams = vars(sys)
    for name in ("stdin", "stdout", "stderr"):
        streams[name] = streams[f"__{name}__"]
    if module is not None:  # objects with a __del__ speak last
        namespace = module.__dict__
        names = [n for n in namespace if n != "__builtins__"]
        for name in sorted(names, key=lambda n: not (n.startswith("_") and not n.startswith("__"))):
            namespace[name] = None
        flushed = _flush() and flushed
    return flushed


def _flush() -> bool:
    _quietly(lambda: sys.stderr.flush())
    stream = sys.stdout
    if stream is None or getattr(stream, "closed", False):
        return True
    return _quietly(stream.flush)
