"""The ways of grading that a row of the benchmark can have, and what runs each one's driver."""

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

# Every program that is graded differs from the one before; this makes sure that nothing at all is remembered.
_NO_CACHE = {"GRADEBOX_CACHE_BYTES": "0"}


@dataclass(frozen=True)
class Way:
    """A way of grading.

    name: its name in results, the same as the driver's unless `driver` says otherwise. environment: of the driver,
    on top of this process's. modules: loaded by the driver beforehand. per_core: one driver a core; the engine uses
    all cores by itself. required: without it the row says nothing. left_out: why it cannot be measured here.
    """

    name: str
    title: str
    interpreter: str
    driver: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    per_core: bool = True
    required: bool = True
    left_out: str = ""

    @property
    def driver_name(self) -> str:
        """What the driver calls it."""
        return self.driver or self.name


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def bare_interpreter() -> str:
    """The interpreter behind a virtual environment, which starts at half the cost."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def python() -> Way:
    """An interpreter a program."""
    return Way("python", "plain python subprocess", bare_interpreter())


def fork_harness() -> Way:
    """AceCoder's way."""
    return Way("fork_harness", "fork harness (AceCoder's), no sandbox", bare_interpreter(), required=False)


def floor() -> Way:
    """The least that running a program in a process of its own can cost."""
    return Way("floor", "bare fork + exec (the floor)", bare_interpreter(), required=False)


def evalplus(interpreter: Path | None) -> Way:
    """evalplus, in an environment of its own."""
    reason = "" if interpreter else "no environment named (--evalplus-python)"
    return Way("evalplus", "evalplus's checker, no sandbox", str(interpreter), required=False, left_out=reason)


def nsjail_python() -> Way:
    """A jail a program."""
    return Way("nsjail_python", "nsjail + python, one a program", sys.executable, required=False, left_out=_no_root())


def sandbox() -> Way:
    """The sandbox alone."""
    return Way("sandbox", "the sandbox alone", sys.executable, required=False, left_out=_no_root())


def _no_root() -> str:
    return "" if os.geteuid() == 0 else "needs root, for mounts and uid maps"


def gradebox(**environment: str) -> Way:
    """The engine, with settings of its own."""
    title = "gradebox, full isolation, over gRPC"
    return Way("gradebox", title, sys.executable, environment=_NO_CACHE | environment, per_core=False)


def with_workers(count: int) -> Way:
    """The engine with so many workers."""
    way = gradebox(GRADEBOX_WORKERS=str(count))
    title = f"gradebox, {count} worker{'s' if count > 1 else ''}"
    return replace(way, name=f"workers_{count}", title=title, driver="gradebox")


def one_by_one() -> Way:
    """The engine, one submission at a time."""
    return replace(gradebox(), name="one_by_one", title="gradebox, one submission at a time")
