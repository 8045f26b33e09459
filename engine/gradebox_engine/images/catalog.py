"""Which images an engine offers, and which it could offer if they were built."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradebox_engine.images.image import Image
from gradebox_engine.images.manifest import InvalidManifest, Manifest, image_of, load_manifest

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
    """A built image that an engine serves. digest: in hex."""

    manifest: Manifest
    root: Path
    digest: str

    def settings(self) -> dict[str, Any]:
        """What a worker needs to make the image, as plain data."""
        manifest = self.manifest.model_dump(mode="json")
        return {"name": self.manifest.name, "manifest": manifest, "root": str(self.root), "digest": self.digest}


def built_image(settings: Mapping[str, Any]) -> Image:
    """The reverse of `Offered.settings`. Raises InvalidManifest."""
    return image_of(Manifest.model_validate(settings["manifest"]), Path(settings["root"]), settings["digest"])


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


def offering(language: str, manifests: Mapping[str, Manifest]) -> Sequence[str]:
    """The names of those images that have a language."""
    return [name for name, manifest in manifests.items() if language in manifest.languages]
