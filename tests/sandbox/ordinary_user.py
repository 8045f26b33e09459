"""Runs a command as an ordinary user who has subordinate ids: `python ordinary_user.py [OPTION…] COMMAND…`, as root.

In a mount namespace of its own, /etc/passwd, /etc/group, /etc/subuid and /etc/subgid are other files, so nothing of the
host's changes; and the interpreter's and the checkout's folders can be reached even where they stand below /root, which
an ordinary user may not pass through. The user has no group but its own and no capability.

    --subuid TEXT, --subgid TEXT   what stands in these files; by default, a range of the user's own
    --without NAME                 newuidmap, say, is not there (an empty file that nobody may run covers it)
    --submount FOLDER              a tmpfs is mounted there
    --delegate                     the user owns a control group of its own, and stands in it
"""

import argparse
import ctypes
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

UID = 12345
NAME = "gradebox-tester"
RANGE = f"{NAME}:1200000:65536\n"
CHECKOUT = Path(__file__).resolve().parents[2]
_BIND, _REC, _PRIVATE, _DETACH = 4096, 16384, 1 << 18, 2
_CONTROLLERS = ("memory", "pids", "cpuacct")
_CGROUPS = Path("/sys/fs/cgroup")
_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    if _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]) != 0:
        raise OSError(ctypes.get_errno(), f"mount {source} {target}: {os.strerror(ctypes.get_errno())}")


def _prefixes() -> list[Path]:
    """The folders that the interpreter and the checkout stand in."""
    wanted = [Path(sys.base_prefix).resolve(), CHECKOUT, Path(sys.prefix).resolve()]
    return [path for path in dict.fromkeys(wanted) if path.is_relative_to("/root")]


def reach_below_root(store: Path) -> None:
    """Covers /root with an empty folder that everybody may pass, and binds what is needed back in."""
    prefixes = _prefixes()
    for number, path in enumerate(prefixes):
        (store / str(number)).mkdir()
        _mount(str(path), str(store / str(number)), None, _BIND | _REC)
    _mount("tmpfs", "/root", "tmpfs", 0, "mode=755,size=1m")
    for number, path in enumerate(prefixes):
        path.mkdir(parents=True, exist_ok=True)
        _mount(str(store / str(number)), str(path), None, _BIND | _REC)


def own_files(store: Path, subuid: str, subgid: str) -> None:
    """Covers the files of accounts and of subordinate ids."""
    accounts = Path("/etc/passwd").read_text() + f"{NAME}:x:{UID}:{UID}::/tmp:/bin/sh\n"
    groups = Path("/etc/group").read_text() + f"{NAME}:x:{UID}:\n"
    for name, text in (("passwd", accounts), ("group", groups), ("subuid", subuid), ("subgid", subgid)):
        (store / name).write_text(text)
        Path("/etc", name).touch()
        _mount(str(store / name), f"/etc/{name}", None, _BIND)


def _delegated() -> list[Path]:
    """Folders of control groups of the user's own: a v2 one, or one in each v1 hierarchy."""
    version_2 = (_CGROUPS / "cgroup.controllers").exists()
    folders = []
    for base in [_CGROUPS] if version_2 else [_CGROUPS / name for name in _CONTROLLERS]:
        if version_2:
            (base / "cgroup.subtree_control").write_text("+memory +pids")
        folder = base / f"tests-{os.getpid()}"
        folder.mkdir()
        for path in (folder, *folder.iterdir()):
            if path == folder or path.name in ("cgroup.procs", "cgroup.subtree_control", "tasks", "cgroup.threads"):
                os.chown(path, UID, UID)
        folders.append(folder)
    return folders


def become_user() -> None:
    """From here on this process is the ordinary user."""
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR"):
        os.environ.pop(name, None)
    os.environ.update(HOME="/tmp", USER=NAME, PYTHONDONTWRITEBYTECODE="1", COLUMNS="200")
    os.chdir("/tmp")


def remove_groups(folder: Path) -> None:
    """Removes a control group and those below it, which are empty or about to be."""
    for _ in range(100):
        try:
            for below in [*sorted(folder.glob("*/"), reverse=True), folder]:
                below.rmdir()
            return
        except OSError:
            time.sleep(0.05)


def main() -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--subuid", default=RANGE)
    parser.add_argument("--subgid", default=RANGE)
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--submount", action="append", default=[])
    parser.add_argument("--delegate", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    os.unshare(os.CLONE_NEWNS)
    _mount(None, "/", None, _REC | _PRIVATE)
    store = Path(tempfile.mkdtemp(prefix="ordinary-user-"))
    groups: list[Path] = []
    pid = 0
    try:
        _mount("tmpfs", str(store), "tmpfs", 0, "mode=755,size=1m")
        own_files(store, options.subuid, options.subgid)
        reach_below_root(store)
        for name in options.without:
            _mount("/dev/null", shutil.which(name) or f"/usr/bin/{name}", None, _BIND)
        for folder in options.submount:
            _mount("tmpfs", folder, "tmpfs", 0, "mode=755,size=1m")
        groups = _delegated() if options.delegate else []
        pid = os.fork()
        if pid == 0:
            for folder in groups:
                (folder / "cgroup.procs").write_text("0")
            become_user()
            os.execvp(options.command[0], options.command)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        if pid or not groups:  # not in a child whose exec failed
            for folder in groups:
                remove_groups(folder)
            _libc.umount2(os.fsencode(store), _DETACH)
            store.rmdir()


if __name__ == "__main__":
    sys.exit(main())
