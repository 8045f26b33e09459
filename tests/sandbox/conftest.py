"""One warm jail in this test process, as a worker has it, and programs run in its sandboxes."""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox.attack import Host

from gradebox_engine import images
from gradebox_engine.jail import rootfs
from gradebox_engine.jail.launch import Jail
from gradebox_engine.limits import Limits
from gradebox_engine.worker import stdio
from gradebox_engine.worker.programs import python_program
from gradebox_engine.worker.watch import OomWatch

LIMITS = Limits(cpu_time_s=2, wall_time_s=6, memory_bytes=256 << 20, disk_bytes=16 << 20)

Run = Callable[..., stdio.Ran]


def never() -> bool:
    """Nobody cancels."""
    return False


@pytest.fixture(scope="session")
def private_mounts() -> None:
    """What a worker does first. Needs root: without it these tests fail in CI and are skipped, loudly, elsewhere."""
    if os.geteuid() != 0:
        text = "the sandbox tests need root: they make real jails"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    rootfs.enter_private_mounts()


@pytest.fixture(scope="session")
def jail(private_mounts: None) -> Iterator[Jail]:
    """A started jail."""
    made = Jail(images.host_python(), 0)
    made.start()
    yield made
    made.close()


@pytest.fixture
def run(jail: Jail) -> Run:
    """Runs a program as `__main__` in a sandbox of its own: run(source, stdin=…, **limits)."""

    def run_program(source: str, stdin: bytes = b"", **limits: Any) -> stdio.Ran:
        return stdio.run(jail, python_program(source.encode()), stdin, replace(LIMITS, **limits), OomWatch(jail), never)

    return run_program


@pytest.fixture
def listener() -> Iterator[int]:
    """A TCP port of the host that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def host(private_mounts: None, tmp_path: Path, listener: int) -> Iterator[Host]:
    """A listener, an abstract socket, a process, shared memory, a file that only root may read, a set-uid program."""
    extra = tmp_path / "extra"
    extra.mkdir()
    (extra / "roots").write_text("secret")
    (extra / "roots").chmod(0o600)
    shutil.copy(_command("id"), extra / "id")
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x67420000 + os.getpid() % 0x10000
    segment = libc.shmget(key, 4096, 0o1666)
    assert segment >= 0, os.strerror(ctypes.get_errno())
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    names = {
        "victim": victim.pid,
        "port": listener,
        "abstract": f"gradebox-sandbox-{os.getpid()}",
        "segment": key,
        "hostname": os.uname().nodename,
        "here": "/etc/os-release",  # of the host; a checkout may stand below /tmp, which is every program's own
        "interpreter": images.host_python().interpreter,
    }
    with socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("\0" + str(names["abstract"]))
        abstract.listen(1)
        yield Host(names, extra)
    libc.shmctl(segment, 0, None)
    victim.kill()
    victim.wait()


def _command(name: str) -> str:
    found = shutil.which(name)
    assert found, f"these tests need the command {name}"
    return found
