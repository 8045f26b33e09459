"""Which images an engine offers, and which it could offer if they were built."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gradebox_engine.images.image import PYTHON, Image
from gradebox_engine.images.manifest import InvalidManifest, Manifest, image_of, load_manifest
from gradebox_engine.images.store import BuiltImage, Store

# What people and data sets call languages, and their names here.
_ALIASES = {
    "py": "python", "python3": "python", "c++": "cpp", "cxx": "cpp", "cpp17": "cpp", "c++17": "cpp",
    "c++20": "cpp20", "js": "javascript", "node": "javascript", "nodejs": "javascript", "ts": "typescript",
    "golang": "go", "rs": "rust", "sh": "bash", "shell": "bash",
}  # fmt: skip


def language_name(name: str) -> str:
    """A language's name here, for what people call it."""
    return _ALIASES.get(name.lower(), name.lower())


def image_name(named: str) -> str:
    """The name of an image in `name@digest`."""
    return named.partition("@")[0]


@dataclass(frozen=True)
class Offered:
    """A built image that an engine serves. unchecked: nobody has looked yet whether it is as it was built."""

    manifest: Manifest
    built: BuiltImage
    unchecked: bool

    def settings(self) -> dict[str, Any]:
        """What a worker needs to make the image, as plain data."""
        return {**asdict(self.built), "folder": str(self.built.folder), "unchecked": self.unchecked}


def offered(store: Store, names: Sequence[str] | None, *, check: bool) -> list[Offered]:
    """The images to be served, those of `names` or all that are built. check: whether each is as it was built.

    Raises ImageError and InvalidManifest.
    """
    found = []
    for name in store.names() if names is None else [name for name in names if name != PYTHON]:
        built = store.find(name)
        if check:
            built.check()
        found.append(Offered(load_manifest(built.manifest_file), built, unchecked=not check))
    return found


def built_image(settings: Mapping[str, Any]) -> Image:
    """The image that `Offered.settings` tells of. Raises ImageError and InvalidManifest."""
    fields = {**settings, "folder": Path(settings["folder"])}
    unchecked = fields.pop("unchecked")
    built = BuiltImage(**fields)
    if unchecked:
        built.check()
    return image_of(load_manifest(built.manifest_file), built.root, built.digest)


def known(recipes: Path) -> dict[str, Manifest]:
    """The images that could be built here, from the folders of recipes; what cannot be read is left out."""
    found = {}
    for folder in sorted(recipes.iterdir()) if recipes.is_dir() else ():
        try:
            manifest = load_manifest(folder)
        except InvalidManifest:
            continue
        found[manifest.name] = manifest
    return found


def build_command(name: str) -> str:
    """The command that makes an image available."""
    return f"gradebox images build {name}"
