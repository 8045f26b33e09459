"""The Debian packages of an image: resolved and fetched by apt, unpacked by mmdebstrap, without a daemon.

mmdebstrap's variant `extract` unpacks packages and runs nothing of theirs: no maintainer script, so no root is needed
(an ordinary user has mmdebstrap's mode `unshare`), and the same packages give the same files. The mirrors are those of
this machine's own apt, for the image's suite; apt verifies them by their signatures, and what was fetched is held
against the lock before it is unpacked.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from gradebox_engine.images.commands import BuildError, ToolFailed, need, run
from gradebox_engine.images.recipe import Locked
from gradebox_engine.images.tree import BadArchive, Tree

_INSTALL = "apt-get install mmdebstrap"
_TARGETS = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)"
# Before anything is unpacked: one /usr, as Debian has it, and a place for packages that were fetched before.
_PREPARE = """
for name in bin sbin lib lib64; do mkdir -p "$1/usr/$name"; ln -s "usr/$name" "$1/$name"; done
mkdir -p "$1/var/cache/apt/archives/partial"
"""
RENEW = "renew the lock with --update-lock"
_GONE = re.compile(r"Version '([^']+)' for '([^']+)' was not found|Unable to locate package (\S+)")


class LockOutdated(BuildError):
    """What is locked is not to be had any more."""


def architecture() -> str:
    """Debian's name of this machine's architecture."""
    need("dpkg", "a Debian or Ubuntu machine, or build the Containerfile and import it")
    return run(["dpkg", "--print-architecture"], tool="dpkg").strip()


def sources(suite: str, file: Path | None = None) -> str:
    """Lines for apt: this machine's own sources of the suite, its updates and its security; or those of `file`.

    Raises BuildError where there are none.
    """
    if file is not None:
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BuildError(f"--apt-sources: {file}: cannot be read: {error}") from None
    need("apt-get", "a Debian or Ubuntu machine, or build the Containerfile and import it")
    wanted = {suite, f"{suite}-updates", f"{suite}-security", f"{suite}/updates"}
    lines = []
    for told in run(
        ["apt-get", "indextargets", "--format", _TARGETS, "Created-By: Packages"], tool="apt-get"
    ).splitlines():
        uri, release, component, signed_by = told.split("|", 3)
        if release in wanted and component == "main":
            option = f"[signed-by={signed_by}] " if signed_by.startswith("/") else ""
            lines.append(f"deb {option}{uri} {release} {component}")
    if not lines:
        raise BuildError(
            f"this machine's apt has no sources of Debian {suite}; give a sources.list with --apt-sources FILE "
            f"(its keys come with: apt-get install debian-archive-keyring)"
        )
    return "".join(f"{line}\n" for line in sorted(set(lines)))


def locked_name(file_name: str) -> tuple[str, str]:
    """Name and version of a package, by its file's name in apt's archive."""
    name, version, _ = file_name.removesuffix(".deb").split("_")
    return name, version.replace("%3a", ":")


def _fetched(folder: Path) -> list[Locked]:
    """The packages in a folder, exactly."""
    found = []
    for file in folder.glob("*.deb"):
        with open(file, "rb") as opened:
            found.append(Locked(*locked_name(file.name), hashlib.file_digest(opened, "sha256").hexdigest()))
    return found


def check_fetched(fetched: list[Locked], locked: tuple[Locked, ...]) -> None:
    """Holds what was fetched against the lock. Raises LockOutdated, BuildError."""
    expected = {(one.name, one.version): one.hash for one in locked}
    for one in fetched:
        want = expected.pop((one.name, one.version), None)
        if want is None:
            raise LockOutdated(f"{one.name}={one.version} is needed now, and not in the lock; {RENEW}")
        if want != one.hash:
            raise BuildError(
                f"{one.name}={one.version}: what the mirror has is not what is locked "
                f"(sha256 {one.hash}, locked {want}); if that is meant, {RENEW}"
            )
    if expected:
        name, version = min(expected)
        raise LockOutdated(f"{name}={version} is locked, and not needed any more; {RENEW}")


def _reason(failed: ToolFailed, *, locked: bool) -> BuildError:
    """What a failure of mmdebstrap means."""
    if gone := _GONE.search(failed.said):
        version, name, unknown = gone.groups()
        if not locked:
            return BuildError(f"packages: {unknown or name}: this machine's mirrors have no such package")
        what = f"{name}={version}" if name else unknown
        return LockOutdated(f"{what} is not to be had from this machine's mirrors any more; {RENEW}")
    return failed


def add_packages(
    tree: Tree,
    suite: str,
    packages: tuple[str, ...],
    locked: tuple[Locked, ...] | None,
    *,
    apt_sources: str,
    cache: Path,
) -> list[Locked]:
    """Adds the packages, and those that they depend on, to the tree; returns what they are, exactly.

    locked: what they have to be; None: the newest. cache: a folder where fetched packages are kept.
    Raises LockOutdated, BuildError, BadArchive.
    """
    tool = need("mmdebstrap", _INSTALL)
    include = [f"{one.name}={one.version}" for one in locked] if locked is not None else list(packages)
    kept = cache / "debian"
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gradebox-image-") as folder:
        work = Path(folder)
        known, fetched = work / "known", work / "fetched"
        for place in (work, known, fetched):
            place.mkdir(exist_ok=True)
            place.chmod(0o755)
        (work / "sources.list").write_text(apt_sources)
        wanted = {(one.name, one.version) for one in locked or ()}
        for file in kept.glob("*.deb"):
            if locked_name(file.name) in wanted:
                shutil.copyfile(file, known / file.name)
        command = [
            tool, "--variant=extract", f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
            f"--include={','.join(include)}", f"--setup-hook={_PREPARE}", "--format=tar",
            f"--setup-hook=sync-in {shlex.quote(str(known))} /var/cache/apt/archives",
            f"--extract-hook=sync-out /var/cache/apt/archives {shlex.quote(str(fetched))}",
            suite, "-", str(work / "sources.list"),
        ]  # fmt: skip
        try:
            _stream(command, tree)
        except ToolFailed as failed:
            raise _reason(failed, locked=locked is not None) from None
        found = _fetched(fetched)
        if locked is not None:
            check_fetched(found, locked)
        for file in fetched.glob("*.deb"):
            shutil.move(file, kept / file.name)
        return found


def _stream(command: list[str], tree: Tree) -> None:
    """Adds the archive that a command writes. Raises ToolFailed, or BadArchive where the command itself did well."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        assert process.stdout is not None
        bad: BadArchive | None = None
        try:
            with process.stdout:
                tree.add_tar(process.stdout, "mmdebstrap")
        except BadArchive as error:
            bad = error
        finally:
            process.wait()
        if process.returncode:
            log.seek(0)
            raise ToolFailed("mmdebstrap", log.read().decode(errors="replace"))
        if bad is not None:
            raise bad
