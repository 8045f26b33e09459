"""`gradebox train-rl`: problems to a trained policy in a folder."""

import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradebox_command.errors import DONE, INTERRUPTED, BadArgument, CommandError
from gradebox_command.session import Engines, open_client
from gradebox_command.terminal import console, progress_bar
from gradebox_trainer.rl.grading import Grading
from gradebox_trainer.rl.policy import load_policy, load_policy_tokenizer
from gradebox_trainer.rl.prompts import chosen_format
from gradebox_trainer.rl.settings import RLSettings
from gradebox_trainer.rl.tasks import Task, make_tasks, read_problem_rows
from gradebox_trainer.rl.train import CHECKPOINTS, RLTrainer, Scorer
from gradebox_trainer.training.checkpoint import checkpoints
from gradebox_trainer.training.distributed import Processes, processes
from gradebox_trainer.training.metrics import Metrics, read_metrics

FIGURES = "figures.json"
"""The run's evaluations and its settings."""


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    problems: Path
    held_out: Path | None
    output: Path
    settings: RLSettings
    engines: Engines
    resume: bool
    as_json: bool


def train_rl(options: Options) -> int:
    """Trains, and returns the exit status.

    Raises:
        InputError, BadArgument: bad input.
        CommandError: no engine, or something could not be saved; whole checkpoints stay.
    """
    folder, settings = options.output, options.settings
    if not options.resume and checkpoints(folder / CHECKPOINTS):
        raise BadArgument(f"{folder} has checkpoints of a run: go on with --resume, or give another -o")
    rows = read_problem_rows(options.problems)
    held_out_rows = read_problem_rows(options.held_out) if options.held_out else []
    if both := {row["id"] for row in rows} & {row["id"] for row in held_out_rows}:
        raise BadArgument(f"problem {min(both)!r} is both in PROBLEMS and held out")
    tokenizer = load_policy_tokenizer(settings.model)
    format = chosen_format(settings.prompt_format, tokenizer)
    make: Callable[[list[dict[str, Any]]], tuple[list[Task], int]] = lambda chosen: make_tasks(  # noqa: E731
        chosen,
        tokenizer,
        format,
        min_seal=settings.grading.min_seal,
        max_prompt_tokens=settings.max_prompt_tokens,
    )
    tasks, too_long = make(rows)
    if not tasks:
        raise BadArgument(f"{options.problems}: every prompt has more than {settings.max_prompt_tokens} tokens")
    held_out, _ = make(held_out_rows)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror}") from None
    with processes() as here:
        if here.world > 1 and not options.engines.addresses:
            raise BadArgument(
                "several processes share engines: start them with gradebox serve, and name them: --engine"
            )
        with open_client(options.engines) as client:
            client.info(timeout_s=settings.grading.timeout_s)  # a wrong address is said now
            grading = Grading(client, settings.grading, kind=settings.reward.execution, format=format)
            with grading:
                dtype = torch.float32 if settings.precision == "fp32" else torch.bfloat16
                model = load_policy(settings.model, dtype=dtype)
                trainer = RLTrainer(
                    settings,
                    model,
                    tokenizer,
                    tasks,
                    held_out,
                    grading,
                    folder,
                    here,
                    format=format,
                    scorer=load_scorer(settings),
                )
                return _run(options, trainer, here, too_long)


def load_scorer(settings: RLSettings) -> Scorer | None:
    """The reward model's scores, where the reward has one."""
    if settings.reward.model is None:
        return None
    from gradebox_trainer.reward.score import RewardModel

    return RewardModel(settings.reward.model, precision=settings.precision).score


def _run(options: Options, trainer: RLTrainer, here: Processes, too_long: int) -> int:
    step = trainer.resume() if options.resume else 0
    started_s = time.monotonic()
    stop = stop_on_signal() if here.world == 1 else (lambda: False)
    metrics = None
    if here.first:
        metrics = Metrics(
            options.output,
            options.settings.report_to,
            name=options.output.name,
            config=options.settings.model_dump(mode="json"),
            step=step,
        )
    try:
        if here.first:
            with progress_bar(options.settings.steps, step, "training") as advance:
                trainer.run(metrics, advance, stop)
        else:
            trainer.run(None)
    except KeyboardInterrupt:
        if here.first:
            found = checkpoints(options.output / CHECKPOINTS)
            kept = f"step {found[-1][0]} of {trainer.settings.steps} is kept; --resume goes on" if found else "nothing"
            print(f"gradebox: interrupted: {kept}", file=sys.stderr)
        return INTERRUPTED
    finally:
        if metrics is not None:
            metrics.close()
    if here.first:
        _finish(options, time.monotonic() - started_s, too_long)
    return DONE


def stop_on_signal() -> Callable[[], bool]:
    """Whether SIGINT or SIGTERM came: the step under way is finished, and kept, first; a second one ends at once."""
    came: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return lambda: bool(came)


def _finish(options: Options, seconds: float, too_long: int) -> None:
    evaluations = evaluated(read_metrics(options.output))
    figures = {
        "steps": options.settings.steps,
        "seconds": round(seconds, 1),
        "prompts_too_long": too_long,
        "evaluations": evaluations,
        "settings": options.settings.model_dump(mode="json"),
    }
    (options.output / FIGURES).write_text(json.dumps(figures, indent=2) + "\n")
    if options.as_json:
        print(json.dumps(figures))
        return
    out = console()
    out.print(f"{options.output}: {options.settings.steps:,} steps in {seconds:,.0f} s")
    if too_long:
        out.print(f"{too_long:,} problems were left out: their prompts are too long")
    for one in evaluations:
        shown = ", ".join(f"{name} {value:.3f}" for name, value in one.items() if name.startswith("pass@") and value)
        out.print(f"step {one['step']}: {shown}")


def evaluated(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The evaluations of a run, of earlier tries too, by step: `{"step", "pass@1", …}`."""
    return [
        {"step": row["step"]} | {name.removeprefix("eval/"): row[name] for name in row if name.startswith("eval/")}
        for row in metrics
        if "eval/pass@1" in row
    ]
