"""The embedded default image, `python`: the host's interpreter, its standard library and the host's shared libraries,
bound read-only, and nothing else of the host.
"""

import hashlib
import os
import platform
import sys
import sysconfig
from pathlib import Path

import gradebox_inside
from gradebox_engine.images.image import ENVIRONMENT, INSIDE_FOLDER, PACKAGES_FOLDER, PYTHON, WARM_MODULES, Image


def host_interpreter() -> Path:
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


def inside_source() -> Path:
    """Where the code that runs inside jails stands on the host."""
    return Path(gradebox_inside.__file__).parent


def host_python(packages: Path | None = None, heavy_modules: tuple[str, ...] = ()) -> Image:
    """The image `python`. Its digest covers the interpreter's binary and version, and the code that runs inside.

    packages: a folder of installed packages (`pip install --target`), which programs can import; the digest covers it
    by names, sizes and times.
    """
    interpreter = host_interpreter()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    binds, links = _library_binds()
    prefix = Path(sys.base_prefix)
    environment = dict(ENVIRONMENT)
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
    binds.append((inside_source(), INSIDE_FOLDER))
    digest = hashlib.sha256(sys.version.encode())
    for file in [interpreter, *sorted(inside_source().glob("*.py"))]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    if packages is not None:
        binds.append((packages.resolve(), PACKAGES_FOLDER))
        digest.update(_listed(packages))
    return Image(
        name=PYTHON,
        languages=(PYTHON,),
        binds=tuple(binds),
        links=links,
        interpreter=inside_interpreter,
        environment=environment,
        warm_modules=WARM_MODULES,
        digest=digest.hexdigest(),
        heavy_modules=heavy_modules,
        search_path=(PACKAGES_FOLDER,) if packages is not None else (),
    )
