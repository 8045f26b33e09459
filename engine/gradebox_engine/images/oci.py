"""Imports an image that was built with OCI tools: a layout (a folder), or an archive of one (`podman save --format
oci-archive`, `docker buildx build --output type=oci`, `docker save` since Docker 25).

Nothing in it is believed: every blob is held against the digest and size that lead to it, and layers become a tree in
memory first (`tree`). The image has to hold what every image holds: see its Containerfile.
"""

import contextlib
import gzip
import hashlib
import json
import platform
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from gradebox_engine.images import finish
from gradebox_engine.images.manifest import parse_manifest
from gradebox_engine.images.store import IMPORTED, BuiltImage, Store
from gradebox_engine.images.tree import BadArchive, Readable, Tree

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MOST_JSON_BYTES = 4 << 20
_MOST_LAYERS = 500
_MOST_BYTES = 16 << 30
_CHUNK = 1 << 20
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


def import_image(
    source: Path, name: str, manifest: bytes, store: Store, told: Callable[[str], None], *, manifest_name: str
) -> BuiltImage:
    """Takes the image in `source` into the store. manifest: the text of its manifest.toml, which `manifest_name` names.

    Raises BadArchive, InvalidManifest, BuildError, ImageError.
    """
    described = parse_manifest(manifest.decode(errors="replace"), manifest_name)
    if described.name != name:
        raise BadArchive(f"{manifest_name}: name: {described.name!r} is not {name!r}")
    with store.staging(name) as staged:
        layout = source
        if not source.is_dir():
            told("reading the archive")
            layout = staged / "layout"
            layout.mkdir()
            unpack_layout(source, layout)
        contents, root = staged / "contents", staged / "rootfs"
        contents.mkdir()
        root.mkdir()
        tree = Tree(contents, most_bytes=_MOST_BYTES)
        layers = add_layers(tree, layout, told)
        tree.write(root)
        for left in (contents, staged / "layout"):
            finish.discard(left)
        finish.remove(root)
        finish.normalise(root)
        told("compiling Python modules")
        finish.compile_modules(root)
        told("checking")
        finish.check(root, described)
        finish.normalise(root)
        told("digest")
        return store.add(name, staged, manifest, f"{IMPORTED}{' '.join(layers)}")


def add_layers(tree: Tree, layout: Path, told: Callable[[str], None]) -> list[str]:
    """Adds the layers of the layout's image for this machine, and returns their digests. Raises BadArchive."""
    layers = _layers(layout)
    for number, layer in enumerate(layers, 1):
        told(f"layer {number} of {len(layers)}")
        _add_layer(tree, layout, layer, f"layer {number}")
    return [str(layer["digest"]) for layer in layers]


def unpack_layout(archive: Path, layout: Path) -> None:
    """Takes the index and the blobs out of an archive, and nothing else. Raises BadArchive."""
    left = _MOST_BYTES
    try:
        with tarfile.open(archive, "r:") as opened:
            for entry in opened:
                name = entry.name.removeprefix("./")
                blob = re.fullmatch(r"blobs/sha256/([0-9a-f]{64})", name)
                if not entry.isreg() or (name != "index.json" and blob is None):
                    continue
                place = layout / name
                place.parent.mkdir(parents=True, exist_ok=True)
                content = opened.extractfile(entry)
                assert content is not None
                with content, open(place, "wb") as target:
                    while chunk := content.read(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise BadArchive(f"{archive}: more than {_MOST_BYTES} bytes")
                        target.write(chunk)
    except (OSError, tarfile.TarError, EOFError, ValueError) as error:
        if isinstance(error, BadArchive):
            raise
        raise BadArchive(f"{archive}: not an OCI archive (an uncompressed tar): {error}") from None
    if not (layout / "index.json").exists():
        raise BadArchive(
            f"{archive}: not an OCI archive (it has no index.json): `podman save --format oci-archive` writes one, and"
            " `docker save` from Docker 25 on"
        )


def _read_json(place: Path) -> Any:
    try:
        if place.is_symlink() or place.stat().st_size > _MOST_JSON_BYTES:
            raise BadArchive(f"{place.name}: not what describes an image")
        return json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, BadArchive):
            raise
        raise BadArchive(f"{place.name}: cannot be read: {error}; an OCI layout has index.json and blobs/") from None


def _blob(layout: Path, descriptor: Any) -> Path:
    """The blob that a descriptor names, held against it. Raises BadArchive."""
    try:
        found = _DIGEST.fullmatch(descriptor["digest"])
        size = descriptor["size"]
    except (TypeError, KeyError):
        found = None
    if found is None or type(size) is not int:
        raise BadArchive("a descriptor without a SHA-256 digest and a size")
    place = layout / "blobs" / "sha256" / found[1]
    try:
        if place.is_symlink() or place.stat().st_size != size:
            raise BadArchive(f"blob {found[1][:16]}…: its size is not {size} bytes, as its descriptor says")
        with open(place, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise BadArchive(f"blob {found[1][:16]}…: {error.strerror}") from None
    if digest != found[1]:
        raise BadArchive(f"blob {found[1][:16]}…: its content is not what its digest says")
    return place


def _layers(layout: Path) -> list[dict[str, Any]]:
    """The descriptors of the layers, lowest first, of the image for this machine. Raises BadArchive."""
    document = _read_json(layout / "index.json")
    for _ in range(3):  # an index may name an index
        if isinstance(document, dict) and isinstance(document.get("layers"), list):
            layers: list[dict[str, Any]] = document["layers"]
            if not 0 < len(layers) <= _MOST_LAYERS or not all(isinstance(layer, dict) for layer in layers):
                raise BadArchive(f"an image of {len(layers)} layers")
            return layers
        document = _read_json(_blob(layout, _chosen(document)))
    raise BadArchive("index.json leads to no image")


def _chosen(index: Any) -> Any:
    """The one manifest of an index, or the one for this machine."""
    manifests = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(manifests, list) or not all(isinstance(one, dict) for one in manifests):
        raise BadArchive("index.json names no image")
    machine = _MACHINES.get(platform.machine(), platform.machine())
    ours = []
    for one in manifests:
        its = one.get("platform")
        if not isinstance(its, dict) or (its.get("os"), its.get("architecture")) == ("linux", machine):
            ours.append(one)
    if len(ours) != 1:
        raise BadArchive(f"{len(ours)} of its {len(manifests)} images are for linux/{machine}; there has to be one")
    return ours[0]


def _add_layer(tree: Tree, layout: Path, descriptor: dict[str, Any], where: str) -> None:
    kind = str(descriptor.get("mediaType", ""))
    with _opened(_blob(layout, descriptor), kind, where) as stream:
        try:
            tree.add_tar(stream, where, whiteouts=True)
        except (OSError, zlib.error) as error:  # pa.ArrowException is an OSError or a ValueError
            raise BadArchive(f"{where}: {error}") from None


@contextlib.contextmanager
def _opened(blob: Path, kind: str, where: str) -> Iterator[Readable]:
    if kind.endswith(("+gzip", ".tar.gzip")):
        with gzip.open(blob) as unzipped:
            yield unzipped
    elif kind.endswith("+zstd"):
        with pa.OSFile(str(blob), "rb") as packed, pa.CompressedInputStream(packed, "zstd") as unpacked:
            yield unpacked
    elif kind.endswith((".tar", ".layer.v1.tar")):
        with open(blob, "rb") as plain:
            yield plain
    else:
        raise BadArchive(f"{where}: of a kind that is not known: {kind[:100]!r}")
