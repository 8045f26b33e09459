"""The clients of the engines: one for each token that requests bring."""

import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.requests import Request

import gradebox
from gradebox.integrations._engines import connect
from gradebox_engine.gateway.config import GatewayConfig

_IDLE_CLIENTS = 64


@dataclass(slots=True, eq=False)
class _Kept:
    client: gradebox.AsyncClient
    users: int = 0


class Clients:
    """Made when a token comes for the first time; the one that was idle the longest goes when there are too many."""

    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._kept: OrderedDict[str | None, _Kept] = OrderedDict()

    @contextlib.asynccontextmanager
    async def of(self, request: Request) -> AsyncIterator[gradebox.AsyncClient]:
        """The client for a request, by its header `Authorization: Bearer …`. Raises InvalidRequest, EngineFault."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" and self._config.engines else None
        if key not in self._kept:
            self._kept[key] = _Kept(self._connect(key))
            await self._shrink()
        kept = self._kept[key]
        self._kept.move_to_end(key)
        kept.users += 1
        try:
            yield kept.client
        finally:
            kept.users -= 1

    async def start(self) -> None:
        """Waits for an embedded engine to be there. Raises EngineFault."""
        self._kept[None] = _Kept(self._connect(None))
        await self._kept[None].client.info()

    def _connect(self, token: str | None) -> gradebox.AsyncClient:
        config = self._config
        if not config.engines:
            return gradebox.AsyncEngine(workers=config.workers)
        return connect(config.engines, tuple((config.access | ({"token": token} if token else {})).items()))

    async def _shrink(self) -> None:
        idle = [key for key, kept in self._kept.items() if not kept.users]
        for key in idle[: max(len(idle) - _IDLE_CLIENTS, 0)]:
            await self._kept.pop(key).client.close()

    async def close(self) -> None:
        """Ends all of them, and an embedded engine."""
        while self._kept:
            await self._kept.popitem()[1].client.close()
