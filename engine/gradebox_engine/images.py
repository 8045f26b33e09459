"""Images: the read-only root file systems that programs run in.

Only the embedded default, `python`, is here: the host's interpreter, its standard library and the host's shared
libraries, bound read-only, and nothing else of the host.
"""

import hashlib
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import gradebox_inside

INSIDE_FOLDER = "/gradebox/gradebox_inside"

# Imported by the fork server before it forks: what programs for training tasks use most. Each costs a little memory,
# and so a little at every fork; typing alone costs more than a whole fork when a program has to import it.
_WARM_MODULES = (
    "abc", "bisect", "collections", "collections.abc", "copy", "functools", "heapq", "itertools", "math", "operator",
    "re", "string", "typing",
)  # fmt: skip

_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "USER": "program",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}


@dataclass(frozen=True)
class Image:
    """A root file system: what is bound where (read-only), and how the fork server starts in it."""

    name: str
    languages: tuple[str, ...]
    binds: tuple[tuple[Path, str], ...]
    links: dict[str, str]
    interpreter: str
    environment: dict[str, str]
    warm_modules: tuple[str, ...]
    digest: str


def _host_interpreter() -> Path:
    """The real interpreter behind a virtual environment or a shim."""
    return Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))


def _library_binds() -> tuple[list[tuple[Path, str]], dict[str, str]]:
    multiarch = sysconfig.get_config_var("MULTIARCH") or f"{platform.machine()}-linux-gnu"
    binds = []
    if (libraries := Path("/usr/lib") / multiarch).is_dir():
        binds.append((libraries, f"/usr/lib/{multiarch}"))
    elif Path("/usr/lib64").is_dir():
        binds.append((Path("/usr/lib64"), "/usr/lib64"))
    links = {"/lib": "usr/lib"}
    for loader in Path("/lib64").glob("ld-linux*"):
        links[f"/lib64/{loader.name}"] = os.path.realpath(loader)
    return binds, links


def host_python() -> Image:
    """The image `python`. Its digest covers the interpreter's binary and version, and the code that runs inside."""
    interpreter = _host_interpreter()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    binds, links = _library_binds()
    prefix = Path(sys.base_prefix)
    environment = dict(_ENVIRONMENT)
    if str(prefix) == "/usr":
        binds += [
            (interpreter, f"/usr/bin/python{version}"),
            (prefix / "lib" / f"python{version}", f"/usr/lib/python{version}"),
        ]
        inside_interpreter = f"/usr/bin/python{version}"
    else:  # a prefix of its own (pyenv, uv, a build): all of it, moved, so that no folder name of the host shows
        binds.append((prefix, "/opt/python"))
        inside_interpreter = f"/opt/python/bin/{interpreter.name}"
        environment["LD_LIBRARY_PATH"] = "/opt/python/lib"
        links["/usr/bin"] = "../opt/python/bin"
    inside = Path(gradebox_inside.__file__).parent
    binds.append((inside, INSIDE_FOLDER))
    digest = hashlib.sha256(sys.version.encode())
    for file in [interpreter, *sorted(inside.glob("*.py"))]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return Image(
        name="python",
        languages=("python",),
        binds=tuple(binds),
        links=links,
        interpreter=inside_interpreter,
        environment=environment,
        warm_modules=_WARM_MODULES,
        digest=digest.hexdigest(),
    )


def by_name(name: str) -> Image:
    """The image called `name`. Raises KeyError."""
    return {"python": host_python}[name]()
