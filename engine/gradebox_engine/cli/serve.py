"""`gradebox serve`: the engine as a gRPC service."""

from pathlib import Path

from gradebox_engine.cli.errors import BadArgument, CommandError, one_line


def serve(
    *,
    listen: str | None,
    workers: int | None,
    fronts: int | None,
    config_file: Path | None,
    require_tier: str | None,
    embedded: bool,
) -> int:
    """Serves until SIGINT or SIGTERM (embedded: until stdin ends); returns the exit status."""
    from gradebox_engine.config import InvalidConfig, load_config
    from gradebox_engine.server import run_server
    from gradebox_engine.tier import TierMissing

    flags = {
        "listen": listen,
        "workers": workers,
        "fronts": fronts,
        "require_tier": require_tier,
        "embedded": embedded or None,
    }
    try:
        config = load_config(flags, config_file)
    except InvalidConfig as error:
        raise BadArgument(one_line(str(error).replace("\n", "; "))) from None
    try:
        return run_server(config)
    except TierMissing as error:
        raise CommandError(one_line(str(error))) from None
