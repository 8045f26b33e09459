"""`gradebox serve`: the engine as a gRPC service."""

from pathlib import Path
from typing import NoReturn

from gradebox_command.errors import BadArgument, CommandError, one_line


def serve(
    *, config_file: Path | None, embedded: bool, **flags: str | float | Path | tuple[str, ...] | None
) -> NoReturn:
    """Serves until SIGINT or SIGTERM (embedded: until stdin ends), and ends this process.

    flags: settings by their names; None: not given.
    """
    from gradebox_engine.config import InvalidConfig, load_config
    from gradebox_engine.server import end_process, run_server
    from gradebox_engine.tier import TierMissing

    try:
        config = load_config({**flags, "embedded": embedded or None}, config_file)
    except InvalidConfig as error:
        raise BadArgument(one_line(str(error).replace("\n", "; "))) from None
    try:
        status = run_server(config)
    except TierMissing as error:
        raise CommandError(one_line(str(error))) from None
    end_process(status)
