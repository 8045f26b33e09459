"""What every test may use: one embedded engine a run, and a loud answer where there is none."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import gradebox

# Before any engine starts: programs must not see its environment (tests/attacks looks for this).
os.environ["ATTACK_ENV_CANARY"] = "1"
# Many tests grade the same program again to see it run again; those of the cache turn it on.
os.environ["GRADEBOX_CACHE_BYTES"] = "0"

# A run in the background of a shell ignores Ctrl-C, and so would every command that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

_NAMESPACES = "import os; os.unshare(os.CLONE_NEWNS | os.CLONE_NEWPID | os.CLONE_NEWIPC)"


def _missing_privilege() -> str | None:
    """Why no jail can be built here, or None."""
    if sys.platform != "linux":
        return "jails need Linux"
    if os.geteuid() != 0:
        return "jails need root"
    asked = subprocess.run([sys.executable, "-c", _NAMESPACES], capture_output=True, check=False)
    return "no new namespaces may be made here" if asked.returncode else None


def in_ci() -> bool:
    """Whether a test that cannot run has to fail instead of being skipped."""
    return bool(os.environ.get("CI") or os.environ.get("GRADEBOX_CI"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sees that pytest-xdist keeps groups together: it writes them into ids in a way that not every pytest heeds."""
    if not (hasattr(config, "workerinput") and config.getoption("loadgroup", False)):
        return
    for item in items:
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid.rpartition("]")[2]:
            raise pytest.UsageError(f"{item.nodeid}: its xdist_group is not heeded: pip install 'pytest<9.2'")


@pytest.fixture(scope="session")
def jails() -> None:
    """For tests that need jails: where there can be none, fails in CI, else skips."""
    reason = _missing_privilege()
    if reason and in_ci():
        pytest.fail(f"{reason}; in continuous integration that is a failure", pytrace=False)
    if reason:
        pytest.skip(f"NOT TESTED: {reason} (run as root; GRADEBOX_CI=1 makes this a failure)")


@pytest.fixture(scope="session")
def engine(jails: None) -> Iterator["gradebox.Engine"]:
    """An embedded engine with the default configuration."""
    import gradebox

    with gradebox.Engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return Path(__file__).resolve().parent.parent
