"""`gradebox evaluate`: its arguments."""

from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.errors import BadArgument
from gradebox_command.options import CaFile, CertFile, Engines, Json, KeyFile, Token, Workers


def command(
    model: Annotated[str, typer.Option("--model", metavar="NAME_OR_PATH", help="In transformers' format.")],
    suite: Annotated[
        str,
        typer.Option(
            metavar="SUITE",
            help="humaneval, humaneval+, mbpp, mbpp+, livecodebench or bigcodebench (with --data), or a file: as "
            "published, or problems.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="DIR", help="Answers with their verdicts, and the table as JSON."),
    ],
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the published suites are.")] = None,
    samples: Annotated[int, typer.Option("-n", min=0, help="Sampled answers a problem, beside the greedy one.")] = 0,
    temperature: Annotated[float, typer.Option(min=0.01, help="Of the samples.")] = 0.8,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Of the samples.")] = 0.95,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 1024,
    prompt_format: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="chat, plain, complete (the program is the prompt and what follows) or r1. Default: chat where the "
            "tokenizer has a template, else plain.",
        ),
    ] = "auto",
    reward_model: Annotated[
        str | None, typer.Option(metavar="DIR", help="Also best-of-n: the samples that this model likes best.")
    ] = None,
    rollout: Annotated[
        str, typer.Option(metavar="KIND", help="vllm or transformers. Default: vllm on a GPU.")
    ] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Answers generated at once with transformers.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples.")] = 0,
    engine: Engines = None,
    token: Token = None,
    ca_file: CaFile = None,
    cert_file: CertFile = None,
    key_file: KeyFile = None,
    workers: Workers = None,
    json: Json = False,
) -> int:
    """Say how many problems of a suite a model solves: greedy, pass@k without bias, best-of-n with a reward model.

    What is answered is kept in DIR: the same command goes on where an earlier run was ended.
    """
    from gradebox_command.session import Engines as EnginesOfSession
    from gradebox_trainer.rl import evaluate_command as implementation

    if engine and workers is not None:
        raise BadArgument("--workers is for an embedded engine: it does not go with --engine")
    return implementation.run(
        implementation.Options(
            model=model,
            suite=suite,
            data=data,
            output=output,
            samples=samples,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            prompt_format=prompt_format,
            reward_model=reward_model,
            rollout=rollout,
            batch=batch,
            seed=seed,
            engines=EnginesOfSession(tuple(engine or ()), workers, token, ca_file, cert_file, key_file),
            as_json=json,
        )
    )
