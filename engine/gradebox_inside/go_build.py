"""Compiles a Go program of one file: `python go_build.py OUTPUT SOURCE [--tests]`, in the image `go`.

Go's own compiler and linker, without the command `go`: that wants a writable cache and looks at the whole module, which
takes longer than the compiling. Packages that can be imported are those that the image has compiled: /opt/go/importcfg.
With --tests, SOURCE holds test functions (`func TestX(t *testing.T)`) of its package, and OUTPUT runs them.
"""

from __future__ import annotations

import glob
import re
import subprocess
import sys

IMPORTS = "/opt/go/importcfg"
TOOLS = "/usr/lib/go-*/pkg/tool/*"
_TEST = re.compile(r"^func (Test\w*)\(\s*\w+ \*testing\.T\s*\)", re.MULTILINE)
_PACKAGE = re.compile(r"^package\s+\w+", re.MULTILINE)
_MAIN = """package main

import (
\t"os"
\t"testing"
\t"testing/internal/testdeps"
\ttested "tested"
)

func main() {
\ttests := []testing.InternalTest{%s}
\tos.Exit(testing.MainStart(testdeps.TestDeps{}, tests, nil, nil, nil).Run())
}
"""


def _tool(name: str) -> str:
    return next(iter(sorted(glob.glob(f"{TOOLS}/{name}"))), name)


def _run(*command: str) -> None:
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status if status > 0 else 1)


def _compile(package: str, source: str, imports: str) -> str:
    archive = f"/tmp/{package}.a"
    _run(_tool("compile"), "-o", archive, "-p", package, "-complete", "-importcfg", imports, "-pack", source)
    return archive


def main(output: str, source: str, *, tests: bool) -> None:
    """Compiles SOURCE into OUTPUT. Ends with the failing tool's status."""
    if not tests:
        archive = _compile("main", source, IMPORTS)
        _run(_tool("link"), "-o", output, "-importcfg", IMPORTS, "-s", "-w", "-buildmode=exe", archive)
        return
    with open(source, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    names = _TEST.findall(text)
    with open(f"/tmp/{source}", "w", encoding="utf-8", errors="surrogateescape") as file:
        # Its functions are called from another package; `main` cannot be imported.
        file.write(_PACKAGE.sub("package tested", text, count=1))
    tested = _compile("tested", f"/tmp/{source}", IMPORTS)
    with open(IMPORTS, encoding="utf-8") as file:
        listed = file.read()
    imports = "/tmp/importcfg"
    with open(imports, "w", encoding="utf-8") as file:
        file.write(f"{listed}\npackagefile tested={tested}\n")
    calls = ", ".join(f'{{Name: "{name}", F: tested.{name}}}' for name in names)
    with open("/tmp/testmain.go", "w", encoding="utf-8") as file:
        file.write(_MAIN % calls)
    archive = _compile("main", "/tmp/testmain.go", imports)
    _run(_tool("link"), "-o", output, "-importcfg", imports, "-s", "-w", "-buildmode=exe", archive)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], tests="--tests" in sys.argv[3:])
