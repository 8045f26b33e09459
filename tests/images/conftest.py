"""Engines for tests of images: what is built on this machine decides what can be tried."""

import os
import socket
from collections.abc import Iterator

import pytest

import gradebox


@pytest.fixture(scope="session")
def hurried_engine(jails: None) -> Iterator[gradebox.Engine]:
    """An engine whose compilers have few seconds and little memory: those that attack them would take all there is."""
    ceilings = {"GRADEBOX_CEILINGS__CPU_TIME_S": "3", "GRADEBOX_CEILINGS__MEMORY_BYTES": str(512 << 20)}
    before = {name: os.environ.get(name) for name in ceilings}
    os.environ.update(ceilings)
    try:
        with gradebox.Engine(workers=1) as engine:
            yield engine
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


@pytest.fixture(scope="session")
def host_port() -> Iterator[int]:
    """A port of this machine at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
