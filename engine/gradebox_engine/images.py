"""Images: the read-only root file systems that programs run in.

Only the embedded default, `python`, is here: the host's interpreter, its standard library and the host's shared
libraries, bound read-only, and nothing else of the host.
"""

import hashlib
import os
import platform
import sys
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

import gradebox_inside

INSIDE_FOLDER = "/gradebox/gradebox_inside"
PACKAGES_FOLDER = "/gradebox/packages"

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
    """A root file system: what is bound where (read-only), and how the fork server starts in it.

    warm_modules: imported before any program. heavy_modules: those whose weight a program should not have to carry
    unless it uses them; a jail of their own (`with_heavy_modules`) has them warm. search_path: more folders of modules.
    """

    name: str
    languages: tuple[str, ...]
    binds: tuple[tuple[Path, str], ...]
    links: dict[str, str]
    interpreter: str
    environment: dict[str, str]
    warm_modules: tuple[str, ...]
    digest: str
    heavy_modules: tuple[str, ...] = ()
    search_path: tuple[str, ...] = ()

    def with_heavy_modules(self) -> "Image":
        """The same, with its heavy modules warm."""
        return replace(self, warm_modules=(*self.warm_modules, *self.heavy_modules), heavy_modules=())


class BadImage(ValueError):
    """What the configuration says of an image cannot be used; the text says why."""


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


def _listed(folder: Path) -> bytes:
    """A digest of what is in a folder by names, sizes and times: reading all of it at every start would take long."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            seen = path.stat()
            digest.update(f"{path.relative_to(folder)}\0{seen.st_size}\0{seen.st_mtime_ns}\n".encode())
    return digest.digest()


def host_python(packages: Path | None = None, heavy_modules: tuple[str, ...] = ()) -> Image:
    """The image `python`. Its digest covers the interpreter's binary and version, and the code that runs inside.

    packages: a folder of installed packages (`pip install --target`), which programs can import, and its digest
    covers by names, sizes and times. Raises BadImage where there is no such folder.
    """
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
    if packages is not None:
        if not packages.is_dir():
            raise BadImage(f"packages: {packages} is no folder")
        binds.append((packages.resolve(), PACKAGES_FOLDER))
        digest.update(_listed(packages))
    return Image(
        name="python",
        languages=("python",),
        binds=tuple(binds),
        links=links,
        interpreter=inside_interpreter,
        environment=environment,
        warm_modules=_WARM_MODULES,
        digest=digest.hexdigest(),
        heavy_modules=heavy_modules,
        search_path=(PACKAGES_FOLDER,) if packages is not None else (),
    )


def by_name(name: str, packages: Path | None = None, heavy_modules: tuple[str, ...] = ()) -> Image:
    """The image called `name`. Raises KeyError and BadImage."""
    return {"python": host_python}[name](packages, heavy_modules)
