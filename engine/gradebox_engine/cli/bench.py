"""`gradebox bench`: what a grading costs, against other ways to grade."""

import json
import sys
from pathlib import Path

from gradebox_engine.bench import BenchError, run_bench
from gradebox_engine.cli.errors import DONE, CommandError, InputError
from gradebox_engine.cli.session import grading_errors
from gradebox_engine.cli.terminal import console


def bench(
    *,
    seconds: float,
    gradings: int | None,
    data: Path | None,
    evalplus_python: Path | None,
    as_json: bool,
) -> int:
    """Measures and prints. Raises CommandError where a way of grading fails."""

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    with grading_errors():
        try:
            result = run_bench(
                seconds=seconds,
                gradings=gradings,
                data=data,
                evalplus_python=evalplus_python,
                progress=progress,
            )
        except BenchError as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise InputError(data or "bench", None, "", error.strerror or str(error)) from None
        finally:
            progress("")
    if as_json:
        print(json.dumps(result.to_dict(), indent=1))
    else:
        console().print(result.table())
    return DONE
