"""`gradebox sample`: arguments, progress, summary."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.errors import DONE, INTERRUPTED
from gradebox_command.options import Json
from gradebox_trainer.cli import model_options as options


def command(
    problems: Annotated[Path, typer.Argument(metavar="PROBLEMS", help="JSON Lines (also .gz) or Parquet.")],
    output: options.Output,
    model: options.Model,
    generator: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the programs are filed under. Default: the model's name.")
    ] = None,
    programs: Annotated[int, typer.Option("-n", "--programs", min=1, help="Programs for each problem.")] = 16,
    backend: options.Backend = "endpoint",
    endpoint: options.EndpointUrl = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: greedy.")] = 0.7,
    top_p: options.TopP = 1.0,
    max_tokens: options.MaxTokens = 1024,
    seed: options.Seed = 0,
    concurrency: options.Concurrency = 16,
    requests_per_minute: options.RequestsPerMinute = None,
    tokens_per_minute: options.TokensPerMinute = None,
    prices: options.Prices = None,
    json: Json = False,
) -> int:
    """Have a model write programs for PROBLEMS.

    Answers are kept beside the output (NAME.answers.jsonl) as they come: the same command goes on where an earlier
    run was ended and asks for nothing twice. Rows of other generators stay in the output: run it once a model.
    """
    from gradebox_trainer.cli.asking import ask_model, usage_words
    from gradebox_trainer.models import Settings
    from gradebox_trainer.models.opening import Choice, parse_prices
    from gradebox_trainer.sampling import Sampling

    choice = Choice(model, backend, endpoint, concurrency, requests_per_minute, tokens_per_minute, parse_prices(prices))
    settings = Settings(temperature, top_p, max_tokens, seed)
    sampling = Sampling(problems, output, generator or model, model, programs, settings)
    with sampling.answers:
        usage = sampling.answers.usage
        if not ask_model(choice, settings, sampling.ask, sampling.wanted, usage):
            return INTERRUPTED
        sampling.write()
    if json:
        print(json_module.dumps({"output": str(output), **sampling.summary(), "model": usage.summary(choice.prices)}))
        return DONE
    print(f"{output}: {sampling.programs:,} programs by {sampling.generator} for {sampling.problems:,} problems")
    print(usage_words(usage, choice.prices))
    if sampling.without_code:
        print(f"{sampling.without_code:,} answers without a program")
    return DONE
