"""The recipe of an image, `sandbox_images/<name>/recipe.toml`: where the content of its root file system comes from.

    suite = "bookworm"                       # of Debian
    packages = ["g++", "libc6-dev"]          # Debian's; what they depend on comes with them
    requirements = ["numpy==1.26.*"]         # Python packages, from wheels, for the interpreter at /opt/python
    node_modules = ["lodash@4"]              # npm's, into /opt/node_modules; what they depend on is named, too
    remove = ["usr/share/icons"]             # beside what no image keeps
    prepare = "prepare.py"                   # a script of this folder, run in the image by its interpreter, at last

    [links]
    "usr/bin/java" = "../lib/jvm/java-17-openjdk-amd64/bin/java"

Beside it stand the locks, a line a package, each with the hash of what it was resolved to: `packages.amd64.lock`,
`requirements.amd64.lock`, `node_modules.lock`. `gradebox images build NAME --update-lock` writes them.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gradebox_engine.images.manifest import MANIFEST_NAME

RECIPE_NAME = "recipe.toml"

PackageName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$", max_length=128)]
Requirement = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[a-z0-9,-]+\])?\s*([<>=!~][=<>!~0-9a-z.*+,\s]*)?$")
]
NodeModule = Annotated[str, Field(pattern=r"^(@[a-z0-9-]+/)?[a-z0-9][a-z0-9._-]*@[0-9^~][0-9a-z.^~-]*$")]
InnerPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_+.@-]+(/[A-Za-z0-9_+.@*-]+)*$")]


class InvalidRecipe(ValueError):
    """A recipe or a lock that cannot be used; one line a fault: file, line or field, what is wrong, what to do."""


class Recipe(BaseModel):
    """What an image is made of; see the module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: Annotated[str, Field(pattern=r"^[a-z]+$")]
    packages: Annotated[tuple[PackageName, ...], Field(min_length=1)]
    requirements: tuple[Requirement, ...] = ()
    node_modules: tuple[NodeModule, ...] = ()
    remove: tuple[InnerPath, ...] = ()
    links: dict[InnerPath, Annotated[str, Field(pattern=r"^[A-Za-z0-9_+./@-]+$")]] = {}
    prepare: Annotated[str, Field(pattern=r"^[a-z_]+\.py$")] | None = None

    @field_validator("remove", "links")
    @classmethod
    def _stay_inside(cls, paths: tuple[str, ...] | dict[str, str]) -> tuple[str, ...] | dict[str, str]:
        for path in paths:
            if ".." in path.split("/"):
                raise ValueError(f"{path!r} leads out of the image")
        return paths


@dataclass(frozen=True)
class Locked:
    """One line of a lock: this version, and the hash of its content (SHA-256 in hex; npm's `sha512-` in base64)."""

    name: str
    version: str
    hash: str


@dataclass(frozen=True)
class LockKind:
    """How a lock's lines read. field: of the recipe, what it was made of; for_machine: differs by architecture."""

    field: str
    line: re.Pattern[str]
    form: str
    for_machine: bool = True

    def file(self, folder: Path, architecture: str) -> Path:
        """Where this lock of a recipe's folder is."""
        return folder / (f"{self.field}.{architecture}.lock" if self.for_machine else f"{self.field}.lock")


_HEX = r"(?P<hash>[0-9a-f]{64})"
PACKAGES = LockKind(
    "packages",
    re.compile(rf"(?P<name>[a-z0-9][a-z0-9+.-]+)=(?P<version>[A-Za-z0-9.+:~-]+) sha256:{_HEX}"),
    "{name}={version} sha256:{hash}",
)
REQUIREMENTS = LockKind(
    "requirements",
    re.compile(rf"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.+!-]+) --hash=sha256:{_HEX}"),
    "{name}=={version} --hash=sha256:{hash}",
)
NODE_MODULES = LockKind(
    "node_modules",
    re.compile(
        r"(?P<name>(@[a-z0-9-]+/)?[a-z0-9._-]+)@(?P<version>[0-9A-Za-z.+-]+) (?P<hash>sha512-[A-Za-z0-9+/=]{80,})"
    ),
    "{name}@{version} {hash}",
    for_machine=False,
)


def load_recipe(folder: Path) -> Recipe:
    """The recipe in an image's folder. Raises InvalidRecipe."""
    file = folder / RECIPE_NAME
    try:
        recipe = Recipe.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRecipe(f"{file}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidRecipe(f"{file}: not TOML: {error}") from None
    except ValidationError as error:
        lines = [f"{file}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise InvalidRecipe("\n".join(lines)) from None
    if recipe.prepare and not (folder / recipe.prepare).is_file():
        raise InvalidRecipe(f"{file}: prepare: {folder / recipe.prepare}: no such file")
    return recipe


def load_lock(kind: LockKind, folder: Path, architecture: str) -> tuple[Locked, ...]:
    """What a lock of an image's folder says. Raises InvalidRecipe, naming the command that mends it."""
    file = kind.file(folder, architecture)
    renew = f"write it anew with: gradebox images build {folder.name} --update-lock"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InvalidRecipe(f"{file}: there is no lock for this architecture; {renew}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRecipe(f"{file}: cannot be read: {error}") from None
    locked: dict[str, Locked] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = kind.line.fullmatch(line)
        if found is None:
            raise InvalidRecipe(f"{file}:{number}: not of the form `{kind.form}`: {line[:80]!r}; {renew}")
        if found["name"] in locked:
            raise InvalidRecipe(f"{file}:{number}: {found['name']} stands there twice; {renew}")
        locked[found["name"]] = Locked(found["name"], found["version"], found["hash"])
    return tuple(locked.values())


def save_lock(kind: LockKind, folder: Path, architecture: str, locked: list[Locked]) -> None:
    """Writes a lock, sorted by names; none where there is nothing to lock."""
    file = kind.file(folder, architecture)
    if not locked:
        file.unlink(missing_ok=True)
        return
    lines = [f"# Made by `gradebox images build {folder.name} --update-lock`."]
    lines += sorted(kind.form.format(name=one.name, version=one.version, hash=one.hash) for one in locked)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def recipes_folder() -> Path:
    """Where the recipes are that come with this installation: in its package, or in the checkout that it runs from."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "sandbox_images"
    return shipped if shipped.is_dir() else package.parent.parent / "sandbox_images"


def recipe_names(folder: Path) -> list[str]:
    """The images that can be built from the recipes in `folder`."""
    return sorted(
        file.parent.name for file in folder.glob(f"*/{RECIPE_NAME}") if (file.parent / MANIFEST_NAME).is_file()
    )
