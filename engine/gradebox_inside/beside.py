"""Runs a test beside the program, in its namespace: for tests that patch the program or capture its output.

What such a test says is only as good as the program: it shares a process with it, and the result says so.
"""

from __future__ import annotations

import builtins
import sys
import time

from gradebox_inside.tests_run import outcome, run_code, run_module

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_cpu_ns = time.process_time_ns
_wall_ns = time.monotonic_ns
_set_up: dict[str, BaseException | None] = {}


def test_beside(module: ModuleType, index: int, kind: str, setup: str, source: str) -> tuple[Any, ...]:
    """("tested", index, cpu_ns, wall_ns, result). `setup` is executed once in a process."""
    cpu, wall = _cpu_ns(), _wall_ns()
    namespace = module.__dict__
    main = sys.modules.get("__main__")
    sys.modules["__main__"] = module  # for patch("__main__.f")
    ran = 0
    try:
        if setup not in _set_up:
            _set_up[setup] = run_code(setup, namespace) if setup.strip() else None
        error = _set_up[setup]
        if error is None and kind == "unittest":
            error, ran = run_module(source, namespace)
        elif error is None:
            error = run_code(source, namespace)
    finally:
        if main is not None:
            sys.modules["__main__"] = main
    return ("tested", index, _cpu_ns() - cpu, _wall_ns() - wall, outcome(error, ran))
