"""What tests of whole servers share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that jails can pass through; pytest's own are closed to their ids."""
    made = Path(tempfile.mkdtemp(prefix="server-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)
