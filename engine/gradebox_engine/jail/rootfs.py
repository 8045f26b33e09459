"""Builds a jail's read-only root from an image, in a mount namespace that only this worker sees.

nsjail makes its mounts as an unprivileged uid of a user namespace, which cannot pass through folders such as /root
(mode 0700) where an interpreter may stand. So the worker, still root of the host (or, rootless, the user whose folder
it is), builds the tree first: a small tmpfs with bind mounts, in a private mount namespace of its own. The host never
sees these mounts, and they go when the worker goes, whatever ends it.

A worker that is root of a user namespace only may not take from a mount what the host gave it: nosuid, nodev, noexec
and read-only stay, and mounts below a bound folder come with it.
"""

import ctypes
import errno
import os
import struct
from pathlib import Path

from gradebox_engine.images.image import PROGRAM_FOLDER, Image
from gradebox_engine.jail import decoys

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT = 1, 2, 4, 8, 32
_MNT_DETACH = 2
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000

_libc = ctypes.CDLL(None, use_errno=True)

_DEVICES = ("null", "zero", "urandom")
_LINKS = {
    "/dev/shm": "/tmp",  # POSIX shared memory and semaphores live in the program's own scratch files
    "/dev/random": "urandom",
    "/dev/fd": "/proc/self/fd",
    "/dev/stdin": "/proc/self/fd/0",
    "/dev/stdout": "/proc/self/fd/1",
    "/dev/stderr": "/proc/self/fd/2",
}
_ETC = {
    "/etc/passwd": "root:x:0:0::/:/\nprogram:x:1000:1000::/tmp:/\n",
    "/etc/group": "root:x:0:\nprogram:x:1000:\n",
}


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [os.fsencode(text) if text is not None else None for text in (source, target, kind, data)]
    if _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {source} on {target}: {os.strerror(number)}")


def _bind(root: Path, source: Path, target: str, flags: int) -> None:
    place = root / target.lstrip("/")
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    try:
        _mount(str(source), str(place), None, _MS_BIND)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _mount(str(source), str(place), None, _MS_BIND | _MS_REC)  # what is mounted below it cannot be left out
        _add_flags(place, flags)
    kept = os.statvfs(place).f_flag & (_MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _mount(None, str(place), None, _MS_REMOUNT | _MS_BIND | flags | kept)


def _add_flags(place: Path, flags: int) -> None:
    """Sets flags of a mount and of everything below it: mount_setattr(2), whose first three are mount's own."""
    attributes = struct.pack("=4Q", flags, 0, 0, 0)
    arguments = (ctypes.c_int(_AT_FDCWD), os.fsencode(place), ctypes.c_uint(_AT_RECURSIVE), attributes)
    if _libc.syscall(ctypes.c_long(_SYS_MOUNT_SETATTR), *arguments, ctypes.c_size_t(len(attributes))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot change the mounts below {place}: {os.strerror(number)}")


def enter_private_mounts() -> None:
    """Gives this process a mount namespace of its own. Raises OSError without the right to (CAP_SYS_ADMIN)."""
    os.unshare(os.CLONE_NEWNS)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def scratch(folder: Path, size_bytes: int) -> None:
    """Mounts an empty tmpfs at `folder`, which only this worker writes. Raises OSError."""
    folder.mkdir()
    _mount("tmpfs", str(folder), "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={size_bytes},nr_inodes=4096,mode=755")


def build(image: Image, root: Path, program: Path | None = None) -> None:
    """Builds the image's tree at `root`, an empty folder. Call `enter_private_mounts` first. Raises OSError.

    program: a folder of the worker's that is seen, read-only, as /program.
    """
    # Every mount here is copied at every fork into a new mount namespace: keep them few.
    _mount("tmpfs", str(root), "tmpfs", 0, "size=1m,mode=755")
    for source, target in image.binds:
        _bind(root, source, target, _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    if program is not None:
        _bind(root, program, PROGRAM_FOLDER, _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    for name in _DEVICES:  # the host's own nodes; read-only keeps their times and modes, not what is written to them
        _bind(root, Path("/dev") / name, f"/dev/{name}", _MS_NOSUID | _MS_RDONLY)
    for link, target in {**_LINKS, **image.links}.items():
        place = root / link.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    for name, text in _ETC.items():
        if any(target == "/etc" for _, target in image.binds):  # a built image has its own
            break
        place = root / name.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    for name in ("tmp", "proc"):
        (root / name).mkdir()
    decoys.make(root)
    _mount(None, str(root), None, _MS_REMOUNT | _MS_RDONLY)


def remove(root: Path) -> None:
    """Takes the tree at `root` down again, with every mount in it."""
    if _libc.umount2(os.fsencode(str(root)), _MNT_DETACH) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot unmount {root}: {os.strerror(number)}")
