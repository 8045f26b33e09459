"""`gradebox export`: labelled problems as a data set."""

from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.options import Json


def command(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="What `gradebox grade` wrote: a file or a folder.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="The data set's folder.")],
    problems: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The problems. Default: what the labels' folder names.")
    ] = None,
    programs: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The programs. Default: what the labels' folder names.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The data set's name in its card. Default: the folder's.")] = None,
    license: Annotated[str, typer.Option(help="Its licence, as the Hub names it.")] = "other",
    json: Json = False,
) -> int:
    """Write labelled problems as a data set in AceCode-87K's columns, with a card: versions, image, limits, counts.

    `datasets.load_dataset(FOLDER)` reads it.
    """
    from gradebox_trainer.published import exporting

    return exporting.run(exporting.Options(labels, output, problems, programs, name, license, json))
