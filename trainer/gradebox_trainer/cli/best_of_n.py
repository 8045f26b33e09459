"""`gradebox best-of-n`: its arguments."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Labels of gradebox grade.")],
    scores: Annotated[Path, typer.Argument(metavar="SCORES", help="Scores of gradebox score, of the same programs.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write best_of_n.json and best_of_n.svg.")
    ] = None,
    greedy: Annotated[
        Path | None,
        typer.Option(metavar="LABELS", help="Labels of greedy programs, one a problem: a line to compare with."),
    ] = None,
    measure: Annotated[
        str, typer.Option(metavar="KIND", help="What a program is worth: passed (all tests) or pass_rate.")
    ] = "passed",
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")] = False,
) -> int:
    """How often the best-scored of n programs is right, n from 1 to 128, beside random choice and the oracle.

    Expectations over all subsets of n programs; intervals by bootstrap over problems. Per generator where SCORES says.
    """
    from gradebox_command.errors import BadArgument

    if measure not in ("passed", "pass_rate"):
        raise BadArgument(f"--measure must be passed or pass_rate, is {measure!r}")
    from gradebox_trainer.reward import best_of_n_command as implementation

    return implementation.best_of_n(
        implementation.Options(
            labels=labels,
            scores=scores,
            greedy=greedy,
            measure="passed" if measure == "passed" else "pass_rate",
            output=output,
            as_json=json,
        )
    )
