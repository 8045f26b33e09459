"""Where built images lie.

    STORE/cpp/current -> 0123456789abcdef          the one that engines serve
    STORE/cpp/0123456789abcdef/rootfs/             its root file system
    STORE/cpp/0123456789abcdef/manifest.toml
    STORE/cpp/0123456789abcdef/image.json          digest, listing, size, and what it was built of

A build that is done is moved into place and then `current` is switched: an engine that serves the one before keeps it,
and whoever looks in between finds one or the other, whole. The version before the last is kept for such engines; older
ones are removed.
"""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gradebox_engine.images.digest import UnexpectedFile, content_digest, listing_digest, size_bytes
from gradebox_engine.images.manifest import MANIFEST_NAME

_CURRENT, _ROOT, _RECORD = "current", "rootfs", "image.json"
IMPORTED = "imported "  # how the source of an image starts that was not built here
_SHORT = 16  # digits of the digest in a folder's name


class ImageError(RuntimeError):
    """An image cannot be used; the text says which, why, and what to do."""


class ImageNotBuilt(ImageError):
    """There is a recipe, perhaps, but nothing was built of it."""


class ImageChanged(ImageError):
    """The image's files are not those that were built."""


@dataclass(frozen=True)
class BuiltImage:
    """An image in the store. digest, listing: see `digest`. source: what it was built of, see `build`. Times: epoch."""

    name: str
    folder: Path
    digest: str
    listing: str
    size_bytes: int
    built_s: float
    source: str

    @property
    def root(self) -> Path:
        """Its root file system."""
        return self.folder / _ROOT

    @property
    def manifest_file(self) -> Path:
        """Its manifest, which the digest covers."""
        return self.folder / MANIFEST_NAME

    def is_as_listed(self) -> bool:
        """Whether no entry was touched since the listing was made. Takes some 10 us an entry."""
        try:
            return self.listing == _listing(self.folder)
        except OSError:
            return False

    def verify(self) -> None:
        """Reads everything. Raises ImageChanged."""
        try:
            found = content_digest(self.root, self.manifest_file.read_bytes())
        except (OSError, UnexpectedFile) as error:
            raise ImageChanged(f"image {self.name}: {error}; build it again: {_command(self.name)} --force") from None
        if found != self.digest:
            raise ImageChanged(
                f"image {self.name}: its content was changed (sha256:{found[:_SHORT]}… is not "
                f"sha256:{self.digest[:_SHORT]}…), so it is not used; build it again: {_command(self.name)} --force"
            )

    def check(self) -> None:
        """What an engine does before it serves an image. Raises ImageChanged.

        Reads everything only where the listing differs: after a copy, which is then listed anew where that can be
        written, or after a change.
        """
        if self.is_as_listed():
            return
        self.verify()
        with contextlib.suppress(OSError):  # a store that cannot be written is read whole at every start
            _write_record(replace(self, listing=_listing(self.folder)))


def _command(name: str) -> str:
    return f"gradebox images build {name}"


def _listing(folder: Path) -> str:
    """Of the root file system and the manifest; the record beside them is not part of it."""
    manifest = os.stat(folder / MANIFEST_NAME)
    return f"{listing_digest(folder / _ROOT)}-{manifest.st_ino}-{manifest.st_size}-{manifest.st_ctime_ns}"


def _write_record(image: BuiltImage) -> None:
    fields = {name: value for name, value in asdict(image).items() if name not in ("name", "folder")}
    place = image.folder / _RECORD
    partial = place.with_suffix(".partial")
    partial.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")
    partial.replace(place)


class Store:
    """The built images in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """The images that are there."""
        return sorted(link.parent.name for link in self.folder.glob(f"*/{_CURRENT}"))

    def find(self, name: str) -> BuiltImage:
        """The image called `name`, unchecked. Raises ImageNotBuilt, or ImageChanged when its record cannot be read."""
        link = self.folder / name / _CURRENT
        try:
            folder = link.parent / link.readlink().name
        except OSError:
            raise ImageNotBuilt(f"image {name} is not built (looked in {self.folder}); run: {_command(name)}") from None
        try:
            fields = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            return BuiltImage(
                name=name,
                folder=folder,
                digest=str(fields["digest"]),
                listing=str(fields["listing"]),
                size_bytes=int(fields["size_bytes"]),
                built_s=float(fields["built_s"]),
                source=str(fields["source"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ImageChanged(
                f"image {name}: {folder / _RECORD} cannot be read ({error}); build it again: {_command(name)} --force"
            ) from None

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A folder of the store in which an image is made; removed in the end. One at a time for a name.

        Raises ImageError while another process makes the same image, or when nothing can be written.
        """
        try:
            home = self.folder / name
            home.mkdir(parents=True, exist_ok=True)
            lock = open(home / ".lock", "w")
        except OSError as error:
            raise ImageError(f"the image store {self.folder} cannot be written: {error.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ImageError(f"image {name} is being made by another process") from None
            for left in home.glob(".making-*"):  # of one that was killed
                shutil.rmtree(left, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=".making-", dir=home))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def add(self, name: str, staged: Path, manifest: bytes, source: str) -> BuiltImage:
        """Takes the root file system `staged`/rootfs as the image's new version. Raises UnexpectedFile, OSError."""
        root = staged / _ROOT
        (staged / MANIFEST_NAME).write_bytes(manifest)
        staged.chmod(0o755)
        digest = content_digest(root, manifest)
        home = self.folder / name
        place = home / digest[:_SHORT]
        before = _target(home / _CURRENT)
        if place.exists():  # the same content, perhaps damaged since
            shutil.rmtree(place)
        staged.rename(place)
        image = BuiltImage(name, place, digest, _listing(place), size_bytes(place / _ROOT), time.time(), source)
        _write_record(image)
        switch = home / ".current"
        switch.unlink(missing_ok=True)
        switch.symlink_to(place.name)
        switch.replace(home / _CURRENT)
        for old in home.iterdir():
            if (
                old.is_dir()
                and not old.is_symlink()
                and not old.name.startswith(".")
                and old.name not in (place.name, before)
            ):
                shutil.rmtree(old, ignore_errors=True)
        return image


def _target(link: Path) -> str | None:
    try:
        return link.readlink().name
    except OSError:
        return None
