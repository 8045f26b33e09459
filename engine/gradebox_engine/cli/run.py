"""`gradebox run`: one program, its output and its resource use."""

import json
import sys
from pathlib import Path

import gradebox
from gradebox_command.errors import DONE, FAILED, BadArgument, InputError
from gradebox_command.session import Engines, grading_errors, open_client


def run(
    file: Path,
    *,
    stdin: Path | None,
    image: str | None,
    language: str,
    engines: Engines,
    as_json: bool,
) -> int:
    """Runs a file and passes its output on; DONE when it ended with status 0, else FAILED."""
    source = _read(file)
    given = _read(stdin) if stdin is not None else b""
    with open_client(engines) as client, grading_errors():
        try:
            result = client.run(source, stdin=given, language=language, image=image)
        except gradebox.InvalidRequest as error:
            raise BadArgument(str(error)) from None
    if as_json:
        print(
            json.dumps(
                {
                    "verdict": result.verdict.name,
                    "exit_code": result.exit_code,
                    "stdout": result.stdout.decode("utf-8", "replace"),
                    "stderr": result.stderr.decode("utf-8", "replace"),
                    "cpu_time_s": result.cpu_time_s,
                    "wall_time_s": result.wall_time_s,
                    "memory_bytes": result.memory_bytes,
                    "message": result.message,
                }
            )
        )
    else:
        sys.stdout.buffer.write(result.stdout)
        sys.stdout.flush()
        sys.stderr.buffer.write(result.stderr)
        ended = "" if result.exit_code is None else f", exit status {result.exit_code}"
        message = f" ({result.message})" if result.message else ""
        print(
            f"{result.verdict.name}{ended}{message}: {result.cpu_time_s:.3f} s CPU, "
            f"{result.wall_time_s:.3f} s wall, {result.memory_bytes / (1 << 20):.1f} MiB",
            file=sys.stderr,
        )
    return DONE if result.verdict == gradebox.Verdict.PASSED else FAILED


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(path, None, "", error.strerror or str(error)) from None
