"""Where the compiled program stands that a jail runs: a small file system of the worker's, /program in the jail.

Read-only for everything in the jail, and of one program at a time: the files of the last one are gone before those of
the next are there, so no program sees another's.
"""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from gradebox_engine.jail import rootfs

SHELF_BYTES = 64 << 20


class Shelf:
    """The folder, on the host's side. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rootfs.scratch(folder, SHELF_BYTES)
        self._holds = b""
        self._files: list[Path] = []
        self._folders: list[Path] = []

    def put(self, key: bytes, files: Iterable[tuple[str, bytes]]) -> None:
        """The shelf holds these files, of which `key` stands for the content, and no others. Names have been checked.

        Nobody else writes below the folder, so that a path leads where it says.
        """
        if key == self._holds:
            return
        self.clear()
        try:
            for name, content in files:
                place = self.folder / name
                self._make_folder(place.parent)
                fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o555)
                self._files.append(place)
                with open(fd, "wb") as file:
                    os.fchmod(fd, 0o555)  # whatever the umask is
                    file.write(content)
        except BaseException:
            self.clear()
            raise
        self._holds = key

    def clear(self) -> None:
        """The shelf is empty."""
        self._holds = b""
        while self._files:
            self._files.pop().unlink()
        while self._folders:
            self._folders.pop().rmdir()

    def close(self) -> None:
        """Gives the file system back."""
        with contextlib.suppress(OSError):
            rootfs.remove(self.folder)

    def _make_folder(self, folder: Path) -> None:
        if folder != self.folder and not folder.exists():
            self._make_folder(folder.parent)
            folder.mkdir()
            folder.chmod(0o755)
            self._folders.append(folder)
