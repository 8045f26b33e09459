"""What the tests of adapters share: one engine that listens, and no framework that asks the network for anything.

They run in an environment of their own (`make test-integrations`), with the real frameworks in it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.serving import Server

for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "WANDB_DISABLED"):
    os.environ[name] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

GOOD = "Sure:\n```python\ndef add(a, b):\n    return a + b\n```\nThat is all."
HALF = "```python\ndef add(a, b):\n    return 3\n```"
BAD = "```python\ndef add(a, b):\n    raise ValueError\n```"
NONE = "I do not know."
TESTS = ["assert add(1, 2) == 3", "assert add(2, 2) == 4"]


@pytest.fixture(scope="session")
def server(jails: None) -> Iterator[Server]:
    """`gradebox serve`, with two workers."""
    folder = Path(tempfile.mkdtemp(prefix="server-"))
    folder.chmod(0o755)
    with Server(folder).start() as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def engine_in_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the engine, which adapters find in the environment."""
    monkeypatch.setenv("GRADEBOX_ENGINE", server.target)
    return server.target
