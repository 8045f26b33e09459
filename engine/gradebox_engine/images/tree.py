"""A root file system that is put together from archives, in memory first.

Archives come from elsewhere, and say with every entry where to write. So nothing is written by an archive's paths:
contents go to numbered files of a staging folder, and the tree of names, with links followed as they would be followed
inside it, is only a model. When all archives are in, the model is written: folders, then files, then links, so that no
link is ever there to be followed.

Refused: names with `..` or that begin at the root, links that lead out, hard links to what is not there, devices and
pipes, more bytes or entries than the limits. Left out: everything below the folders that a jail makes for itself.
Owners, times, setuid bits and extended attributes (capabilities) are not taken over.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

MADE_BY_JAILS = ("dev", "proc", "sys", "tmp", "run", "gradebox", "program")
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MOST_LINKS = 40  # followed for one name, as in the kernel
_MOST_NAME_BYTES = 4096
_DEEPEST = 128  # folders in one another
_CHUNK = 1 << 20


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


class BadArchive(ValueError):
    """An archive that no honest tool makes, or that is larger than it may be; the text names the entry."""


@dataclass
class _File:
    """A regular file. content: the staged file, None for an empty one; shared by all names of a hard link."""

    content: Path
    executable: bool
    layer: int


@dataclass
class _Link:
    target: str
    layer: int


@dataclass
class _Folder:
    layer: int
    entries: "dict[str, _File | _Link | _Folder]" = field(default_factory=dict)


class _Entry(tarfile.TarInfo):
    """An entry whose extended headers, which are held in memory, have a sensible size."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        extended = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
        if self.type in (*extended, tarfile.GNUTYPE_LONGLINK) and self.size > _CHUNK:
            raise BadArchive(f"an extended header of {self.size} bytes")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


class Tree:
    """The model. staging: an empty folder on the file system that the tree will be written to."""

    def __init__(self, staging: Path, *, most_bytes: int = 16 << 30, most_entries: int = 2_000_000) -> None:
        self._staging = staging
        self._bytes_left = most_bytes
        self._most_bytes = most_bytes
        self._entries_left = most_entries
        self._most_entries = most_entries
        self._staged = 0
        self._layer = 0
        self._root = _Folder(0)

    def add_tar(
        self, stream: Readable, where: str, *, whiteouts: bool = False, below: str = "", without_top: bool = False
    ) -> None:
        """Adds an uncompressed archive, as a layer over what is there. Raises BadArchive; `where` names the archive.

        whiteouts: its entries `.wh.NAME` remove what lower layers have. below: the folder that it is unpacked in.
        without_top: without the first folder of each name.
        """
        self._layer += 1
        try:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Entry) as archive:  # type: ignore[call-overload]
                for entry in archive:
                    self._add(archive, entry, whiteouts=whiteouts, below=below, without_top=without_top)
        except BadArchive as error:
            raise BadArchive(f"{where}: {error}") from None
        except (tarfile.TarError, EOFError, UnicodeError, ValueError, OverflowError) as error:
            raise BadArchive(f"{where}: not a tar archive that can be read: {error}") from None

    def _add(
        self, archive: tarfile.TarFile, entry: tarfile.TarInfo, *, whiteouts: bool, below: str, without_top: bool
    ) -> None:
        self._entries_left -= 1
        if self._entries_left < 0:
            raise BadArchive(f"more than {self._most_entries} entries")
        parts = _parts(entry.name, entry.name)
        parts = [*_parts(below, below), *(parts[1:] if without_top else parts)]
        if not parts or parts[0] in MADE_BY_JAILS:
            return
        *above, name = parts
        folder = self._folder(above, entry.name)
        if whiteouts and name.startswith(_WHITEOUT):
            self._white_out(folder, name, entry.name)
        elif entry.isdir():
            there = folder.entries.get(name)
            if isinstance(there, _Folder):
                there.layer = self._layer
            else:
                folder.entries[name] = _Folder(self._layer)
        elif entry.isreg():
            source = archive.extractfile(entry)
            assert source is not None
            with source:
                content = self._stage(source, entry.name)
            folder.entries[name] = _File(content, bool(entry.mode & 0o111), self._layer)
        elif entry.issym():
            folder.entries[name] = _Link(_checked_target(above, entry), self._layer)
        elif entry.islnk():
            linked = self._find(_parts(entry.linkname, entry.name), entry.name)
            if not isinstance(linked, _File):
                raise BadArchive(f"{entry.name!r} is a hard link to {entry.linkname!r}, which is no file before it")
            folder.entries[name] = _File(linked.content, linked.executable, self._layer)
        else:
            raise BadArchive(f"{entry.name!r} is a device or a pipe, which no image may have")

    def _stage(self, source: Readable, name: str) -> Path:
        self._staged += 1
        place = self._staging / str(self._staged)
        with open(place, "wb") as target:
            while chunk := source.read(_CHUNK):
                self._bytes_left -= len(chunk)
                if self._bytes_left < 0:
                    raise BadArchive(f"{name!r}: more than {self._most_bytes} bytes in all")
                target.write(chunk)
        return place

    def _folder(self, parts: list[str], name: str) -> _Folder:
        """The folder at this path, made where it is missing, links followed inside the tree."""
        at = [self._root]
        waiting = list(reversed(parts))
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                at = at[:-1] or at
                continue
            there = at[-1].entries.get(part)
            if there is None:
                there = at[-1].entries[part] = _Folder(self._layer)
            if isinstance(there, _File):
                raise BadArchive(f"{name!r} is below a file")
            if isinstance(there, _Link):
                links += 1
                if links > _MOST_LINKS:
                    raise BadArchive(f"{name!r}: too many links on the way")
                if there.target.startswith("/"):
                    at = at[:1]
                waiting += [step for step in reversed(there.target.split("/")) if step not in ("", ".")]
                continue
            there.layer = self._layer  # it is a folder of this layer, too
            at.append(there)
            if len(at) > _DEEPEST:
                raise BadArchive(f"{name[:200]!r}: more than {_DEEPEST} folders deep")
        return at[-1]

    def _find(self, parts: list[str], name: str) -> "_File | _Link | _Folder | None":
        if not parts:
            return self._root
        return self._folder(parts[:-1], name).entries.get(parts[-1])

    def _white_out(self, folder: _Folder, marker: str, name: str) -> None:
        if marker == _OPAQUE:
            _drop_lower(folder, self._layer)
            return
        hidden = marker.removeprefix(_WHITEOUT)
        if hidden in ("", ".", ".."):
            raise BadArchive(f"{name!r} hides nothing")
        there = folder.entries.get(hidden)
        if isinstance(there, _Folder) and there.layer == self._layer:
            _drop_lower(there, self._layer)
        elif there is not None and there.layer < self._layer:
            del folder.entries[hidden]

    def write(self, root: Path) -> None:
        """Writes the tree into `root`, an empty folder. The staged contents move there; the model is of no more use."""
        links: list[tuple[Path, str]] = []
        moved: dict[Path, Path] = {}
        for place, node in _walk(root, self._root):
            if isinstance(node, _Folder):
                place.mkdir(mode=0o755)
            elif isinstance(node, _Link):
                links.append((place, node.target))
            elif node.content in moved:
                os.link(moved[node.content], place)
            else:
                node.content.rename(place)
                place.chmod(0o755 if node.executable else 0o644)
                moved[node.content] = place
        for place, target in links:
            place.symlink_to(target)


def _walk(place: Path, folder: _Folder) -> Iterator[tuple[Path, "_File | _Link | _Folder"]]:
    for name, node in folder.entries.items():
        yield place / name, node
        if isinstance(node, _Folder):
            yield from _walk(place / name, node)


def _drop_lower(folder: _Folder, layer: int) -> None:
    """Removes what lower layers put into a folder, and keeps what this one has."""
    for name, node in list(folder.entries.items()):
        if isinstance(node, _Folder) and node.layer == layer:
            _drop_lower(node, layer)
        elif node.layer < layer:
            del folder.entries[name]


def _parts(path: str, name: str) -> list[str]:
    if path.startswith("/") or "\0" in path or len(os.fsencode(path)) > _MOST_NAME_BYTES:
        raise BadArchive(f"{name[:200]!r}: a name that begins at the root, has a null character or is too long")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadArchive(f"{name[:200]!r} leads out of the image")
    return parts


def _checked_target(above: list[str], entry: tarfile.TarInfo) -> str:
    """The target of a symbolic link, which has to stay inside. One that begins at the root begins at the image's."""
    target = entry.linkname
    if not target or "\0" in target or len(os.fsencode(target)) > _MOST_NAME_BYTES:
        raise BadArchive(f"{entry.name!r}: a link without a proper target")
    depth = 0 if target.startswith("/") else len(above)
    for part in target.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            raise BadArchive(f"{entry.name!r} is a link to {target!r}, which leads out of the image")
    return target
