"""OCI layouts: which layers are taken, how they are packed, and that nothing in a layout is believed."""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.unit.images.conftest import Entry, listed, tar

from gradebox_engine.images.oci import add_layers, unpack_layout
from gradebox_engine.images.tree import BadArchive, Tree

OURS = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
LAYER = "application/vnd.oci.image.layer.v1.tar"


def zstd(content: bytes) -> bytes:
    packed = pa.compress(content, codec="zstd", asbytes=True)
    assert isinstance(packed, bytes)
    return packed


class Layout:
    """A layout in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)

    def blob(self, content: bytes, kind: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content), **more}

    def image(self, *layers: dict[str, Any], **more: Any) -> dict[str, Any]:
        manifest = json.dumps({"schemaVersion": 2, "layers": layers}).encode()
        return self.blob(manifest, "application/vnd.oci.image.manifest.v1+json", **more)

    def index(self, *images: dict[str, Any]) -> None:
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": images}))

    def unpack(self) -> dict[str, str]:
        staging, root = self.folder / "staging", self.folder / "root"
        staging.mkdir()
        root.mkdir()
        tree = Tree(staging)
        add_layers(tree, self.folder, lambda step: None)
        tree.write(root)
        return listed(root)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_layers_of_every_packing_are_unpacked_in_their_order(layout: Layout) -> None:
    layout.index(
        layout.image(
            layout.blob(tar([Entry("a", b"1"), Entry("b", b"1")]), LAYER),
            layout.blob(gzip.compress(tar([Entry("a", b"2"), Entry("c", b"2")])), f"{LAYER}+gzip"),
            layout.blob(zstd(tar([Entry(".wh.b"), Entry("c", b"3")])), f"{LAYER}+zstd"),
        )
    )
    assert layout.unpack() == {"a": "2", "c": "3"}


def test_the_image_for_this_machine_is_taken_also_from_an_index_of_indexes(layout: Layout) -> None:
    other = layout.image(layout.blob(tar([Entry("other")]), LAYER), platform={"os": "linux", "architecture": "s390x"})
    ours = layout.image(layout.blob(tar([Entry("ours", b"1")]), LAYER), platform={"os": "linux", "architecture": OURS})
    index = layout.blob(json.dumps({"manifests": [other, ours]}).encode(), "application/vnd.oci.image.index.v1+json")
    layout.index(index)
    assert layout.unpack() == {"ours": "1"}


def damaged(layout: Layout, blob: dict[str, Any]) -> dict[str, Any]:
    file = layout.folder / "blobs/sha256" / blob["digest"].removeprefix("sha256:")
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    return blob


def test_a_blob_that_is_not_what_its_digest_says_is_refused(layout: Layout) -> None:
    layout.index(layout.image(damaged(layout, layout.blob(tar([Entry("a")]), LAYER))))
    with pytest.raises(BadArchive, match="its content is not what its digest says"):
        layout.unpack()


def test_a_blob_of_another_size_is_refused(layout: Layout) -> None:
    layer = layout.blob(tar([Entry("a")]), LAYER)
    layout.index(layout.image({**layer, "size": layer["size"] + 1}))
    with pytest.raises(BadArchive, match="its size is not"):
        layout.unpack()


def test_a_blob_that_is_a_link_is_refused(layout: Layout, tmp_path: Path) -> None:
    layer = layout.blob(tar([Entry("a")]), LAYER)
    place = layout.folder / "blobs/sha256" / layer["digest"].removeprefix("sha256:")
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    layout.index(layout.image(layer))
    with pytest.raises(BadArchive, match="its size is not"):
        layout.unpack()


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{", "index.json: cannot be read"),
        ("[" * 100_000, "index.json: cannot be read"),
        ("[]", "names no image"),
        ('{"manifests": 1}', "names no image"),
        ('{"manifests": []}', "0 of its 0 images"),
        ('{"manifests": [{"digest": "sha256:../../etc/passwd", "size": 1}]}', "without a SHA-256 digest"),
        ('{"manifests": [{"digest": "md5:1", "size": 1}]}', "without a SHA-256 digest"),
        ('{"manifests": [{}]}', "without a SHA-256 digest"),
        ('{"manifests": [{"digest": "sha256:' + "0" * 64 + '", "size": 1}]}', "No such file"),
        ('{"layers": []}', "an image of 0 layers"),
        ('{"layers": [1]}', "an image of 1 layers"),
        ('{"layers": [{"digest": "sha256:' + "0" * 64 + '", "size": "1"}]}', "without a SHA-256 digest"),
    ],
)
def test_an_index_that_leads_nowhere_is_refused(layout: Layout, index: str, said: str) -> None:
    (layout.folder / "index.json").write_text(index)
    with pytest.raises(BadArchive, match=said):
        layout.unpack()


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"x" * 600, f"{LAYER}+gzip", "layer 1: "),
        (gzip.compress(tar([Entry("a", b"x" * 5000)]))[:-20], f"{LAYER}+gzip", "layer 1: "),
        (b"x" * 600, f"{LAYER}+zstd", "layer 1: "),
        (b"x" * 600, LAYER, "layer 1: not a tar archive"),
        (b"x" * 600, f"{LAYER}+encrypted", "layer 1: of a kind that is not known"),
        (tar([Entry("../x")]), LAYER, "layer 1: '../x' leads out"),
    ],
    # gzip's header holds the time: an id made of it would differ from one pytest-xdist worker to the next.
    ids=["no gzip", "half a gzip", "no zstd", "no tar", "encrypted", "leads out"],
)
def test_a_layer_that_cannot_be_read_is_refused(layout: Layout, content: bytes, kind: str, said: str) -> None:
    layout.index(layout.image(layout.blob(content, kind)))
    with pytest.raises(BadArchive, match=said):
        layout.unpack()


def test_an_archive_gives_its_blobs_and_nothing_else(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    name = "blobs/sha256/" + "0" * 64
    archive.write_bytes(
        tar(
            [
                Entry("./index.json", b"{}"),
                Entry(name, b"1"),
                Entry("../out", b"2"),
                Entry("blobs/sha256/../../out", b"3"),
                Entry("oci-layout", b"{}"),
                Entry("blobs/sha256/" + "1" * 64, kind=tarfile.SYMTYPE, target="/etc/passwd"),
            ]
        )
    )  # fmt: skip
    layout = tmp_path / "layout"
    layout.mkdir()
    unpack_layout(archive, layout)
    assert listed(layout) == {"index.json": "{}", "blobs": "/", "blobs/sha256": "/", name: "1"}
    assert not (tmp_path / "out").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(io.BytesIO(b"x" * 2000).getvalue())
    with pytest.raises(BadArchive, match="not an OCI archive"):
        unpack_layout(archive, tmp_path)


def test_an_archive_in_dockers_own_form_is_refused_with_what_to_do(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(tar([Entry("manifest.json", b"[]"), Entry("0123/layer.tar", b"1")]))
    with pytest.raises(BadArchive, match=r"no index\.json\): `podman save --format oci-archive` writes one"):
        unpack_layout(archive, tmp_path / "layout")
