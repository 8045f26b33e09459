"""`gradebox train-rm`: its arguments."""

from pathlib import Path
from typing import Annotated

import typer

Programs = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="With labels: the programs files that were graded. May be repeated."),
]
ProblemsFiles = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="With labels: the problems files, for the prompts. May be repeated."),
]


def command(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PAIRS|LABELS...", help="Preference pairs, or labels of `gradebox grade` (all pairs of a problem)."
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The run's folder, and the model.")],
    model: Annotated[
        str | None, typer.Option(metavar="NAME_OR_PATH", help="The model to start from, in transformers' format.")
    ] = None,
    init_from_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Or a new one: a JSON configuration of transformers (model_type and sizes)."),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_PATH", help="Default: the model's. Also a tokenizer.json(.gz) alone."),
    ] = None,
    programs: Programs = None,
    problems: ProblemsFiles = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Pairs or labels of other problems to validate on. Default: some of the problems."
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings, TOML, or a recipe (rm-paper-7b…); flags go over it.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting of the file, such as lora.rank=8. Repeatable."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last whole checkpoint.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")] = False,
) -> int:
    """Train a reward model: all pairs of a problem in one Bradley-Terry loss, its prompt and programs computed once.

    On several devices: `torchrun --nproc-per-node 8 --no-python gradebox train-rm …`; accelerate launch does, too.
    """
    from gradebox_trainer.reward import command as implementation
    from gradebox_trainer.reward.settings import read_settings
    from gradebox_trainer.training.recipes import set_values

    flags = {"model": model, "init_from_config": init_from_config, "tokenizer": tokenizer}
    return implementation.train_rm(
        implementation.Options(
            inputs=inputs,
            programs=programs or [],
            problems=problems or [],
            validation=validation or [],
            output=output,
            settings=read_settings(config, set_values(settings or [], flags)),
            resume=resume,
            as_json=json,
        )
    )
