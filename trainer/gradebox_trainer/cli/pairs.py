"""`gradebox pairs`: labels to preference pairs."""

from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.options import Json


def command(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="What `gradebox grade` wrote: a file or a folder.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="PAIRS",
            help="A file (.jsonl, .jsonl.gz, .parquet), with FILE.validation.SUFFIX beside it; "
            "or a folder for train.parquet, validation.parquet and a card.",
        ),
    ],
    problems: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The problems, for their prompts. Default: what the labels' folder names."),
    ] = None,
    programs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The programs, for their texts. Default: what the labels' folder names."),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="trl (prompt, chosen, rejected as texts), conversational (the same as messages) "
            "or acecode (AceCodePair-300K's columns).",
        ),
    ] = "trl",
    min_chosen: Annotated[float, typer.Option(min=0, max=1, help="Least pass rate of a chosen program.")] = 0.8,
    min_gap: Annotated[float, typer.Option(min=0, max=1, help="Least distance of the two pass rates.")] = 0.4,
    rejected_above: Annotated[
        float, typer.Option(min=0, max=1, help="A rejected program's pass rate is above this.")
    ] = 0.0,
    max_pairs: Annotated[int, typer.Option(min=0, help="Pairs of one problem at most; 0: all.")] = 16,
    same_generator: Annotated[
        bool, typer.Option("--same-generator", help="Pair programs of one generator only, as AceCoder's code does.")
    ] = False,
    ascii_prompts: Annotated[
        bool, typer.Option("--ascii-prompts", help="Only problems whose prompt is ASCII, as in the paper.")
    ] = False,
    validation: Annotated[
        float, typer.Option(min=0, max=1, help="Part of the problems whose pairs are for validation.")
    ] = 0.05,
    seed: Annotated[int, typer.Option(help="Decides ties and the split: the same seed, the same pairs.")] = 0,
    json: Json = False,
) -> int:
    """Make preference pairs of labelled programs, by AceCoder's rule, split by problem.

    A label without a pass rate, or with a test that is an ENGINE_ERROR, is never in a pair.
    """
    from gradebox_trainer import pairs
    from gradebox_trainer.pairing import Rule

    rule = Rule(min_chosen, min_gap, rejected_above, max_pairs, same_generator, seed)
    options = pairs.Options(
        labels=labels,
        problems=problems,
        programs=programs,
        output=output,
        format=format,
        rule=rule,
        ascii_prompts=ascii_prompts,
        validation=validation,
        as_json=json,
    )
    return pairs.make(options)
