"""`gradebox filter`: arguments, progress, summary."""

import json as json_module
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gradebox_command.errors import DONE, FAILED, INTERRUPTED, BadArgument
from gradebox_command.options import CaFile, CertFile, Engines, Json, KeyFile, Token, Workers
from gradebox_trainer.cli.model_options import Output


def command(
    problems: Annotated[Path, typer.Argument(metavar="PROBLEMS", help="JSON Lines (also .gz) or Parquet.")],
    programs: Annotated[
        Path, typer.Argument(metavar="PROGRAMS", help="Programs of a strong model for them, and of others if you like.")
    ],
    output: Output,
    strong: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The generator in PROGRAMS whose best program decides. Default: all of them."
        ),
    ] = None,
    min_tests: Annotated[int, typer.Option(min=1, help="Problems with fewer tests left are dropped.")] = 5,
    mutants: Annotated[
        int, typer.Option(min=0, help="Mutants of the best program to try the tests on; 0: no audit.")
    ] = 30,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The table of all tests: .jsonl, .jsonl.gz or .parquet. Default: NAME.tests.jsonl."
        ),
    ] = None,
    engine: Engines = None,
    token: Token = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    workers: Workers = None,
    json: Json = False,
) -> int:
    """Drop tests that a strong model's best program fails, flaky tests, and problems with too few tests left.

    Every program is run on all tests, the strong model's twice, the second time in the opposite order. The tests that
    stay are audited on mutants of the best program: mutation score, redundant tests, a weight for each test. What is
    known is kept beside the output (NAME.graded.jsonl): the same command goes on where an earlier run was ended.
    """
    from gradebox_command.session import Engines as EnginesOfSession
    from gradebox_command.session import open_client
    from gradebox_command.terminal import progress_bar
    from gradebox_trainer.consistency.grading import Settings
    from gradebox_trainer.consistency.run import Filter

    if engine and workers is not None:
        raise BadArgument("--workers is for an embedded engine: it does not go with --engine")
    engines = EnginesOfSession(tuple(engine or ()), workers, token, ca_file, cert_file, key_file)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    with Filter(problems, programs, output, strong, Settings(min_tests, mutants)) as work:
        try:
            if (known := work.known) < len(work):
                with open_client(engines) as client, progress_bar(len(work), known, "problems") as advance:
                    work.grade(client, advance)
        except KeyboardInterrupt:
            print(
                f"gradebox: interrupted: {work.known:,} of {len(work):,} problems are done; the same command goes on",
                file=sys.stderr,
            )
            return INTERRUPTED
        work.write(table)
    if json:
        print(json_module.dumps({"output": str(output), **work.summary}))
    else:
        _show(output, work.summary)
    if work.undecided:
        print(
            f"gradebox: the engine failed on {len(work.undecided):,} problems ({work.undecided[0]}…), which are not in "
            f"{output}; the same command tries them again",
            file=sys.stderr,
        )
        return FAILED
    return DONE


def _show(output: Path, summary: Mapping[str, Any]) -> None:
    from rich.table import Table

    from gradebox_command.terminal import console

    shown = Table("", "problems", "tests", title=str(output), title_justify="left")
    shown.add_row("read", f"{summary['problems']:,}", f"{summary['tests']:,}")
    whys = sorted({*summary["dropped_problems"], *summary["dropped_tests"]})
    for why in whys:
        problems = summary["dropped_problems"].get(why, 0)
        shown.add_row(why, f"-{problems:,}" if problems else "", f"-{summary['dropped_tests'].get(why, 0):,}")
    shown.add_row("kept", f"{summary['kept_problems']:,}", f"{summary['kept_tests']:,}", style="bold")
    for flag, count in summary["flagged_tests"].items():
        shown.add_row(f"flagged: {flag}", "", f"{count:,}")
    if summary["mutation_score"] is not None:
        shown.add_row("of those kept, redundant", "", f"{summary['redundant_tests']:,}")
        shown.add_row("mutation score, mean", f"{summary['mutation_score']:.3f}", "")
    console().print(shown)
