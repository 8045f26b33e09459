"""The npm packages of an image, fetched by npm, unpacked without running anything of theirs."""

import base64
import gzip
import hashlib
import json
import re
import tempfile
from pathlib import Path

from gradebox_engine.images.commands import BuildError, ToolFailed, need, run
from gradebox_engine.images.debian import RENEW, LockOutdated
from gradebox_engine.images.recipe import Locked
from gradebox_engine.images.tree import Tree

_INSTALL = "apt-get install npm"
_PLACE = "opt/node_modules"
_GONE = re.compile(r"\b(E404|ETARGET|notarget)\b")


def add_modules(tree: Tree, modules: tuple[str, ...], locked: tuple[Locked, ...] | None) -> list[Locked]:
    """Adds npm packages to the tree; returns what they are, exactly. locked: what they have to be; None: the newest.

    Raises LockOutdated, BuildError, BadArchive.
    """
    tool = need("npm", _INSTALL)
    wanted = [f"{one.name}@{one.version}" for one in locked] if locked is not None else list(modules)
    expected = {one.name: one.hash for one in locked or ()}
    found = []
    with tempfile.TemporaryDirectory(prefix="gradebox-image-") as folder:
        for one in wanted:
            try:
                said = run([tool, "pack", "--json", "--ignore-scripts", one], tool="npm", cwd=Path(folder))
            except ToolFailed as failed:
                if locked is not None and _GONE.search(failed.said):
                    raise LockOutdated(f"{one} is not to be had from npm's registry any more; {RENEW}") from None
                raise
            (told,) = json.loads(said)
            name, version = str(told["name"]), str(told["version"])
            archive = Path(folder) / Path(told["filename"]).name
            content = archive.read_bytes()
            integrity = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
            if locked is not None and expected.get(name) != integrity:
                raise BuildError(f"{one}: what npm's registry has is not what is locked; if that is meant, {RENEW}")
            with gzip.open(archive) as opened:
                tree.add_tar(opened, one, below=f"{_PLACE}/{name}", without_top=True)
            found.append(Locked(name, version, integrity))
    return found
