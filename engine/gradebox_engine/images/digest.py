"""What pins an image: a digest of its content, and a faster one by which a change is noticed.

The content digest is SHA-256 over the sorted tree (kind, executable or not, name, link target, SHA-256 of the content)
and the manifest. It says nothing of owners and times: two builds of the same packages have the same digest.

The listing digest is over what the kernel tells of every entry without its content being read: inode, mode, size,
times of change. The time of an inode's last change (ctime) cannot be set, so whatever writes to a file, or puts another
in its place, changes the listing, even when size and modification time are as before. A copy of the tree has another
listing, too, and the same content.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_READERS = 4  # hashing lets go of the interpreter's lock


class UnexpectedFile(ValueError):
    """Something in a tree that no image has: a device, a socket, a name that is not UTF-8."""


def entries(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry below `root`, by its path relative to it, in one order on every machine."""
    waiting = [("", root)]
    while waiting:
        prefix, folder = waiting.pop()
        with os.scandir(folder) as scan:
            found = sorted(scan, key=lambda entry: os.fsencode(entry.name))
        for entry in found:
            yield prefix + entry.name, entry
        waiting += [
            (f"{prefix}{entry.name}/", folder / entry.name)
            for entry in reversed(found)
            if entry.is_dir(follow_symlinks=False)
        ]


def _content(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(root: Path, manifest: bytes) -> str:
    """The digest of the tree at `root` and of the manifest, in hex; reads every file.

    Raises UnexpectedFile, OSError.
    """
    lines: list[tuple[str, str, str]] = []  # kind, path, what it holds; a file's content is filled in
    files: list[tuple[int, str]] = []
    for path, entry in entries(root):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            lines.append(("link", path, os.readlink(entry.path)))
        elif stat.S_ISDIR(mode):
            lines.append(("folder", path, f"{mode & 0o7777:o}"))
        elif stat.S_ISREG(mode):
            files.append((len(lines), entry.path))
            lines.append((f"file {mode & 0o7777:o}", path, ""))
        else:
            raise UnexpectedFile(f"{entry.path}: neither a file, a folder nor a link")
    with ThreadPoolExecutor(_READERS) as readers:
        for (at, _), content in zip(files, readers.map(_content, (path for _, path in files)), strict=True):
            lines[at] = (*lines[at][:2], content)
    digest = hashlib.sha256()
    for line in lines:
        digest.update("\0".join(line).encode("utf-8", "surrogateescape") + b"\n")
    digest.update(b"manifest\0" + hashlib.sha256(manifest).digest())
    return digest.hexdigest()


def listing_digest(root: Path) -> str:
    """The digest of what the kernel tells of every entry below `root`, in hex. Reads no file. Raises OSError."""
    digest = hashlib.sha256()
    for path, entry in entries(root):
        seen = entry.stat(follow_symlinks=False)
        told = (seen.st_ino, seen.st_mode, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        digest.update(f"{path}\0{told}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def size_bytes(root: Path) -> int:
    """What the files below `root` take, a file with several names counted once."""
    sizes = {}
    for _, entry in entries(root):
        seen = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(seen.st_mode):
            sizes[seen.st_ino] = seen.st_size
    return sum(sizes.values())
