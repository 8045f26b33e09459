"""Boots the guest of `make test-cgroup2` and gives its tests' exit status: `python guest.py CACHE [COMMAND …]`.

Theory of operation. The guest has this machine's files, read-only over 9p, under a layer in its memory, so the
checkout, its environment and the interpreter stand where they stand here; the checkout itself is packed at the start,
so that edits during the run are not half seen. An initramfs (busybox, a few kernel modules, init.sh) puts that together
and starts inside.sh as process 1, which mounts cgroup2 and nothing of v1, runs the tests, and leaves their exit
status in a folder that both see. A guest that ends without one has failed, and so has one that hangs: it is killed.
No network, no disk: nothing of the guest's is left.
"""

import io
import os
import re
import selectors
import shlex
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
PARTS = ("engine", "proto", "sdk", "tests", "pyproject.toml", "README.md")
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")

MEMORY_MIB = 3072
CORES = 2
UP = b"guest: up\r\n"  # the first words of init.sh
EMULATION = "tcg,tb-size=1024"
KVM_START_S = 40.0
TOTAL_S = 7200.0  # without KVM, everything takes several times longer
SILENCE_S = 900.0


def _load_order(names: Iterable[str], folder: Path) -> Iterator[Path]:
    """The modules' files, each after those that it needs: what depmod would say, from the files themselves."""
    files = {file.name.split(".")[0].replace("-", "_"): file for file in folder.rglob("*.ko*")}
    seen: set[str] = set()

    def visit(name: str) -> Iterator[Path]:
        if name in seen:
            return
        seen.add(name)
        if name not in files:  # built into the kernel
            return
        found = re.search(rb"\0depends=([^\0]*)\0", b"\0" + _module(files[name]))
        for needed in (found[1].decode() if found else "").split(","):
            yield from visit(needed.replace("-", "_"))
        yield files[name]

    for name in names:
        yield from visit(name)


def _module(file: Path) -> bytes:
    if file.suffix == ".xz":
        return subprocess.run(["xz", "-dc", str(file)], stdout=subprocess.PIPE, check=True).stdout
    return file.read_bytes()


def _checkout() -> bytes:
    """The checkout as a tar file, with absolute paths less the first slash."""

    def wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if Path(entry.name).name == "__pycache__" else entry

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name in PARTS:
            tar.add(CHECKOUT / name, filter=wanted)
    return data.getvalue()


def _cpio(files: dict[str, tuple[int, bytes]]) -> bytes:
    """An archive in the kernel's own format for an initramfs: mode and content by name."""
    parts = []
    for number, (name, (mode, data)) in enumerate([*files.items(), ("TRAILER!!!", (0, b""))], start=1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]
    return b"".join(parts)


def initramfs(cache: Path, environment: dict[str, str]) -> bytes:
    """The guest's first files."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    files = {
        "bin": (0o040755, b""),
        "modules": (0o040755, b""),
        "dev": (0o040755, b""),
        "bin/busybox": (0o100755, (cache / "busybox/bin/busybox").read_bytes()),
        "init": (0o100755, (HERE / "init.sh").read_bytes().replace(b"#!/bin/sh", b"#!/bin/busybox sh", 1)),
        "script": (0o100644, exports.encode() + (HERE / "inside.sh").read_bytes()),
        "checkout.tar": (0o100644, _checkout()),
    }
    for number, file in enumerate(_load_order(MODULES, cache / "kernel/lib/modules")):
        files[f"modules/{number:02}-{file.name.split('.')[0]}.ko"] = (0o100644, _module(file))
    return _cpio(files)


def _command(accelerator: str, kernel: Path, first_files: Path, results: Path) -> list[str]:
    def share(path: Path, tag: str, options: str) -> list[str]:
        return ["-virtfs", f"local,path={path},mount_tag={tag},security_model=none,multidevs=remap{options}"]

    # Without KVM the guest's clock counts instructions, one a nanosecond, and stands still while other programs have
    # this machine's cores: limits on time mean the same there, whatever the load. That takes one core.
    clock, cpu, emulated = ["-smp", str(CORES)], "max", ""
    if accelerator == EMULATION:
        clock = ["-icount", "shift=0"]
        cpu = "max,-erms,-fsrm"  # emulated, these copy a byte an instruction, so who has them is told to have not
        emulated = "EMULATED=1"  # the kernel puts it into its first process's environment
    return [
        "qemu-system-x86_64", "-accel", accelerator, *clock, "-cpu", cpu, "-m", str(MEMORY_MIB),
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio", "-nic", "none",
        "-kernel", str(kernel), "-initrd", str(first_files),
        "-append", f"console=ttyS0 loglevel=3 panic=-1 cgroup_no_v1=all {emulated}",
        *share(Path("/"), "host", ",readonly=on"),
        *share(results, "results", ""),
    ]  # fmt: skip


class _Guest:
    """One run of the guest; its console is shown as it comes."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout is not None
        self._console = self._process.stdout
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._console, selectors.EVENT_READ)
        self.said = b""

    def listen(self, timeout_s: float) -> bool:
        """Waits for the next words. False when there were none in time, or will never be any more."""
        if not self._selector.select(timeout_s):
            return False
        data = os.read(self._console.fileno(), 1 << 16)
        self.said += data
        sys.stdout.buffer.write(data.replace(b"\r", b""))
        sys.stdout.buffer.flush()
        return bool(data)

    def end(self) -> None:
        """Ends it, unless it has ended."""
        self._selector.close()
        self._process.kill()
        self._process.wait()
        self._console.close()


def _starts(guest: _Guest, timeout_s: float) -> bool:
    """Whether the guest's first process comes to speak."""
    end_s = time.monotonic() + timeout_s
    while UP not in guest.said:
        if not guest.listen(max(0.0, end_s - time.monotonic())):
            return False
    return True


def run(kernel: Path, first_files: Path, results: Path) -> None:
    """Runs the guest to its end, with KVM if that works (what a virtual machine offers may run no stock kernel)."""
    kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
    for accelerator in ("kvm", EMULATION) if kvm else (EMULATION,):
        guest = _Guest(_command(accelerator, kernel, first_files, results))
        try:
            if not _starts(guest, SILENCE_S if accelerator == EMULATION else KVM_START_S):
                print(f"guest: it does not start with {accelerator}", flush=True)
                continue
            print(f"guest: runs with {accelerator}", flush=True)
            end_s = time.monotonic() + TOTAL_S
            while guest.listen(max(0.0, min(SILENCE_S, end_s - time.monotonic()))):
                pass
            return
        finally:
            guest.end()


def main(cache: Path, *command: str) -> int:
    """The exit status of the tests (or of another command) in the guest; 1 when it left none."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    (kernel,) = (cache / "kernel/boot").glob("vmlinuz-*")
    environment = {
        "CHECKOUT": str(CHECKOUT),
        "PYTHON": str(CHECKOUT / ".venv/bin/python"),
        "COMMAND": shlex.join(command),
    }
    with tempfile.TemporaryDirectory(prefix="gradebox-guest-") as name:
        folder = Path(name)
        (folder / "results").mkdir()
        (folder / "initramfs").write_bytes(initramfs(cache, environment))
        run(kernel, folder / "initramfs", folder / "results")
        status = folder / "results/status"
        if not status.exists():
            print("guest: it hung, or ended without a result", flush=True)
            return 1
        return int(status.read_text())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
