"""`gradebox bench`: what a grading costs, against other ways to grade."""

import json
import sys
from pathlib import Path

from gradebox_command.errors import DONE, BadArgument, CommandError, InputError
from gradebox_command.session import grading_errors
from gradebox_command.terminal import console
from gradebox_engine.bench import ROWS, BenchError, chart, run_bench
from gradebox_engine.bench.table import render


def bench(
    *,
    only: tuple[str, ...],
    seconds: float,
    gradings: int | None,
    data: Path | None,
    evalplus_python: Path | None,
    long: int | None,
    chart_file: Path | None,
    as_json: bool,
) -> int:
    """Measures, prints, draws. Raises CommandError where a way of grading fails."""
    _check(only, long, chart_file)

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    with grading_errors():
        try:
            result = run_bench(
                only=only,
                seconds=seconds,
                gradings=gradings,
                data=data,
                evalplus_python=evalplus_python,
                long=long,
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
        console().print(render(result))
    if chart_file is not None:
        try:
            chart.draw(result, chart_file)
        except OSError as error:
            raise CommandError(f"{chart_file}: {error.strerror or error}") from None
    return DONE


def _check(only: tuple[str, ...], long: int | None, chart_file: Path | None) -> None:
    """Before minutes are spent. Raises BadArgument."""
    for name in only:
        if name not in ROWS:
            raise BadArgument(f"--only {name}: no such row; there are {', '.join(ROWS)}")
    if "long" in only and long is None:
        raise BadArgument("--only long: goes with --long NUMBER")
    if chart_file is not None and (problem := chart.missing(chart_file)):
        raise BadArgument(f"--chart {chart_file}: {problem}")
