"""The Python that every image holds at /opt/python: this machine's, or the one that was asked for.

Debian's own may be another version than the fork server needs. So the prefix is copied: the binary, its library, and
the standard library without its tests, its editor, its installer and its caches.
"""

import functools
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gradebox_engine.images.commands import BuildError, run
from gradebox_engine.images.host import host_interpreter

VERSION = "3.12"
PLACE = "opt/python"
SITE_PACKAGES = f"{PLACE}/lib/python{VERSION}/site-packages"

_TOLD = """
import json, os, sys, sysconfig
print(json.dumps({"version": "%d.%d" % sys.version_info[:2], "full": sys.version, "prefix": sys.base_prefix,
    "binary": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
    "multiarch": sysconfig.get_config_var("MULTIARCH") or ""}))
"""
_LEFT_OUT = (
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "idle_test", "turtledemo", "ensurepip",
    "lib2to3", "config-*", "*.a", "*.pyc", "_test*.so", "_xxtest*.so", "xxlimited*.so", "xxsubtype*.so",
)  # fmt: skip


@dataclass(frozen=True)
class Interpreter:
    """A Python on this machine. binary: the real one, behind environments and shims."""

    binary: Path
    prefix: Path
    version: str
    multiarch: str


@functools.cache  # asking starts it, and a list of images asks for each
def find_interpreter(executable: Path | None = None) -> Interpreter:
    """What is to be copied into images: the given one, else the one that this runs in.

    Raises BuildError for another version than 3.12.
    """
    told = json.loads(run([str(executable or host_interpreter()), "-I", "-c", _TOLD], tool=str(executable or "python")))
    if told["version"] != VERSION:
        raise BuildError(
            f"images hold a Python {VERSION}, and {told['binary']} is {told['version']}; give one with --python"
        )
    return Interpreter(Path(told["binary"]), Path(told["prefix"]), told["full"], told["multiarch"])


def copy_interpreter(interpreter: Interpreter, root: Path) -> None:
    """Copies it to /opt/python of the tree at `root`, and links its library where the loader looks for it."""
    place = root / PLACE
    (place / "bin").mkdir(parents=True)
    shutil.copyfile(interpreter.binary, place / "bin" / f"python{VERSION}")
    (place / "bin" / f"python{VERSION}").chmod(0o755)
    for name in ("python3", "python"):
        (place / "bin" / name).symlink_to(f"python{VERSION}")
    modules = interpreter.prefix / "lib" / f"python{VERSION}"
    shutil.copytree(modules, place / "lib" / modules.name, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    (root / SITE_PACKAGES).mkdir(exist_ok=True)
    for library in sorted((interpreter.prefix / "lib").glob(f"libpython{VERSION}.so.*")):
        if library.is_symlink() or str(interpreter.prefix) == "/usr":
            continue
        shutil.copyfile(library, place / "lib" / library.name)
        (place / "lib" / library.name).chmod(0o755)
        folder = root / "usr/lib" / interpreter.multiarch
        folder.mkdir(parents=True, exist_ok=True)
        (folder / library.name).symlink_to(f"/{PLACE}/lib/{library.name}")


def current_environment() -> Path:
    """The interpreter whose pip is used: with its environment, unlike `host_interpreter`."""
    return Path(os.path.abspath(sys.executable))
