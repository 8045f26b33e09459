"""`gradebox bench-rm`: its arguments."""

from typing import Annotated

import typer


def command(
    model: Annotated[
        str, typer.Option(metavar="SIZE", help="tiny (for a CPU), 0.5b, 1.5b or 7b: random weights of that shape.")
    ] = "tiny",
    questions: Annotated[int, typer.Option(min=1, help="Questions of an optimiser step, 14 pairs each.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Steps that are timed, in each round.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Interleaved rounds; medians are shown.")] = 3,
    token_budget: Annotated[int, typer.Option(min=1024, help="Tokens of one forward pass.")] = 16_384,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the layers of our ways (torch.compile).")] = False,
    only: Annotated[list[str] | None, typer.Option(metavar="WAY", help="Only this way of the table, or these.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")] = False,
) -> int:
    """Measure training steps of a reward model against TRL's RewardTrainer, a gain at a time, at AceCodePair's shape.

    The same model and the same pairs in every way, in one run.
    """
    from gradebox_trainer.reward import bench as implementation
    from gradebox_trainer.reward.bench_data import Shape

    return implementation.bench(
        implementation.Options(
            model=model,
            questions=questions,
            steps=steps,
            rounds=rounds,
            token_budget=token_budget,
            compile=compile,
            only=only or [],
            shape=Shape(),
            as_json=json,
        )
    )
