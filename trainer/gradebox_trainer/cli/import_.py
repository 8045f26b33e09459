"""`gradebox import`: published data sets to problems and programs."""

from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.options import Json


def command(
    published: Annotated[
        Path,
        typer.Argument(
            metavar="PUBLISHED",
            help="JSON Lines (also .gz) or Parquet as published, a folder of such, APPS's folders, or a saved Dataset.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PROBLEMS", help="Problems: .jsonl or .jsonl.gz.")],
    programs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the solutions, or models' programs, that come with them."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="acecode, acecode-pairs, humaneval, mbpp, bigcodebench, apps or livecodebench. "
            "Default: told by the fields.",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Turn a published data set into problems, and the programs in it into a programs file.

    HumanEval(+), MBPP(+), BigCodeBench, APPS, LiveCodeBench and AceCode-87K; AceCodePair-300K becomes pairs. Nothing is
    downloaded, and nothing in the data is executed or unpickled.
    """
    from gradebox_trainer.published import importing

    return importing.run(importing.Options(published, output, programs, format, json))
