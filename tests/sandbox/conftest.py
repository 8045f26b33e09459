"""One warm jail in this test process, as a worker has it, and programs run in its sandboxes."""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gradebox_engine import images
from gradebox_engine.jail import rootfs
from gradebox_engine.jail.launch import Jail
from gradebox_engine.limits import Limits
from gradebox_engine.worker import stdio
from gradebox_engine.worker.watch import OomWatch

LIMITS = Limits(cpu_time_s=2, wall_time_s=6, memory_bytes=256 << 20, disk_bytes=16 << 20)

Run = Callable[..., stdio.Ran]


def never() -> bool:
    """Nobody cancels."""
    return False


@pytest.fixture(scope="session")
def jail() -> Iterator[Jail]:
    """A started jail. Needs root: without it these tests fail in CI and are skipped, loudly, elsewhere."""
    if os.geteuid() != 0:
        text = "the sandbox tests need root: they make real jails"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    rootfs.enter_private_mounts()
    made = Jail(images.host_python(), 0)
    made.start()
    yield made
    made.close()


@pytest.fixture
def run(jail: Jail) -> Run:
    """Runs a program as `__main__` in a sandbox of its own: run(source, stdin=…, **limits)."""

    def run_program(source: str, stdin: bytes = b"", **limits: Any) -> stdio.Ran:
        return stdio.run(jail, source.encode(), stdin, replace(LIMITS, **limits), OomWatch(jail), never)

    return run_program


@pytest.fixture
def listener() -> Iterator[int]:
    """A TCP port of the host that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
