"""The command line `gradebox`. Every command's own module is imported when the command runs."""

import os
import sys


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit status (see `errors`)."""
    # Before grpc is imported: its own words about lost connections are no user's concern.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from gradebox_command import errors
    from gradebox_engine.cli import app

    try:
        return app.run(sys.argv[1:] if argv is None else argv)
    except errors.CommandError as error:
        print(f"gradebox: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("gradebox: interrupted", file=sys.stderr)
        return errors.INTERRUPTED
    except BrokenPipeError:  # `gradebox … | head`; nothing may be written to stdout any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return errors.FAILED
