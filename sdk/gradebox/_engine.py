"""The embedded engine: a process of its own on this machine that ends with its owner.

Theory of operation. The owner starts `python -m gradebox_engine serve --embedded`, in a session of
its own so that a terminal's Ctrl-C is the owner's to handle. They talk over a unix socket in a
private folder. The engine's stdin is a pipe that only the owner can write to, and never does: when
the owner closes it or dies in any way, the engine sees end of file and ends, and with it its
workers and their jails. The last lines that the engine writes to stderr are kept, to say why it
ended.
"""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import IO

from gradebox._access import Access
from gradebox._async_client import AsyncClient
from gradebox._client import Client
from gradebox._errors import EngineFault
from gradebox._retry import RETRY_S
from gradebox._targets import Targets
from gradebox._threads import wait_for

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
_KEPT_LINES = 40
_PREFIX = "gradebox-engine-"
_POLL_S = 0.005


class _Process:
    """The engine's process and its folder."""

    def __init__(self, workers: int | None, config_file: str | os.PathLike[str] | None) -> None:
        _sweep()
        self._owner = os.getpid()
        self._folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")  # mode 0700
        self.socket = Path(self._folder, "engine.sock")
        command = [sys.executable, "-P", "-m", "gradebox_engine", "serve", "--embedded"]
        command += ["--listen", f"unix:{self.socket}"]
        if workers is not None:
            command += ["--workers", str(workers)]
        if config_file is not None:
            command += ["--config", os.fspath(config_file)]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise EngineFault(f"the engine could not be started: {error}") from None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=_keep_lines, args=(self._process.stderr, self._lines), daemon=True)
        self._reader.start()
        self.end = weakref.finalize(self, _end, self._process, self._folder, os.getpid())

    def fault(self) -> EngineFault | None:
        """Why the engine does not answer, if its process has ended; a fork of its owner cannot know."""
        status = self._process.poll() if os.getpid() == self._owner else None
        if status is None:
            return None
        self._reader.join(1)
        said = "\n".join(self._lines) or "it said nothing"
        return EngineFault(f"the embedded engine ended with status {status}; its last words:\n{said}")

    async def ready(self) -> None:
        """Waits for the engine to listen. Raises EngineFault."""
        end_s = time.monotonic() + START_TIMEOUT_S
        while not self.socket.exists():
            if (fault := self.fault()) is not None:
                raise fault
            if time.monotonic() > end_s:
                said = "\n".join(self._lines)
                raise EngineFault(f"the engine was not ready in {START_TIMEOUT_S} s:\n{said}")
            await asyncio.sleep(_POLL_S)


def _sweep() -> None:
    """Removes the folders of owners that are gone, where their engines were killed, too."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _keep_lines(stream: IO[bytes], lines: deque[str]) -> None:
    with contextlib.suppress(OSError, ValueError), stream:
        for line in stream:
            lines.append(line.decode(errors="replace").rstrip())


def _end(process: "subprocess.Popen[bytes]", folder: str, owner: int) -> None:
    """Ends the engine and waits for it. In a fork of the owner: nothing, it is not the fork's."""
    if os.getpid() != owner:
        return
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
        process.terminate()  # for a fork of ours that still holds the pipe open
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


class AsyncEngine(AsyncClient):
    """An engine on this machine, started at once, waited for at the first call.

    Args:
        workers: how many programs run at once; None is by the machine's cores and memory.
        config_file: the engine's settings, a TOML file.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        config_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._process = _Process(workers, config_file)
        self._targets = Targets([f"unix:{self._process.socket}"], Access(), self._process, retry_s=RETRY_S)

    async def close(self) -> None:
        """Closes the connection and ends the engine."""
        await super().close()
        await asyncio.to_thread(self._process.end)


class Engine(Client):
    """An engine on this machine, ready when this returns. Raises EngineFault.

    Args:
        workers: how many programs run at once; None is by the machine's cores and memory.
        config_file: the engine's settings, a TOML file.
    """

    def __init__(
        self,
        *,
        workers: int | None = None,
        config_file: str | os.PathLike[str] | None = None,
    ) -> None:
        self._client = AsyncEngine(workers=workers, config_file=config_file)
        try:
            wait_for(self._client._process.ready())
        except BaseException:
            self.close()
            raise
