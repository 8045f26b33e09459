"""Limits of one test case: defaults, what is valid, and the server's ceilings.

Limits are on CPU time of the whole process tree. The wall limit only catches programs that sleep,
so its default is far above what a busy machine can make of the CPU limit: 4 x cpu_time_s + 10 s.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

# An interpreter with little loaded needs some of it before the program's first line.
MIN_MEMORY_BYTES = 16 << 20
MIN_DISK_BYTES = 4096  # a tmpfs of size 0 would be one without a limit


DEFAULT_CPU_TIME_S = 5.0


class InvalidLimit(ValueError):
    """A limit that makes no sense; `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def default_wall_time_s(cpu_time_s: float) -> float:
    """The safety net over a CPU limit, both in seconds."""
    return 4 * cpu_time_s + 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What one test case may use; seconds and bytes.

    `processes` counts the program's own process too; threads are limited apart (64).
    `isolate` gives every test case a fresh process.
    """

    cpu_time_s: float = DEFAULT_CPU_TIME_S
    wall_time_s: float = default_wall_time_s(DEFAULT_CPU_TIME_S)
    memory_bytes: int = 1 << 30
    output_bytes: int = 1 << 20
    processes: int = 1
    disk_bytes: int = 64 << 20
    isolate: bool = False


@dataclass(frozen=True, slots=True)
class Ceilings:
    """The most that a request gets of each limit, whatever it asks for; seconds and bytes."""

    cpu_time_s: float = 300.0
    wall_time_s: float = default_wall_time_s(300.0)
    memory_bytes: int = 8 << 30
    output_bytes: int = 64 << 20
    processes: int = 64
    disk_bytes: int = 1 << 30


def longest_wall_time_s(limits: Limits) -> float:
    """When a test case is ended even if it spent all this time waiting for a processor: a worker has other work."""
    return 2 * limits.wall_time_s + 30


LIMIT_NAMES = tuple(field.name for field in fields(Limits))
_SMALLEST: dict[str, int] = {
    "memory_bytes": MIN_MEMORY_BYTES,
    "output_bytes": 1,
    "processes": 1,
    "disk_bytes": MIN_DISK_BYTES,
}


def resolve(asked: dict[str, Any], ceilings: Ceilings) -> Limits:
    """Limits in effect for the limits that a request names: checked, completed, clamped.

    Raises InvalidLimit where a value is no positive number or too small to run anything.
    """
    for name, value in asked.items():
        if name not in LIMIT_NAMES:
            raise InvalidLimit(name, f"no such limit; there are {', '.join(LIMIT_NAMES)}")
        if name == "isolate":
            continue
        if not (math.isfinite(value) and value > 0):
            raise InvalidLimit(name, f"must be a positive number, not {value!r}")
        if value < _SMALLEST.get(name, 0):
            raise InvalidLimit(name, f"must be at least {_SMALLEST[name]}, not {value!r}")
    full = dict(asked)
    cpu_time_s = full.get("cpu_time_s", DEFAULT_CPU_TIME_S)
    full.setdefault("wall_time_s", default_wall_time_s(cpu_time_s))
    return clamp(Limits(**full), ceilings)


# Of all commands that compile one program, where a manifest says nothing. A compiler and its helpers are processes.
_COMPILING: dict[str, Any] = {"cpu_time_s": 30.0, "memory_bytes": 1 << 30, "processes": 16, "disk_bytes": 128 << 20}


def compile_limits(own: Mapping[str, Any]) -> dict[str, Any]:
    """The limits of compiling, as `resolve` takes them, for those that a language's manifest names."""
    return {**_COMPILING, **own}


def clamp(limits: Limits, ceilings: Ceilings) -> Limits:
    """`limits` with every value at most its ceiling."""
    return Limits(
        cpu_time_s=min(limits.cpu_time_s, ceilings.cpu_time_s),
        wall_time_s=min(limits.wall_time_s, ceilings.wall_time_s),
        memory_bytes=min(limits.memory_bytes, ceilings.memory_bytes),
        output_bytes=min(limits.output_bytes, ceilings.output_bytes),
        processes=min(limits.processes, ceilings.processes),
        disk_bytes=min(limits.disk_bytes, ceilings.disk_bytes),
        isolate=limits.isolate,
    )
