"""What tests of whole servers share."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.conftest import in_ci
from tests.e2e import footprint
from tests.e2e.serving import Server, StartServer

if TYPE_CHECKING:
    from playwright.async_api import Browser

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who looks over the machine for what an engine has left does so with no other killer of engines beside it."""
    for item in items:
        if isinstance(item, pytest.Function) and "start_server" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group("machine"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that jails can pass through; pytest's own are closed to their ids."""
    made = Path(tempfile.mkdtemp(prefix="server-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def start_server(folder: Path) -> Iterator[StartServer]:
    """Starts a server. After the test it is ended, and nothing of it may be left."""
    before = footprint.take([], folder / "tmp")
    with contextlib.ExitStack() as stack:
        servers: list[Server] = []

        def start(**settings: object) -> Server:
            server = Server(folder, **settings)  # type: ignore[arg-type]
            servers.append(server)
            return stack.enter_context(server.start())

        yield start
    for server in servers:
        assert footprint.settled(server.pids, before, server.temporary) == []


@pytest.fixture
async def browser() -> AsyncIterator["Browser"]:
    """A headless browser: where there is none, fails in CI, else skips."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        found = None
    if found is None:
        reason = "no browser: make setup-test (Debian's chromium-headless-shell, and the extra `checks`)"
        if in_ci():
            pytest.fail(f"{reason}; in continuous integration that is a failure", pytrace=False)
        pytest.skip(f"NOT TESTED: {reason}")
    async with async_playwright() as driver:
        # Root has no sandbox for it; it sees no page but ours.
        started = await driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield started
        await started.close()
