"""`gradebox report`: labels to one page."""

from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.options import Json


def command(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="What `gradebox grade` wrote: a file or a folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page.")] = Path("report.html"),
    problems: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The problems, for the examples. Default: what the labels' folder names."),
    ] = None,
    programs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The programs, for the examples. Default: what the labels' folder names."),
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option(metavar="LABELS", help="Labels of the same input from another run: what differs is flaky."),
    ] = None,
    agreement: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `gradebox agreement` wrote, to be shown, too.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Default: the name of the labels.")] = None,
    min_chosen: Annotated[float, typer.Option(min=0, max=1, help="Of `gradebox pairs`.")] = 0.8,
    min_gap: Annotated[float, typer.Option(min=0, max=1, help="Of `gradebox pairs`.")] = 0.4,
    rejected_above: Annotated[float, typer.Option(min=0, max=1, help="Of `gradebox pairs`.")] = 0.0,
    max_pairs: Annotated[int, typer.Option(min=0, help="Of `gradebox pairs`.")] = 16,
    json: Json = False,
) -> int:
    """Write a page about a set of labels: pass rates, verdicts, how well the tests tell programs apart, examples.

    It is one HTML file without scripts that fetches nothing.
    """
    from gradebox_trainer.pairing import Rule
    from gradebox_trainer.report import run

    options = run.Options(
        labels=labels,
        output=output,
        problems=problems,
        programs=programs,
        again=again,
        agreement=agreement,
        title=title,
        rule=Rule(min_chosen, min_gap, rejected_above, max_pairs),
        as_json=json,
    )
    return run.report(options)
