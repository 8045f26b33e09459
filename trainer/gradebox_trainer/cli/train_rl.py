"""`gradebox train-rl`: its arguments."""

from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.errors import BadArgument
from gradebox_command.options import CaFile, CertFile, Engines, Json, KeyFile, Token, Workers


def command(
    problems: Annotated[Path, typer.Argument(metavar="PROBLEMS", help="JSON Lines (also .gz) or Parquet.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The run's folder, and the model.")],
    model: Annotated[
        str | None, typer.Option(metavar="NAME_OR_PATH", help="The policy to start from, in transformers' format.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings, TOML, or a recipe's name: rl-paper-7b, rl-one-gpu, rl-cpu-toy. Flags go over it.",
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="reinforce++, reinforce++-baseline, grpo, dr_grpo or rloo."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the whole run.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting of the file, such as reward.model_weight=0.5."),
    ] = None,
    held_out: Annotated[
        Path | None,
        typer.Option(metavar="PROBLEMS", help="Other problems, on which pass@k is measured on the way."),
    ] = None,
    engine: Engines = None,
    token: Token = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    workers: Workers = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last whole checkpoint.")] = False,
    json: Json = False,
) -> int:
    """Train a model to write programs that pass their tests: reinforcement learning with rewards from executions.

    On several devices or machines: `torchrun --nproc-per-node 8 --no-python gradebox train-rl …`, with --engine.
    """
    from gradebox_command.session import Engines as EnginesOfSession
    from gradebox_trainer.rl import command as implementation
    from gradebox_trainer.rl.settings import read_settings
    from gradebox_trainer.training.recipes import set_values

    if engine and workers is not None:
        raise BadArgument("--workers is for an embedded engine: it does not go with --engine")
    flags = {"model": model, "estimator": estimator, "steps": steps}
    return implementation.train_rl(
        implementation.Options(
            problems=problems,
            held_out=held_out,
            output=output,
            settings=read_settings(config, set_values(settings or [], flags)),
            engines=EnginesOfSession(tuple(engine or ()), workers, token, ca_file, cert_file, key_file),
            resume=resume,
            as_json=json,
        )
    )
