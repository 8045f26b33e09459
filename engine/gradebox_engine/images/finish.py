"""The last steps of every image, built or imported: what none keeps is removed, and the rest gets one form."""

import os
import shutil
import stat
from pathlib import Path

from gradebox_engine.images.commands import BuildError, ToolFailed, run_inside
from gradebox_engine.images.digest import entries
from gradebox_engine.images.manifest import INTERPRETER, Manifest
from gradebox_engine.images.tree import MADE_BY_JAILS

EPOCH_S = 946_684_800  # 2000-01-01: the time of every file

# Documentation, translations, what package managers and logs keep, and what differs from build to build.
_NO_IMAGE_KEEPS = (
    "boot", "home", "media", "mnt", "root", "srv", "var",
    "etc/apt", "etc/dpkg", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/machine-id", "etc/fstab", "etc/mtab",
    "etc/passwd", "etc/passwd-", "etc/group", "etc/group-", "etc/shadow", "etc/shadow-", "etc/gshadow", "etc/gshadow-",
    "etc/init.d", "etc/cron*", "etc/logrotate.d", "etc/systemd", "etc/pam.d", "etc/ssh", "etc/ssl/private",
    "usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/share/lintian", "usr/share/bug",
    "usr/share/doc-base", "usr/share/gtk-doc", "usr/share/menu", "usr/share/applications", "usr/share/pixmaps",
    "usr/share/bash-completion", "usr/share/zsh", "usr/games", "usr/local", "usr/src",
    "usr/bin/debconf*", "usr/bin/dpkg*", "usr/bin/update-alternatives", "usr/lib/dpkg", "usr/lib/systemd",
    "usr/libexec/dpkg",
    "usr/sbin/dpkg*", "usr/sbin/start-stop-daemon", "usr/share/debconf", "usr/share/dpkg", "usr/share/perl5/Deb*",
    "usr/share/polkit-1", "opt/python/lib/python*/site-packages/bin",
)  # fmt: skip

# Imported by the code that runs inside, whatever the language.
_NEEDED_MODULES = ("ctypes", "mmap", "resource", "struct", "socket", "re", "typing", "collections", "importlib")

# A process a folder, each the child of the same one: what a process has compiled before shows in the bytes of the next
# file (marshal marks what is referred to more than once), and which came before would hang on the machine's load.
_COMPILE = """
import compileall, os, py_compile
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH  # the source's time is not looked at
running = 0
for folder, below, _ in os.walk("/opt/python/lib"):
    below[:] = [name for name in below if name != "__pycache__"]
    if running == os.cpu_count():
        os.wait()
        running -= 1
    if os.fork() == 0:
        try:
            compileall.compile_dir(folder, maxlevels=0, quiet=2, invalidation_mode=unchecked)
        finally:
            os._exit(0)
    running += 1
for _ in range(running):
    os.wait()
"""


def discard(place: Path) -> None:
    """Removes a folder with all that is in it, a file or a link, if it is there."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def remove(root: Path, patterns: tuple[str, ...] = ()) -> None:
    """Removes what no image keeps, and what its recipe names beside that."""
    for pattern in (*_NO_IMAGE_KEEPS, *MADE_BY_JAILS, *patterns):
        for place in sorted(root.glob(pattern)):
            if _is_inside(place, root):
                discard(place)


def _is_inside(place: Path, root: Path) -> bool:
    """Whether no folder on the way is a link: an imported image may have one where others have a folder."""
    above = place.parent
    while above != root:
        if above.is_symlink():
            return False
        above = above.parent
    return True


def compile_modules(root: Path) -> None:
    """Compiles the Python modules: a read-only image cannot keep what an import compiles. Raises BuildError."""
    run_inside(root, [INTERPRETER, "-s", "-B", "-c", _COMPILE], tool="compiling the image's Python modules")


def normalise(root: Path) -> None:
    """One owner's plain modes and one time for everything, so that the same content is the same image."""
    for _, entry in entries(root):
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            os.chmod(entry.path, 0o755 if mode & 0o111 else 0o644)
        elif stat.S_ISDIR(mode):
            os.chmod(entry.path, 0o755)
        os.utime(entry.path, (EPOCH_S, EPOCH_S), follow_symlinks=False)
    root.chmod(0o755)


def check(root: Path, manifest: Manifest) -> None:
    """Runs the image's interpreter in it, with all that the manifest wants warm. Raises BuildError."""
    modules = (*_NEEDED_MODULES, *manifest.warm_modules, *manifest.heavy_modules)
    code = f"import importlib, sys; [importlib.import_module(name) for name in {modules!r}]; print(sys.version)"
    try:
        run_inside(root, [INTERPRETER, "-s", "-B", "-c", code], tool=INTERPRETER)
    except ToolFailed as failed:
        raise BuildError(
            f"image {manifest.name}: its interpreter, {INTERPRETER}, does not run or lacks a module: {failed}\n"
            "It has to be made for the image's C library: another one is given with --python; or build the "
            "Containerfile and import that"
        ) from None
    for name in MADE_BY_JAILS:  # mount points that this made
        discard(root / name)
