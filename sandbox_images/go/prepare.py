"""Runs in the image when it is built: the compiled packages that programs may import, and where each of them is.

`go build` reads and hashes the sources of all that a program imports, every time; `compile` and `link` need only this.
"""

import os
import shutil
import subprocess
from pathlib import Path

PLACE = Path("/opt/go")  # go_build.py, which compiles programs, looks here
LIBRARIES = ("github.com/stretchr/testify/assert", "github.com/stretchr/testify/require")
FORM = "{{if .Export}}{{.ImportPath}}={{.Export}}{{end}}"


def main() -> None:
    """Compiles the standard library and LIBRARIES, and lists them."""
    os.environ |= {
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": "/tmp/go",
        "GOFLAGS": "-trimpath",
        "CGO_ENABLED": "0",
    }
    listed = subprocess.run(
        ["go", "list", "-export", "-deps", "-f", FORM, "std", *LIBRARIES], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    (PLACE / "pkg").mkdir(parents=True)
    lines = []
    for number, line in enumerate(sorted(set(listed.split()))):
        name, _, export = line.partition("=")
        kept = PLACE / "pkg" / f"{number:03}.a"
        shutil.copyfile(export, kept)
        lines.append(f"packagefile {name}={kept}\n")
    (PLACE / "importcfg").write_text("".join(lines))


main()
