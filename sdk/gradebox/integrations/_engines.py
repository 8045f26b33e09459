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

type Access = tuple[tuple[str, Any], ...]

_clients: dict[tuple[int, tuple[str, ...], Access], AsyncClient] = {}
_lock = threading.Lock()


def connect(engines: Sequence[str], access: Access = ()) -> AsyncClient:
    """A client of the engines at these addresses; of an embedded one, which is started, when there are none.

    Raises InvalidRequest, EngineFault.
    """
    if not engines:
        return AsyncEngine()
    return AsyncClient(engines, **dict(access))


def client_of(settings: Settings) -> AsyncClient:
    """The client of this process for these settings. Raises as `connect`."""
    key = (os.getpid(), settings.engines, settings.access if settings.engines else ())
    with _lock:
        if key not in _clients:
            _clients[key] = connect(settings.engines, settings.access)
        return _clients[key]


async def in_background[T](work: Coroutine[Any, Any, T]) -> T:
    """Awaits `work`, which runs in the background loop; cancelled when this is."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, _loop.get()))


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork)
