"""`gradebox score`: its arguments."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    programs: Annotated[Path, typer.Argument(metavar="PROGRAMS", help="Programs, as for gradebox grade.")],
    model: Annotated[
        str, typer.Option(metavar="DIR", help="What gradebox train-rm wrote, or a classifier with one label.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="SCORES", help="One row a program: .jsonl, .jsonl.gz or .parquet.")
    ],
    problems: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The problems, for their prompts. Default: the rows' own prompts."),
    ] = None,
    token_budget: Annotated[int, typer.Option(min=2, help="Tokens of one forward pass.")] = 16_384,
    precision: Annotated[str, typer.Option(metavar="KIND", help="fp32 or bf16.")] = "fp32",
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")] = False,
) -> int:
    """Score programs with a reward model; the prompt and equal programs of a row are computed once."""
    from gradebox_command.errors import BadArgument

    if precision not in ("fp32", "bf16"):
        raise BadArgument(f"--precision must be fp32 or bf16, is {precision!r}")
    from gradebox_trainer.reward import score as implementation

    return implementation.score(
        implementation.Options(
            programs=programs,
            problems=problems or [],
            model=model,
            output=output,
            token_budget=token_budget,
            precision=precision,
            as_json=json,
        )
    )
