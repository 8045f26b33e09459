"""The clients of the adapters of this process: one to each set of engines, and one embedded engine at most.

All work is done in the SDK's background event loop, whichever thread or loop it is asked from: frameworks call
rewards from threads, from loops of their own and from several of either, and gRPC is at its best with one loop a
process. A fork starts anew.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

from gradebox import AsyncClient, AsyncEngine
from gradebox._threads import _loop
from gradebox.integrations._settings import Settings

_clients: dict[tuple[int, tuple[str, ...], str | None], AsyncClient] = {}
_lock = threading.Lock()


def connect(engines: Sequence[str], token: str | None = None) -> AsyncClient:
    """A client of the engines at these addresses; of an embedded one, which is started, when there are none."""
    if not engines:
        return AsyncEngine()
    options: dict[str, Any] = {} if token is None else {"token": token}
    target: Any = engines[0] if len(engines) == 1 else list(engines)
    return AsyncClient(target, **options)


def client_of(settings: Settings) -> AsyncClient:
    """The client of this process for these settings."""
    key = (os.getpid(), settings.engines, settings.token)
    with _lock:
        if key not in _clients:
            _clients[key] = connect(settings.engines, settings.token)
        return _clients[key]


async def in_background[T](work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`, which runs in the background loop; cancelled when this is."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, _loop.get()))


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork)
