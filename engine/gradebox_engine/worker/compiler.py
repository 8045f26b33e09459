"""Compiles programs, once each, in a sandbox of the jail that they run in, and keeps what came of it.

A compiler is a program that reads hostile input: it has limits of its own, nothing but the source, and a sandbox that
ends with it. Whatever it does to its limits is the source's fault, COMPILE_ERROR. What it leaves is data: files, with
names that are checked, held here in memory; no program can reach them, and those of the program that is to be run are
seen in its sandbox read-only (`jail.shelf`).
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gradebox_engine.images.image import Image, Language
from gradebox_engine.images.manifest import filled
from gradebox_engine.images.names import is_file_name
from gradebox_engine.jail.channel import INCOMING
from gradebox_engine.jail.launch import Jail
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.judge.suite import Verdict
from gradebox_engine.judge.text import shorten
from gradebox_engine.limits import Ceilings, compile_limits, resolve
from gradebox_engine.worker import java
from gradebox_engine.worker.running import until_exit
from gradebox_engine.worker.watch import Fault, OomWatch, Watch
from gradebox_inside.supervise import MOST_FILES

MAX_PROGRAM_BYTES = 32 << 20  # of all compiled files together
MAX_MESSAGE_CHARS = 2000
KEPT_BYTES = 64 << 20  # of compiled programs, a worker
KEPT_ENTRIES = 4096
COMPILER_THREADS = 64


@dataclass(frozen=True)
class Compiled:
    """A program that is ready to be run. key: of all that it was made of. run: the command, placeholders and all."""

    key: bytes
    files: tuple[tuple[str, bytes], ...]
    source_name: str
    main_class: str
    run: tuple[str, ...]
    message: str = ""


class Compiler:
    """Of one worker; keeps at most KEPT_BYTES, the least recently used leaving first."""

    def __init__(self, ceilings: Ceilings) -> None:
        self._ceilings = ceilings
        self._kept: OrderedDict[bytes, Compiled | Fault] = OrderedDict()
        self._bytes = 0

    def compile(
        self,
        jail: Jail,
        language: Language,
        source: bytes,
        oom: OomWatch,
        cancelled: Callable[[], bool],
        *,
        unit_tests: bool = False,
    ) -> Compiled | Fault:
        """The compiled program, or why there is none: COMPILE_ERROR. Raises JailDied, Cancelled.

        unit_tests: as the language's own unit tests, where it has them.
        """
        key = _key(jail.image, language, source, unit_tests)
        known = self._kept.get(key)
        if known is None:
            known = _compile(key, jail, language, source, oom, cancelled, self._ceilings, unit_tests)
            self._keep(key, known)
        self._kept.move_to_end(key)
        return known

    def _keep(self, key: bytes, made: Compiled | Fault) -> None:
        self._kept[key] = made
        self._bytes += _size(made)
        while len(self._kept) > 1 and (self._bytes > KEPT_BYTES or len(self._kept) > KEPT_ENTRIES):
            self._bytes -= _size(self._kept.popitem(last=False)[1])


def _size(made: Compiled | Fault) -> int:
    return 500 + (sum(len(content) for _, content in made.files) if isinstance(made, Compiled) else 0)


def _key(image: Image, language: Language, source: bytes, unit_tests: bool) -> bytes:
    digest = hashlib.sha256(f"{image.digest} {unit_tests} {language!r}".encode())
    digest.update(hashlib.sha256(source).digest())
    return digest.digest()


def _compile(
    key: bytes,
    jail: Jail,
    language: Language,
    source: bytes,
    oom: OomWatch,
    cancelled: Callable[[], bool],
    ceilings: Ceilings,
    unit_tests: bool,
) -> Compiled | Fault:
    tests = language.unit_tests if unit_tests else None
    name, main_class = (tests or language).source, ""
    commands, run = (tests or language).compile, (tests or language).run
    if language.main_class:
        found = java.declared(source.decode("utf-8", "replace"))
        name, main_class = found.file_name, found.main_class
        if not is_file_name(name):
            return Fault(Verdict.COMPILE_ERROR, "its public class has a name that no file can have")
    if not commands:
        return Compiled(key, ((name, source),), name, main_class, run)
    limits = resolve(compile_limits(language.compile_limits), ceilings)
    values = {"program": "", "source": name, "main_class": main_class, "memory_mb": limits.memory_bytes >> 20}
    order = {
        "commands": [filled(one, values) for one in commands],
        "environment": {**jail.image.environment, **_filled_values(language, values)},
        "files": [(name, source)],
    }
    jail.limit(limits.memory_bytes, limits.processes + COMPILER_THREADS)
    process = SandboxedProcess.start(
        jail,
        replace(limits, isolate=False),
        keep_output=True,
        supervised=True,
        reserves_memory=language.reserves_memory,
        orders=(("compile", order),),
    )
    left = _Left()
    with process:
        watch = Watch(process, limits)
        fault = until_exit(process, watch, cancelled, lambda payload: left.take(process.read(payload, INCOMING)))
        fault = fault or watch.overspent()
        process.finish() if fault is None else process.end()
    if fault is None and oom.fired():
        fault = Fault(Verdict.COMPILE_ERROR, f"used more than {limits.memory_bytes} bytes of memory")
    said = _said(process)
    if fault is not None:
        text = f"the compiler {fault.message}" + (f"; it said: {said}" if said else "")
        return Fault(Verdict.COMPILE_ERROR, shorten(text, MAX_MESSAGE_CHARS))
    if left.status != 0:
        return Fault(Verdict.COMPILE_ERROR, said or f"the compiler ended with {_ending(left.status)}")
    return Compiled(key, tuple(left.files.items()), name, main_class, run, said)


class _Left:
    """What a compiler's init tells, which is hostile: its word on a program is the program's own."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.status: int | None = None
        self._bytes = 0

    def take(self, message: tuple[Any, ...] | None) -> Fault | None:
        """Takes one message."""
        match message:
            case ("file", name, content) if type(content) is bytes:
                self._bytes += len(content)
                if not is_file_name(name) or name in self.files:
                    return Fault(Verdict.COMPILE_ERROR, "left a file with a strange name")
                if self._bytes > MAX_PROGRAM_BYTES or len(self.files) >= MOST_FILES:
                    return Fault(Verdict.COMPILE_ERROR, f"left more than {MAX_PROGRAM_BYTES} bytes")
                self.files[name] = content
            case ("exited", status, _) if type(status) is int and 0 <= status <= 0xFFFF:
                self.status = status
            case ("too_large", _):
                return Fault(Verdict.COMPILE_ERROR, "left a program that is too large")
            case _:
                return Fault(Verdict.COMPILE_ERROR, "came to no end that can be read")
        return None


def _filled_values(language: Language, values: dict[str, Any]) -> dict[str, str]:
    names = tuple(language.environment)
    return dict(zip(names, filled(tuple(language.environment.values()), values), strict=True))


def _said(process: SandboxedProcess) -> str:
    """What it wrote, from the beginning: the first error is the one that matters. Standard error first."""
    text = bytes(process.stderr.kept[:8192] or process.stdout.kept[:8192]).decode("utf-8", "replace")
    return shorten("\n".join(line for line in text.splitlines() if line.strip()), MAX_MESSAGE_CHARS)


def _ending(status: int | None) -> str:
    if status is None:
        return "nothing to say"
    code = os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) or os.WIFSIGNALED(status) else status
    return f"status {code}" if code >= 0 else f"signal {-code}"
