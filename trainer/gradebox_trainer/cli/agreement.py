"""`gradebox agreement`: arguments and the table."""

import json as json_module
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gradebox_command.errors import DONE
from gradebox_command.options import Json


def command(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Labels by the tests that are to be judged.")],
    reference: Annotated[
        Path, typer.Argument(metavar="REFERENCE", help="Labels of the same programs by tests that are trusted.")
    ],
    programs: Annotated[Path, typer.Option(metavar="PROGRAMS", help="The programs that LABELS are of, in its order.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The numbers, as JSON, for gradebox report.")
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GENERATOR",
            help="Its programs do not count, such as those of the strong model that chose the tests.",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Say how well labels by one set of tests agree with labels by another, for each generator.

    Correlation of the pass rates (Pearson, Spearman); agreement, and Cohen's kappa, of "passed every test".
    """
    from gradebox_command.writing import write_text
    from gradebox_trainer.agreement import measure

    found = measure(labels, reference, programs, leave_out=leave_out or ())
    if output is not None:
        write_text(output, json_module.dumps(found, indent=1) + "\n")
    if json:
        print(json_module.dumps(found))
    else:
        _show(found)
    return DONE


def _show(found: Mapping[str, Any]) -> None:
    from rich.table import Table

    from gradebox_command.terminal import console

    columns = ("programs", "pearson", "spearman", "all_passed", "kappa", "false_passed", "false_failed")
    shown = Table("generator", *columns, title=f"{found['labels']} against {found['reference']}", title_justify="left")
    for name, row in (*found["generators"].items(), ("all", found["overall"])):
        cells = (
            "-" if row[c] is None else f"{row[c]:.3f}" if isinstance(row[c], float) else f"{row[c]:,}" for c in columns
        )
        shown.add_row(name, *cells, style="bold" if name == "all" else None)
    console().print(shown)
