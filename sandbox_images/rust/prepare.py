"""Runs in the image when it is built: the libraries that published problems use, compiled from Debian's sources."""

import os
import shutil
import subprocess
from pathlib import Path

CRATES = ("md5", "rand", "regex")
LIBRARIES = Path("/opt/rust/lib")  # named by the commands in the manifest
SOURCES = "/usr/share/cargo/registry"
WORK = Path("/tmp/crates")


def main() -> None:
    """Lets Cargo compile them, without a network, and keeps what rustc needs."""
    os.environ["CARGO_HOME"] = "/tmp/cargo"
    (WORK / "src").mkdir(parents=True)
    (WORK / "src/lib.rs").touch()
    dependencies = "".join(f'{name} = "*"\n' for name in CRATES)
    (WORK / "Cargo.toml").write_text(
        f'[package]\nname = "crates"\nversion = "0.0.0"\nedition = "2021"\n\n[dependencies]\n{dependencies}'
    )
    (WORK / ".cargo").mkdir()
    (WORK / ".cargo/config.toml").write_text(
        f'[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "{SOURCES}"\n'
    )
    subprocess.run(["cargo", "build", "--release", "--offline", "--jobs", "2"], cwd=WORK, check=True)
    deps = LIBRARIES / "deps"
    deps.mkdir(parents=True)
    for library in sorted((WORK / "target/release/deps").glob("lib*.rlib")):
        name = library.name.removeprefix("lib").rpartition("-")[0]
        if name in CRATES:
            shutil.copyfile(library, LIBRARIES / f"lib{name}.rlib")
        elif name != "crates":
            shutil.copyfile(library, deps / library.name)


main()
