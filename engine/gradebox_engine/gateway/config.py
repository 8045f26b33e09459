"""The gateway's settings, made once by the command line."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where to listen, and the engines to use; without addresses, an embedded one with so many workers.

    `access` is what a client is told beside the addresses; a request that brings a token of its own uses that one
    instead of the one in there. `max_body_bytes` bounds one request, `max_bodies_bytes` all of them at a time.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    engines: tuple[str, ...] = ()
    workers: int | None = None
    access: dict[str, Any] = field(default_factory=dict, repr=False)
    max_body_bytes: int = 32 << 20
    max_bodies_bytes: int = 512 << 20
    timeout_s: float = 300.0  # of one request
    reward: str = "pass_rate"  # what a reward server's rewards are, or all_passed
