"""The Python packages of an image: resolved and fetched by pip, held against the lock by it, unpacked without running.

Only wheels are taken: what is unpacked is what is hashed, and nothing of it runs on this machine. pip's own settings
(index, certificates) are this machine's.
"""

import json
import re
import tempfile
from pathlib import Path

from gradebox_engine.images.commands import BuildError, ToolFailed, run
from gradebox_engine.images.debian import RENEW, LockOutdated
from gradebox_engine.images.interpreter import SITE_PACKAGES, Interpreter, current_environment
from gradebox_engine.images.recipe import REQUIREMENTS, Locked

_GONE = re.compile(r"No matching distribution found for (\S+)")
_OTHER = re.compile(r"THESE PACKAGES DO NOT MATCH THE HASHES.*?\n\s*(\S+)", re.DOTALL)


def _pip(interpreter: Interpreter, *arguments: str) -> str:
    command = [
        str(current_environment()),
        "-m",
        "pip",
        "--python",
        str(interpreter.binary),
        "--disable-pip-version-check",
    ]
    return run([*command, *arguments], tool="pip")


def resolve(interpreter: Interpreter, requirements: tuple[str, ...]) -> list[Locked]:
    """The newest wheels that satisfy the requirements, and what they depend on. Raises BuildError."""
    with tempfile.TemporaryDirectory(prefix="gradebox-image-") as folder:
        report = Path(folder) / "report.json"
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text("".join(f"{line}\n" for line in requirements))
        _pip(
            interpreter, "install", "--dry-run", "--quiet", "--ignore-installed", "--only-binary", ":all:",
            "--report", str(report), "-r", str(wanted),
        )  # fmt: skip
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [
        Locked(
            one["metadata"]["name"],
            one["metadata"]["version"],
            one["download_info"]["archive_info"]["hashes"]["sha256"],
        )
        for one in found
    ]


def install(interpreter: Interpreter, locked: tuple[Locked, ...], root: Path) -> None:
    """Unpacks the locked wheels into the image's Python. Raises LockOutdated, BuildError."""
    with tempfile.TemporaryDirectory(prefix="gradebox-image-") as folder:
        wanted = Path(folder) / "requirements.txt"
        lines = (REQUIREMENTS.form.format(name=one.name, version=one.version, hash=one.hash) for one in locked)
        wanted.write_text("".join(f"{line}\n" for line in lines))
        try:
            _pip(
                interpreter, "install", "--quiet", "--require-hashes", "--no-deps", "--no-compile", "--only-binary",
                ":all:",
                "--no-warn-conflicts", "--target", str(root / SITE_PACKAGES), "-r", str(wanted),
            )  # fmt: skip
        except ToolFailed as failed:
            if gone := _GONE.search(failed.said):
                raise LockOutdated(f"{gone[1]} is not to be had from this machine's index any more; {RENEW}") from None
            if other := _OTHER.search(failed.said):
                raise BuildError(
                    f"{other[1]}: what the index has is not what is locked; if that is meant, {RENEW}"
                ) from None
            raise
