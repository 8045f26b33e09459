"""What is run as a whole program: Python's source, or the command of another language with what was compiled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gradebox_engine.images.image import PROGRAM_FOLDER, Image, Language
from gradebox_engine.images.manifest import filled
from gradebox_engine.jail.launch import Jail, JailDied
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.jail.refusals import EXEC, FORK
from gradebox_engine.limits import Limits
from gradebox_engine.worker.compiler import Compiled

type Files = Sequence[tuple[str, bytes]]

PYTHON_FILE = "program.py"


@dataclass(frozen=True)
class Program:
    """An order for a sandboxed process, and what the process needs for it.

    granted, supervised, reserves_memory: see SandboxedProcess.start. tells_exit: an init says how it ended and which
    files it left. out_of_memory: see Language. on_shelf: what has to stand in the jail's /program.
    """

    order: tuple[Any, ...]
    granted: tuple[int, ...] = ()
    supervised: bool = False
    reserves_memory: bool = False
    tells_exit: bool = False
    out_of_memory: tuple[bytes, ...] = ()
    on_shelf: Compiled | None = None

    def start(self, jail: Jail, limits: Limits, stdin: int) -> SandboxedProcess:
        """Starts it. Raises JailDied."""
        return SandboxedProcess.start(
            jail,
            limits,
            stdin=stdin,
            keep_output=True,
            granted=self.granted,
            supervised=self.supervised,
            reserves_memory=self.reserves_memory,
            orders=(self.order,),
        )

    def put_on_shelf(self, jail: Jail) -> None:
        """Puts the compiled program where the jail's processes see it. Raises JailDied."""
        if self.on_shelf is None:
            return
        assert jail.shelf is not None, "an image with commands has a shelf"
        try:
            jail.shelf.put(self.on_shelf.key, self.on_shelf.files)
        except OSError as error:
            raise JailDied(f"the compiled program cannot be put into the jail: {error}") from error


def python_program(source: bytes, files: Files = (), fetch: Sequence[str] = (), argv: Sequence[str] = ()) -> Program:
    """A Python program, as `__main__`. files: what stands in its folder; fetch: names of files that it may leave."""
    order: tuple[Any, ...] = ("stdio", source, [PYTHON_FILE, *argv])
    if files or fetch:
        order = (*order, {"files": list(files), "fetch": list(fetch)})
    return Program(order, granted=(FORK,) if fetch else (), tells_exit=bool(fetch))


def command(
    image: Image,
    language: Language,
    compiled: Compiled,
    limits: Limits,
    files: Files = (),
    fetch: Sequence[str] = (),
) -> Program:
    """A compiled program of another language."""
    values = {
        "program": PROGRAM_FOLDER,
        "source": compiled.source_name,
        "main_class": compiled.main_class,
        "memory_mb": limits.memory_bytes >> 20,
    }
    order = {
        "argv": filled(compiled.run, values),
        "environment": environment_of(image, language, values),
        "files": list(files),
        "fetch": list(fetch),
    }
    return Program(
        ("exec", order),
        granted=(FORK, EXEC),
        supervised=True,
        reserves_memory=language.reserves_memory,
        tells_exit=True,
        out_of_memory=tuple(text.encode() for text in language.out_of_memory),
        on_shelf=compiled,
    )


def environment_of(image: Image, language: Language, values: dict[str, Any]) -> dict[str, str]:
    """The environment of a language's commands, placeholders filled in."""
    names = tuple(language.environment)
    own = filled(tuple(language.environment.values()), values)
    return {**image.environment, **dict(zip(names, own, strict=True))}
