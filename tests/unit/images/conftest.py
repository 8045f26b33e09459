"""Archives as tests want them: entries that no honest tool writes among them."""

import io
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gradebox_engine.images.tree import Tree


@dataclass(frozen=True)
class Entry:
    """One entry of a tar archive: a file by default."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    mode: int = 0o644


def folder(name: str) -> Entry:
    return Entry(name, kind=tarfile.DIRTYPE, mode=0o755)


def link(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.SYMTYPE, target=target)


def hard_link(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.LNKTYPE, target=target)


def tar(entries: Iterable[Entry]) -> bytes:
    """The archive with these entries, as they are."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.type, info.linkname, info.mode, info.size = entry.kind, entry.target, entry.mode, len(entry.content)
            archive.addfile(info, io.BytesIO(entry.content))
    return packed.getvalue()


Unpack = Callable[..., Path]


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    """Adds layers, each a list of entries, and writes the tree; returns its root."""

    def made(*layers: list[Entry], most_bytes: int = 1 << 20, most_entries: int = 1000) -> Path:
        staging, root = tmp_path / "staging", tmp_path / "root"
        staging.mkdir()
        root.mkdir()
        tree = Tree(staging, most_bytes=most_bytes, most_entries=most_entries)
        for number, layer in enumerate(layers):
            tree.add_tar(io.BytesIO(tar(layer)), f"layer {number}", whiteouts=True)
        tree.write(root)
        return root

    return made


def listed(root: Path) -> dict[str, str]:
    """Every path below `root`: a file's text, -> and a link's target, or / for a folder."""
    found = {}
    for place in sorted(root.rglob("*")):
        name = str(place.relative_to(root))
        if place.is_symlink():
            found[name] = f"-> {place.readlink()}"
        else:
            found[name] = "/" if place.is_dir() else place.read_text()
    return found
