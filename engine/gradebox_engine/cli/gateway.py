"""`gradebox gateway`: the engines behind other engines' HTTP protocols."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gradebox_command.errors import DONE, FAILED, BadArgument


def gateway(
    *,
    listen: str,
    engines: Sequence[str],
    workers: int | None,
    reward: str,
    timeout_s: float,
    access: dict[str, str | Path | None],
) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit status."""
    from gradebox.integrations._settings import REWARDS
    from gradebox_engine.gateway.config import GatewayConfig
    from gradebox_engine.gateway.server import run_gateway

    host, colon, port = listen.rpartition(":")
    if not (colon and port.isdigit() and int(port) < 1 << 16):
        raise BadArgument(f"--listen: must be HOST:PORT, not {listen!r}")
    if reward not in REWARDS:
        raise BadArgument(f"--reward: {reward!r} is none of {', '.join(REWARDS)}")
    config = GatewayConfig(
        host=host.strip("[]") or "0.0.0.0",
        port=int(port),
        engines=tuple(engines),
        workers=workers,
        access={name: os.fspath(value) for name, value in access.items() if value is not None},
        timeout_s=timeout_s,
        reward=reward,
    )
    behind = ", ".join(engines) or "an embedded engine"
    print(f"gradebox: gateway on http://{listen} for {behind}", file=sys.stderr)
    return DONE if run_gateway(config) else FAILED
