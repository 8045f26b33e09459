"""A real cgroup v2 tree, and processes put where the tests want them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradebox_engine.jail import cgroup

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def base() -> Path:
    """The folder under which this process's groups are made; it hands its controllers on."""
    if os.geteuid() != 0 or cgroup.detect() != 2:
        text = "these tests need root and cgroup v2: make test-cgroup2"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)
    group = cgroup.Cgroup(90)
    group.remove()
    return cgroup._bases(cgroup.ROOT, 2)[""]


@pytest.fixture
def group(base: Path) -> Iterator[cgroup.Cgroup]:
    """A group as a jail has it."""
    made = cgroup.Cgroup(91)
    yield made
    made.remove()


@pytest.fixture
def slice_(base: Path) -> Iterator[Path]:
    """A group of the test's own, with the controllers handed on: what systemd's slices are."""
    folder = base / f"slice-{os.getpid()}"
    folder.mkdir()
    (folder / "cgroup.subtree_control").write_text("+memory +pids")
    yield folder
    (folder / "cgroup.kill").write_text("1")
    below = [Path(path) for path, _, _ in os.walk(folder, topdown=False)]
    for _ in range(100):
        for path in list(below):
            try:
                path.rmdir()
                below.remove(path)
            except OSError:
                pass
        if not below:
            return
        time.sleep(0.02)
    pytest.fail(f"not empty: {below}")


@pytest.fixture
def start() -> Iterator[Start]:
    """start(code, folder or group): Python that runs there from its first instruction on, with pipes to it."""
    started: list[subprocess.Popen[str]] = []

    def start_one(code: str, place: Path | cgroup.Cgroup, *, oom_score: int = 0) -> "subprocess.Popen[str]":
        def enter() -> None:
            if isinstance(place, Path):
                (place / "cgroup.procs").write_text(str(os.getpid()))
            else:
                place.add(os.getpid())
            Path("/proc/self/oom_score_adj").write_text(str(oom_score))

        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=enter,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
