"""What an image is to the jail, and a language to the worker."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

INSIDE_FOLDER = "/gradebox/gradebox_inside"
PACKAGES_FOLDER = "/gradebox/packages"
PROGRAM_FOLDER = "/program"
PYTHON = "python"  # the language that needs no command: the fork server is its interpreter

# Imported by the fork server before it forks: what programs for training tasks use most. Each costs a little memory,
# and so a little at every fork; typing alone costs more than a whole fork when a program has to import it.
WARM_MODULES = (
    "abc", "bisect", "collections", "collections.abc", "copy", "functools", "heapq", "itertools", "math", "operator",
    "re", "string", "typing",
)  # fmt: skip

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "USER": "program",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}


@dataclass(frozen=True)
class Language:
    """How the programs of one language other than Python are compiled and run.

    source: the file name that the program's text gets. compile: commands, one after the other, in a folder with that
    file; what they leave in it is the compiled program. run: the command of every run, in a scratch folder; {program}
    stands for the folder with the compiled program, {memory_mb} for the memory limit in MiB, {memory_mb*0.5} for a part
    of it, {source} for the source's name, {main_class} for the class with Java's `main`. compile_limits: of all its
    commands together, as Limits has them. main_class: the source is renamed by the public class in it, as javac wants.
    out_of_memory, assertion: texts on the standard error of a failed program, which say what its failure is:
    MEMORY_LIMIT; WRONG_ANSWER in a whole-program test. failed_quietly: texts at the start of a line of it by which a
    whole-program test has failed though its exit status is 0.
    unit_tests: how a whole-program test is compiled and run whose text matches `pattern`.
    reserves_memory: its programs reserve far more address space than they use, so nothing bounds that.
    """

    name: str
    source: str
    run: tuple[str, ...]
    compile: tuple[tuple[str, ...], ...] = ()
    compile_limits: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    main_class: bool = False
    out_of_memory: tuple[str, ...] = ()
    assertion: tuple[str, ...] = ()
    failed_quietly: tuple[str, ...] = ()
    reserves_memory: bool = False
    unit_tests: "UnitTests | None" = None


@dataclass(frozen=True)
class UnitTests:
    """What a language's own unit tests take in the place of Language's fields."""

    pattern: str
    source: str
    compile: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]


@dataclass(frozen=True)
class Image:
    """A root file system: what is bound where (read-only), and how the fork server starts in it.

    warm_modules: imported before any program. heavy_modules: those whose weight a program should not have to carry
    unless it uses them; a jail of their own (`with_heavy_modules`) has them warm. search_path: more folders of modules.
    system_calls: those that its programs may make on top of the common ones; refused_calls: those that are refused
    without being noted. commands: its languages other than Python.
    limits: its own defaults, for what a request leaves open.
    """

    name: str
    languages: tuple[str, ...]
    binds: tuple[tuple[Path, str], ...]
    links: dict[str, str]
    interpreter: str
    environment: dict[str, str]
    warm_modules: tuple[str, ...]
    digest: str
    heavy_modules: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()
    system_calls: tuple[str, ...] = ()
    refused_calls: tuple[str, ...] = ()
    commands: Mapping[str, Language] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)

    def with_heavy_modules(self) -> "Image":
        """The same, with its heavy modules warm."""
        return replace(self, warm_modules=(*self.warm_modules, *self.heavy_modules), heavy_modules=())
