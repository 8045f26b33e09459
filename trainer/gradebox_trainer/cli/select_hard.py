"""`gradebox select-hard`: its arguments."""

from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.options import Json


def command(
    problems: Annotated[Path, typer.Argument(metavar="PROBLEMS", help="JSON Lines (also .gz) or Parquet.")],
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Labels of several programs for each of them.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The problems that are kept.")],
    json: Json = False,
) -> int:
    """Keep the hard problems on which programs differ: the quarter that RL learns the most from.

    AceCoder's rule: of the problems whose mean pass rate is at most the median of all, those whose standard deviation
    of the pass rate is at least the median among them.
    """
    from gradebox_trainer.hard_problems import select_hard

    return select_hard(problems, labels, output, as_json=json)
