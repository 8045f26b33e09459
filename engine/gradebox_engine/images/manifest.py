"""The manifest of an image, `sandbox_images/<name>/manifest.toml`, and the image that it describes.

    name = "cpp"
    description = "C and C++ by GCC"
    warm_modules = ["json"]        # of Python, imported before any program
    heavy_modules = ["numpy"]      # of Python, warm in a jail of their own for the programs that import them

    [environment]                  # of everything in the image, beside the common one
    [limits]                       # of a test case, where a request does not say

    [[system_calls]]               # what its programs may call beyond the common policy
    names = ["sched_setaffinity"]
    reason = "why a program of this image cannot do without"

    [languages.cpp]                # no commands: Python, which the fork server runs by itself
    source = "main.cpp"
    compile = [["g++", "-O2", "-o", "program", "main.cpp"]]
    run = ["{program}/program"]
    compile_limits = { cpu_time_s = 30, memory_bytes = 2147483648 }

What a built image has to have: a Python 3.12 prefix at /opt/python (`bin/python3.12`), for the fork server; folders and
links at its top as Debian has them (`usr`, `bin -> usr/bin`, …); no file that its own uid 0 alone may read. Of its top
level `dev`, `proc`, `sys`, `tmp`, `run`, `gradebox` and `program` are left out: they are the jail's.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from gradebox_engine.images.host import inside_source
from gradebox_engine.images.image import (
    ENVIRONMENT,
    INSIDE_FOLDER,
    PYTHON,
    WARM_MODULES,
    Image,
    Language,
    UnitTests,
)

MANIFEST_NAME = "manifest.toml"
INTERPRETER = "/opt/python/bin/python3.12"
_OURS = frozenset(("dev", "proc", "sys", "tmp", "run", "gradebox", "program"))

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*([.+-][a-z0-9]+)*$", max_length=64)]
LanguageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+#]*$", max_length=32)]
Module = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=100)]
Command = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]

# {program}, {source}, {main_class}, {memory_mb}, {memory_mb*0.5}: see `filled`.
_PLACEHOLDER = re.compile(r"\{(program|source|main_class|memory_mb)(?:\*(0?\.\d+))?\}")
_BRACES = re.compile(r"\{[^{}]*\}")


class InvalidManifest(ValueError):
    """A manifest that cannot be used; one line a fault: file, field, what is wrong."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DefaultLimits(_Part):
    """Limits as a request has them; seconds and bytes. None: the engine's default."""

    cpu_time_s: PositiveFloat | None = None
    wall_time_s: PositiveFloat | None = None
    memory_bytes: PositiveInt | None = None
    output_bytes: PositiveInt | None = None
    processes: PositiveInt | None = None
    disk_bytes: PositiveInt | None = None


class SystemCalls(_Part):
    """System calls in which an image differs from the common policy, and why.

    "allow": its programs may make them. "refuse": they are refused without being taken for a sign of an attack, since
    honest programs of this image, or what runs them, make them and do without.
    """

    answer: Literal["allow", "refuse"] = "allow"
    names: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")], ...], Field(min_length=1)]
    reason: Annotated[str, Field(min_length=10)]


def _check_placeholders(*commands: tuple[str, ...]) -> None:
    for word in (word for command in commands for word in command):
        for placeholder in _BRACES.findall(word):
            if not _PLACEHOLDER.fullmatch(placeholder):
                raise ValueError(f"unknown placeholder {placeholder} in {word!r}")


class UnitTestsManifest(_Part):
    """How a whole-program test is compiled and run whose text matches `pattern`: the language's own unit tests."""

    pattern: Annotated[str, Field(min_length=1)]
    source: FileName
    compile: tuple[Command, ...] = ()
    run: Command

    @model_validator(mode="after")
    def _is_whole(self) -> "UnitTestsManifest":
        _check_placeholders(self.run, *self.compile)
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"`pattern` is no regular expression: {error}") from None
        return self


class LanguageManifest(_Part):
    """One language of an image; see `images.image.Language` for the fields. Without `run` it is Python."""

    source: FileName | None = None
    compile: tuple[Command, ...] = ()
    run: Command | None = None
    compile_limits: DefaultLimits = DefaultLimits()
    environment: dict[str, str] = {}
    main_class: Literal["java"] | None = None
    out_of_memory: tuple[Annotated[str, Field(min_length=5)], ...] = ()
    assertion: tuple[Annotated[str, Field(min_length=5)], ...] = ()
    failed_quietly: tuple[Annotated[str, Field(min_length=5)], ...] = ()
    reserves_memory: bool = False
    unit_tests: UnitTestsManifest | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> "LanguageManifest":
        if (self.run is None) != (self.source is None):
            raise ValueError("`source` and `run` belong together; Python alone has neither")
        if self.run is None and self.compile:
            raise ValueError("`compile` without `run`")
        _check_placeholders(self.run or (), tuple(self.environment.values()), *self.compile)
        return self


class Manifest(_Part):
    """An image as its folder describes it."""

    name: Name
    description: Annotated[str, Field(min_length=1)]
    languages: Annotated[dict[LanguageName, LanguageManifest], Field(min_length=1)]
    warm_modules: tuple[Module, ...] = ()
    heavy_modules: tuple[Module, ...] = ()
    environment: dict[str, str] = {}
    limits: DefaultLimits = DefaultLimits()
    system_calls: tuple[SystemCalls, ...] = ()

    @model_validator(mode="after")
    def _has_commands(self) -> "Manifest":
        for name, language in self.languages.items():
            if (language.run is None) != (name == PYTHON):
                raise ValueError(f"languages.{name}: every language but {PYTHON} has `source` and `run`")
        return self


def parse_manifest(text: str, where: str = MANIFEST_NAME) -> Manifest:
    """The manifest in `text`; `where` names it in errors. Raises InvalidManifest."""
    try:
        return Manifest.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidManifest(f"{where}: not TOML: {error}") from None
    except ValidationError as error:
        lines = [f"{where}: {'.'.join(map(str, e['loc'])) or 'manifest'}: {e['msg']}" for e in error.errors()]
        raise InvalidManifest("\n".join(lines)) from None


def load_manifest(path: Path) -> Manifest:
    """The manifest in a file, or in the folder of an image. Raises InvalidManifest."""
    file = path / MANIFEST_NAME if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidManifest(f"{file}: cannot be read: {error}") from None
    return parse_manifest(text, str(file))


def image_of(manifest: Manifest, root: Path, digest: str) -> Image:
    """The image that is built in the folder `root`. digest: of that folder's content and of the manifest, in hex.

    Raises InvalidManifest when there is no interpreter in `root`.
    """
    if not _inside(root, INTERPRETER):
        raise InvalidManifest(f"{manifest.name}: {root} has no {INTERPRETER}; build the image again")
    binds: list[tuple[Path, str]] = []
    links: dict[str, str] = {}
    for entry in sorted(root.iterdir()):
        if entry.name in _OURS:
            continue
        if entry.is_symlink():
            links[f"/{entry.name}"] = str(entry.readlink())
        elif entry.is_dir() and any(entry.iterdir()):  # every mount is copied at every fork: not for an empty folder
            binds.append((entry, f"/{entry.name}"))
    binds.append((inside_source(), INSIDE_FOLDER))
    return Image(
        name=manifest.name,
        languages=tuple(manifest.languages),
        binds=tuple(binds),
        links=links,
        interpreter=INTERPRETER,
        environment={**ENVIRONMENT, **manifest.environment},
        warm_modules=tuple(dict.fromkeys((*_warm(manifest), *manifest.warm_modules))),
        digest=digest,
        heavy_modules=manifest.heavy_modules,
        system_calls=_system_calls(manifest, "allow"),
        refused_calls=_system_calls(manifest, "refuse"),
        commands={name: language_of(name, its) for name, its in manifest.languages.items() if its.run is not None},
        limits=manifest.limits.model_dump(exclude_none=True),
    )


def _system_calls(manifest: Manifest, answer: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in manifest.system_calls if some.answer == answer for name in some.names))


def _warm(manifest: Manifest) -> tuple[str, ...]:
    commands = ("signal",) if any(language.run for language in manifest.languages.values()) else ()
    return (*(WARM_MODULES if PYTHON in manifest.languages else ()), *commands)


def _inside(root: Path, path: str) -> bool:
    """Whether `root` has a file at `path`, as the jail would find it: links are followed inside `root` only."""
    place = root / path.lstrip("/")
    if place.is_symlink():
        target = place.readlink()
        return _inside(root, str(target)) if target.is_absolute() else (place.parent / target).exists()
    return place.is_file()


def language_of(name: str, its: LanguageManifest) -> Language:
    """A language as the worker takes it."""
    assert its.run is not None and its.source is not None
    return Language(
        name=name,
        source=its.source,
        run=its.run,
        compile=its.compile,
        compile_limits=its.compile_limits.model_dump(exclude_none=True),
        environment=dict(its.environment),
        main_class=its.main_class == "java",
        out_of_memory=its.out_of_memory,
        assertion=its.assertion,
        failed_quietly=its.failed_quietly,
        reserves_memory=its.reserves_memory,
        unit_tests=UnitTests(**its.unit_tests.model_dump()) if its.unit_tests else None,
    )


def filled(command: tuple[str, ...], values: dict[str, Any]) -> list[str]:
    """A command with its placeholders filled in. values: program, source, main_class, and memory_mb, a number."""

    def value(found: re.Match[str]) -> str:
        name, part = found.groups()
        return str(max(1, int(values[name] * float(part)))) if part else str(values[name])

    return [_PLACEHOLDER.sub(value, word) for word in command]
