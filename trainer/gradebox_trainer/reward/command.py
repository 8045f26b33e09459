"""`gradebox train-rm`: files to a trained reward model in a folder."""

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradebox_command.errors import DONE, INTERRUPTED, BadArgument, CommandError
from gradebox_command.terminal import console, progress_bar
from gradebox_trainer.reward import card, report
from gradebox_trainer.reward.encode import EncodedGroup, Encoder, encode_groups
from gradebox_trainer.reward.groups import Group, split_by_problem
from gradebox_trainer.reward.read import read_groups
from gradebox_trainer.reward.settings import RewardSettings
from gradebox_trainer.reward.train import CHECKPOINTS, Data, Outcome, RewardTrainer
from gradebox_trainer.training.checkpoint import checkpoints, saving
from gradebox_trainer.training.distributed import Processes, processes
from gradebox_trainer.training.metrics import Metrics, read_metrics
from gradebox_trainer.transformer import loading

FIGURES = "figures.json"
"""The run's final figures."""


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    inputs: Sequence[Path]
    programs: Sequence[Path]
    problems: Sequence[Path]
    validation: Sequence[Path]
    output: Path
    settings: RewardSettings
    resume: bool
    as_json: bool


def train_rm(options: Options) -> int:
    """Trains, and returns the exit status.

    Raises:
        CommandError, InputError: bad input, or what could not be saved; whole checkpoints stay.
    """
    folder = options.output
    if not options.resume and checkpoints(folder / CHECKPOINTS):
        raise BadArgument(f"{folder} has checkpoints of a run: go on with --resume, or give another -o")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder}: {error.strerror}") from None
    train, validation = read_both(options)
    loading.hide_progress()
    with processes() as here:
        tokenizer, model = _model(options.settings)
        data = _encode(options.settings, tokenizer, train, validation)
        trainer = RewardTrainer(options.settings, model, tokenizer, data, folder, here)
        step = trainer.resume() if options.resume else 0
        started = time.monotonic()
        try:
            outcome = _run(options, trainer, step, here)
        except KeyboardInterrupt:
            if here.first:
                found = checkpoints(folder / CHECKPOINTS)
                kept = (
                    f"step {found[-1][0]} of {trainer.steps} is kept; --resume goes on" if found else "nothing is kept"
                )
                print(f"gradebox: interrupted: {kept}", file=sys.stderr)
            return INTERRUPTED
        if here.first:
            _finish(options, trainer, outcome, time.monotonic() - started)
    return DONE


def read_both(options: Options) -> tuple[list[Group], list[Group]]:
    """Training and validation groups, no problem in both.

    Raises:
        BadArgument: a validation file was given, and a problem of it is in the training data, too.
    """
    rule = options.settings.pairs
    groups = read_groups(options.inputs, options.programs, options.problems, rule)
    if not options.validation:
        settings = options.settings
        return split_by_problem(groups, settings.validation_share, settings.validation_split)
    held_out = read_groups(options.validation, options.programs, options.problems, rule)
    both = {group.id for group in groups} & {group.id for group in held_out}
    if both:
        raise BadArgument(f"problem {min(both)!r} is in the training and in the validation data")
    return groups, held_out


def encoder_of(settings: RewardSettings, tokenizer: Any) -> Encoder:
    """What makes tokens as the settings say."""
    return Encoder(tokenizer, prompt_template=settings.prompt_template, max_length=settings.max_length)


def _model(settings: RewardSettings) -> tuple[Any, torch.nn.Module]:
    dtype = torch.float32 if settings.precision == "fp32" else torch.bfloat16
    if settings.init_from_config is not None:
        tokenizer = loading.load_tokenizer(settings.tokenizer or "")
        return tokenizer, loading.new_classifier(settings.init_from_config, tokenizer, dtype=dtype, seed=settings.seed)
    assert settings.model is not None
    tokenizer = loading.load_tokenizer(settings.tokenizer or settings.model)
    torch.manual_seed(settings.seed)  # a new head
    return tokenizer, loading.load_classifier(settings.model, tokenizer, dtype=dtype, dropout=settings.dropout)


def _encode(settings: RewardSettings, tokenizer: Any, train: list[Group], validation: list[Group]) -> Data:
    encoder = encoder_of(settings, tokenizer)

    def encode(groups: list[Group]) -> tuple[list[EncodedGroup], int]:
        return encode_groups(groups, encoder, too_long=settings.too_long, weights=settings.question_weights)

    encoded, dropped = encode(train)
    held_out, more = encode(validation) if validation else ([], 0)
    return Data(encoded, held_out, dropped + more)


def _run(options: Options, trainer: RewardTrainer, step: int, here: Processes) -> Outcome:
    stop = _stop_on_signal() if here.world == 1 else (lambda: False)
    if not here.first:
        return trainer.run(None)
    metrics = Metrics(
        options.output,
        options.settings.report_to,
        name=options.output.name,
        config=options.settings.model_dump(mode="json"),
        step=step,
    )
    try:
        with progress_bar(trainer.steps, step, "training") as advance:
            return trainer.run(metrics, advance, stop)
    finally:
        metrics.close()


def _stop_on_signal() -> Callable[[], bool]:
    """Whether SIGINT or SIGTERM came: the step under way is finished, and kept, first."""
    came: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: came.append(number))
    return lambda: bool(came)


def _finish(options: Options, trainer: RewardTrainer, outcome: Outcome, seconds: float) -> None:
    data = trainer.data
    figures: dict[str, Any] = {
        "steps": outcome.steps,
        "seconds": round(seconds, 1),
        "parameters": sum(weight.numel() for weight in trainer.model.parameters()),
        "problems": len(data.train),
        "pairs": sum(len(group.weight) for group in data.train),
        "tokens_per_epoch": sum(group.tree.size for group in data.train),
        "programs_too_long": data.dropped,
        "validation": outcome.validation.figures() if outcome.validation else None,
        "chat": trainer.tokenizer.chat_template is not None,
        "settings": options.settings.model_dump(mode="json"),
    }
    with saving(options.output / CHECKPOINTS):
        _write(options, trainer, outcome, figures)
    if options.as_json:
        print(json.dumps(figures))
        return
    out = console()
    out.print(
        f"{options.output}: {outcome.steps:,} steps, {figures['pairs']:,} pairs of {figures['problems']:,} problems"
    )
    if data.dropped:
        out.print(f"{data.dropped:,} programs were left out: too long")
    if (held_out := outcome.validation) is not None:
        out.print(
            f"held out: {held_out.problems:,} problems, {held_out.pairs:,} pairs: accuracy {held_out.accuracy:.3f}; "
            f"by problem {held_out.problem_accuracy:.3f} [{held_out.low:.3f}, {held_out.high:.3f}]; "
            f"margin {held_out.margin:.3f}, loss {held_out.loss:.3f}; see {options.output / 'report.html'}"
        )


def _write(options: Options, trainer: RewardTrainer, outcome: Outcome, figures: dict[str, Any]) -> None:
    folder = options.output
    (folder / FIGURES).write_text(json.dumps(figures, indent=2) + "\n")
    card.write(folder / "README.md", figures)
    if outcome.scores:
        report.write(
            folder / "report.html",
            figures,
            read_metrics(folder),
            trainer.data.validation,
            outcome.scores,
            trainer.tokenizer,
        )
