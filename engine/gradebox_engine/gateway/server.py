"""The gateway as a process: until SIGINT or SIGTERM, then requests under way get their answers."""

import signal

import uvicorn

from gradebox_engine.gateway.app import make_app
from gradebox_engine.gateway.config import GatewayConfig

MAX_CONNECTIONS = 4096
GRACE_S = 30


def run_gateway(config: GatewayConfig) -> bool:
    """Serves; whether it could start."""
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn handles them, and raises them again when it has ended
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(config),
            host=config.host,
            port=config.port,
            access_log=False,
            log_level="warning",
            lifespan="on",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_S,
            server_header=False,
        )
    )
    server.run()
    return server.started
