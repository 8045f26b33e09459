"""The store: what is found in it, and that a changed image is not."""

import json
import os
import shutil
from pathlib import Path

import pytest

from gradebox_engine.images.store import BuiltImage, ImageChanged, ImageError, ImageNotBuilt, Store

MANIFEST = b'name = "small"\n'


def make(store: Store, name: str = "small", **files: str) -> BuiltImage:
    with store.staging(name) as staged:
        root = staged / "rootfs"
        (root / "usr/bin").mkdir(parents=True)
        (root / "bin").symlink_to("usr/bin")
        for file, text in files.items():
            (root / "usr/bin" / file).write_text(text)
        return store.add(name, staged, MANIFEST, "the source")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images")


def test_what_was_added_is_found_whole(store: Store) -> None:
    made = make(store, tool="12345")
    found = store.find("small")
    assert found == made
    found.check()
    found.verify()
    assert found.size_bytes == 5
    assert (found.root / "bin/tool").read_text() == "12345"
    assert store.names() == ["small"]


def test_one_that_is_not_built_names_the_command(store: Store) -> None:
    with pytest.raises(ImageNotBuilt, match=r"^image cpp is not built .*; run: gradebox images build cpp$"):
        store.find("cpp")
    assert store.names() == []


def test_the_same_content_has_the_same_digest_and_other_content_another(store: Store, tmp_path: Path) -> None:
    first = make(store, tool="1")
    again = make(Store(tmp_path / "other"), tool="1")
    assert again.digest == first.digest
    assert make(Store(tmp_path / "third"), tool="2").digest != first.digest
    assert make(Store(tmp_path / "fourth"), lool="1").digest != first.digest


def test_a_changed_byte_is_seen_though_size_and_time_are_as_before(store: Store) -> None:
    image = make(store, tool="12345")
    file = image.root / "usr/bin/tool"
    before = file.stat()
    file.write_text("12346")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    with pytest.raises(ImageChanged, match=r"content was changed.*gradebox images build small --force"):
        store.find("small").check()


@pytest.mark.parametrize("change", ["add", "remove", "link", "mode", "manifest", "replace", "device"])
def test_every_change_is_refused(store: Store, change: str) -> None:
    image = make(store, tool="12345", other="1")
    tool = image.root / "usr/bin/tool"
    if change == "add":
        (image.root / "usr/new").write_text("")
    elif change == "remove":
        tool.unlink()
    elif change == "link":
        (image.root / "bin").unlink()
        (image.root / "bin").symlink_to("usr")
    elif change == "mode":
        tool.chmod(0o755)
    elif change == "manifest":
        image.manifest_file.write_bytes(MANIFEST + b"#")
    elif change == "device":
        os.mkfifo(image.root / "usr/pipe")
    else:
        tool.unlink()
        tool.write_text("54321")
    with pytest.raises(ImageChanged):
        store.find("small").check()
    with pytest.raises(ImageChanged):
        store.find("small").verify()


def test_a_copy_is_read_once_and_then_listed(store: Store, tmp_path: Path) -> None:
    make(store, tool="12345")
    shutil.copytree(store.folder, tmp_path / "copied", symlinks=True)
    copied = Store(tmp_path / "copied").find("small")
    assert not copied.is_as_listed()
    copied.check()
    assert Store(tmp_path / "copied").find("small").is_as_listed()


def test_a_new_version_takes_the_place_of_the_old_one_which_is_kept_once(store: Store) -> None:
    first, second = make(store, tool="1"), make(store, tool="2")
    assert store.find("small") == second
    assert first.root.is_dir()
    third = make(store, tool="3")
    assert not first.folder.exists()
    assert second.root.is_dir()
    assert store.find("small") == third


def test_a_damaged_image_is_mended_by_the_same_build(store: Store) -> None:
    image = make(store, tool="1")
    (image.root / "usr/bin/tool").write_text("2")
    make(store, tool="1").verify()
    assert not [path for path in image.folder.parent.iterdir() if path.name.startswith(".making")]


def test_a_record_that_cannot_be_read_is_a_changed_image(store: Store) -> None:
    image = make(store)
    (image.folder / "image.json").write_text("{")
    with pytest.raises(ImageChanged, match="cannot be read"):
        store.find("small")
    (image.folder / "image.json").write_text(json.dumps({"digest": "x"}))
    with pytest.raises(ImageChanged, match="cannot be read"):
        store.find("small")


def test_one_build_of_a_name_at_a_time(store: Store) -> None:
    with (
        store.staging("small"),
        pytest.raises(ImageError, match="being made by another process"),
        store.staging("small"),
    ):
        pass
    with store.staging("small") as left:
        (left / "x").mkdir()
    assert not left.exists()


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match=f"the image store {tmp_path}/file/store cannot be written"):
        with Store(tmp_path / "file/store").staging("small"):
            pass
