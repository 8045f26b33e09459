"""`gradebox synthesize`: arguments, progress, summary."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from gradebox_command.errors import DONE, INTERRUPTED
from gradebox_command.options import Json
from gradebox_trainer.cli import model_options as options


def command(
    seeds: Annotated[
        Path,
        typer.Argument(
            metavar="SEEDS", help="Rows with code, instruction?, entry_point?, id?: JSON Lines (also .gz) or Parquet."
        ),
    ],
    output: options.Output,
    model: options.Model,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Problems of an evaluation suite, to keep clear of; may be given several times."
        ),
    ] = None,
    contamination_words: Annotated[
        int, typer.Option(min=5, help="So many words in a row are an overlap with an evaluation (Qwen2.5-Coder: 10).")
    ] = 10,
    near_duplicate: Annotated[
        float, typer.Option(min=0.1, max=1.0, help="Questions that share so much of their 5-grams are one.")
    ] = 0.7,
    answers: Annotated[
        int, typer.Option(min=1, help="Answers for each seed; tests of those with the same question are joined.")
    ] = 1,
    tests: Annotated[int, typer.Option(min=1, help="Tests to ask for.")] = 20,
    min_tests: Annotated[int, typer.Option(min=1, help="Problems with fewer clean tests are dropped.")] = 5,
    max_tests: Annotated[int, typer.Option(min=1, help="Tests of a problem, those of most answers first.")] = 20,
    cpu_time: Annotated[
        float | None,
        typer.Option(min=0.05, help="CPU seconds of a test, as the problems' limit. Default: the engine's own (5)."),
    ] = None,
    backend: options.Backend = "endpoint",
    endpoint: options.EndpointUrl = None,
    temperature: Annotated[float, typer.Option(min=0.0, help="0: greedy.")] = 0.7,
    top_p: options.TopP = 1.0,
    max_tokens: options.MaxTokens = 8192,
    seed: options.Seed = 0,
    concurrency: options.Concurrency = 16,
    requests_per_minute: options.RequestsPerMinute = None,
    tokens_per_minute: options.TokensPerMinute = None,
    prices: options.Prices = None,
    json: Json = False,
) -> int:
    """Have a model make problems with tests out of SEEDS, and clean them.

    Answers are kept beside the output (NAME.answers.jsonl) as they come: the same command goes on where an earlier
    run was ended and asks for nothing twice. What was dropped is in NAME.dropped.jsonl, with the reason.
    """
    from gradebox_trainer.cli.asking import ask_model, usage_words
    from gradebox_trainer.models import Settings
    from gradebox_trainer.models.opening import Choice, parse_prices
    from gradebox_trainer.synthesis.run import Options, Synthesis

    choice = Choice(model, backend, endpoint, concurrency, requests_per_minute, tokens_per_minute, parse_prices(prices))
    settings = Settings(temperature, top_p, max_tokens, seed)
    synthesis = Synthesis(
        Options(
            seeds=seeds,
            output=output,
            evaluations=tuple(evaluation or ()),
            answers=answers,
            tests=tests,
            min_tests=min_tests,
            max_tests=max_tests,
            cpu_time_s=cpu_time,
            near_duplicate=near_duplicate,
            contamination_words=contamination_words,
        ),
        model,
        settings,
    )
    with synthesis.answers:
        usage = synthesis.answers.usage
        if not ask_model(choice, settings, synthesis.ask, synthesis.wanted, usage):
            return INTERRUPTED
        synthesis.write()
    outcome = synthesis.outcome.summary()
    if json:
        print(json_module.dumps({"output": str(output), **outcome, "model": usage.summary(choice.prices)}))
        return DONE
    print(f"{output}: {outcome['problems']:,} problems with {outcome['tests']:,} tests from {outcome['seeds']:,} seeds")
    print(usage_words(usage, choice.prices))
    for what in ("seeds", "answers", "problems", "tests"):
        if reasons := outcome[f"dropped_{what}"]:
            print(f"dropped {what}: " + ", ".join(f"{count:,} {why}" for why, count in reasons.items()))
    return DONE
