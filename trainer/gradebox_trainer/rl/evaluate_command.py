"""`gradebox evaluate`: a model and a suite to a table."""

import itertools
import json
import math
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

import gradebox
from gradebox_command.errors import DONE, FAILED, INTERRUPTED, BadArgument, CommandError
from gradebox_command.row_log import RowLog
from gradebox_command.session import Engines, open_client
from gradebox_command.terminal import console, progress_bar
from gradebox_command.writing import write_text
from gradebox_trainer.reward.best_of_n import Samples, curve
from gradebox_trainer.rl.evaluation import Evaluation, evaluate
from gradebox_trainer.rl.grading import Grading
from gradebox_trainer.rl.passk import pass_at_k
from gradebox_trainer.rl.policy import load_policy, load_policy_tokenizer
from gradebox_trainer.rl.prompts import chosen_format
from gradebox_trainer.rl.rollout import Sampler, Sampling, TransformersSampler
from gradebox_trainer.rl.settings import GradingSettings, PromptFormat
from gradebox_trainer.rl.suites import NAMES, read_suite, suite_file
from gradebox_trainer.rl.tasks import Task, make_tasks
from gradebox_trainer.training.distributed import Processes

ANSWERS = "answers.jsonl"
RESULT = "result.json"
_AT_ONCE = 8
"""Problems that are answered before they are written down."""
_KS = (1, 2, 5, 10, 16, 20, 32, 50, 64, 100, 128, 200)


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    model: str
    suite: str
    data: Path | None
    output: Path
    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    prompt_format: str
    reward_model: str | None
    rollout: str
    batch: int
    seed: int
    engines: Engines
    as_json: bool


def run(options: Options) -> int:
    """Answers, grades, and writes the table; the exit status.

    Raises:
        BadArgument, InputError: bad input.
        CommandError: no engine, or something could not be written; what was answered stays.
    """
    if options.prompt_format not in get_args(PromptFormat):
        raise BadArgument(f"--prompt-format must be one of {', '.join(get_args(PromptFormat))}")
    if options.rollout not in ("auto", "transformers", "vllm"):
        raise BadArgument("--rollout must be auto, transformers or vllm")
    if options.reward_model and not options.samples:
        raise BadArgument("--reward-model chooses among samples: give -n")
    rows = read_suite(suite_file(options.suite, options.data), published=options.suite in NAMES)
    tokenizer = load_policy_tokenizer(options.model)
    format = chosen_format(options.prompt_format, tokenizer)
    tasks, _ = make_tasks(rows, tokenizer, format, min_seal=None, max_prompt_tokens=sys.maxsize)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{options.output}: {error.strerror}") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with RowLog(options.output / ANSWERS) as log:
        kept = _kept(log, options, format)
        try:
            engine = _answer(options, tasks, tokenizer, format, log, kept)
        except KeyboardInterrupt:
            print(
                f"gradebox: interrupted: {len(kept):,} of {len(tasks):,} problems are answered; the same command "
                "goes on",
                file=sys.stderr,
            )
            return INTERRUPTED
    answered = [kept[task.id] for task in tasks]
    result = table(options, answered) | {"engine": engine, "format": format}
    if options.reward_model:
        result["best_of_n"] = _best_of_n(options.reward_model, tasks, answered)
    write_text(options.output / RESULT, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result)) if options.as_json else _show(options, result)
    return FAILED if result["unknown"] else DONE


def table(options: Options, answered: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Shares of problems solved, over those that the engine gave verdicts for.

    Args:
        answered: a row a problem: `greedy` and `samples`, each a list of `{"passed": bool | None, …}`.
    """
    greedy = [row["greedy"][0]["passed"] for row in answered]
    known = [passed for passed in greedy if passed is not None]
    result: dict[str, Any] = {
        "model": options.model,
        "suite": options.suite,
        "problems": len(answered),
        "greedy": sum(known) / len(known) if known else None,
        "unknown": sum(one["passed"] is None for row in answered for one in (*row["greedy"], *row["samples"])),
        "sampling": {
            "n": options.samples,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "max_tokens": options.max_tokens,
            "seed": options.seed,
        },
    }
    for k in _KS:
        if k > options.samples:
            break
        shares = []
        for row in answered:
            passed = [one["passed"] for one in row["samples"] if one["passed"] is not None]
            if len(passed) >= k:
                shares.append(pass_at_k(len(passed), sum(passed), k))
        if shares:
            result[f"pass@{k}"] = sum(shares) / len(shares)
    return result


def _kept(log: RowLog, options: Options, format: str) -> dict[str, dict[str, Any]]:
    """What an earlier run answered. Raises BadArgument where that was with other settings."""
    how = _how(options, format)
    kept: dict[str, dict[str, Any]] = {}
    for _, row in log.rows():
        if "how" in row and row["how"] != how:
            raise BadArgument(f"{log.path} was made with other settings: give another -o")
        if "id" in row:
            kept[row["id"]] = row
    if not kept:
        log.append({"how": how})
    return kept


def _how(options: Options, format: str) -> dict[str, Any]:
    """All that changes answers."""
    names = ("model", "suite", "samples", "temperature", "top_p", "max_tokens", "seed")
    return {"format": format, **{name: getattr(options, name) for name in names}}


def _answer(
    options: Options, tasks: Sequence[Task], tokenizer: Any, format: str, log: RowLog, kept: dict[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """Answers what is not kept, into the log and `kept`; the engine that graded."""
    missing = [task for task in tasks if task.id not in kept or _unknown(kept[task.id])]
    engine = next((row["engine"] for row in kept.values() if row.get("engine")), None)
    if not missing:
        return engine
    with open_client(options.engines) as client:
        client.info(timeout_s=60.0)
        sampler = _sampler(options, tokenizer)
        settings = GradingSettings()
        with (
            Grading(client, settings, kind="pass_rate", format=format) as grading,
            progress_bar(len(tasks), len(tasks) - len(missing), "problems") as advance,
        ):
            for chosen in itertools.batched(missing, _AT_ONCE):
                for row in _rows(options, chosen, sampler, grading, tasks):
                    log.append(row)
                    kept[row["id"]] = row
                    engine = row["engine"] or engine
                    advance(1)
    return engine


def _rows(
    options: Options, chosen: Sequence[Task], sampler: Sampler, grading: Grading, tasks: Sequence[Task]
) -> Iterator[dict[str, Any]]:
    # Of the problem's place, so that a run that goes on draws what the unbroken one drew.
    seed = options.seed * 1_000_003 + tasks.index(chosen[0])
    greedy = evaluate(sampler, chosen, grading, count=1, sampling=Sampling(0.0, 1.0, options.max_tokens), seed=seed)
    drawn = None
    if options.samples:
        sampling = Sampling(options.temperature, options.top_p, options.max_tokens)
        drawn = evaluate(sampler, chosen, grading, count=options.samples, sampling=sampling, seed=seed)
    for place, task in enumerate(chosen):
        stamps = [one.result.engine for one in greedy.scored[place] if one.result is not None]
        limits = task.problem.limits
        shown = asdict(limits) if isinstance(limits, gradebox.Limits) else limits
        engine = asdict(stamps[0]) | {"limits": shown} if stamps else None
        yield {
            "id": task.id,
            "greedy": _cells(greedy, place),
            "samples": _cells(drawn, place) if drawn else [],
            "engine": engine,
        }


def _cells(evaluation: Evaluation, place: int) -> list[dict[str, Any]]:
    return [
        {
            "program": one.program,
            "answer": answer.text,
            "verdict": one.result.verdict.name if one.result else None,
            "pass_rate": one.execution,
            "passed": None if one.execution is None else one.execution == 1.0,
            "evidence": [sign.name for sign in one.result.evidence] if one.result else [],
            "truncated": answer.truncated,
        }
        for answer, one in zip(evaluation.answers[place], evaluation.scored[place], strict=True)
    ]


def _unknown(row: Mapping[str, Any]) -> bool:
    return any(one["passed"] is None for one in (*row["greedy"], *row["samples"]))


def _sampler(options: Options, tokenizer: Any) -> Sampler:
    cuda = torch.cuda.is_available()
    device = torch.device("cuda") if cuda else torch.device("cpu")
    model = load_policy(options.model, dtype=torch.bfloat16 if cuda else torch.float32)
    if options.rollout == "vllm" or (options.rollout == "auto" and cuda):
        from gradebox_trainer.rl.vllm_rollout import VllmSampler

        return VllmSampler(
            options.model,
            model,
            tokenizer,
            Processes(0, 1, device),
            memory_share=0.9,
            max_tokens=min(model.config.max_position_embeddings, 8192 + options.max_tokens),
            dtype="bfloat16",
            seed=options.seed,
        )
    return TransformersSampler(model.to(device).eval(), tokenizer, options.batch)


def _best_of_n(name: str, tasks: Sequence[Task], answered: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Points of the curve over the samples with a verdict; samples without a program, or too long for the reward
    model, have the lowest score."""
    from gradebox_trainer.reward.score import RewardModel

    precision = "bf16" if torch.cuda.is_available() else "fp32"
    known = [[one for one in row["samples"] if one["passed"] is not None] for row in answered]
    questions = [(task.text, [one["program"] or "" for one in cells]) for task, cells in zip(tasks, known, strict=True)]
    scores = RewardModel(name, precision=precision).score(questions)
    problems = [
        Samples(
            np.array([float(one["passed"]) for one in cells]),
            np.array(
                [
                    -math.inf if score is None or one["program"] is None else score
                    for one, score in zip(cells, found, strict=True)
                ]
            ),
        )
        for cells, found in zip(known, scores, strict=True)
        if cells
    ]
    return [asdict(point) for point in curve(problems)]


def _show(options: Options, result: Mapping[str, Any]) -> None:
    from rich.table import Table

    engine = result["engine"] or {}
    out = console()
    shown = Table("", "solved", title=f"{options.suite}: {options.model}", title_justify="left")
    if result["greedy"] is not None:
        shown.add_row("greedy", f"{result['greedy']:.3f}")
    for name, value in result.items():
        if name.startswith("pass@"):
            shown.add_row(name, f"{value:.3f}")
    for point in result.get("best_of_n", ()):
        if point["n"] > 1:
            shown.add_row(
                f"best of {point['n']} [random {point['random']:.3f}, oracle {point['oracle']:.3f}]",
                f"{point['best']:.3f} [{point['low']:.3f}, {point['high']:.3f}]",
            )
    out.print(shown)
    limits = engine.get("limits") or "the engine's defaults"
    sampling = result["sampling"]
    out.print(
        f"{result['problems']:,} problems, prompts: {result['format']}; samples: n {sampling['n']}, temperature "
        f"{sampling['temperature']}, top-p {sampling['top_p']}, at most {sampling['max_tokens']} tokens"
    )
    out.print(f"engine {engine.get('version')}, image {engine.get('image')}, limits: {limits}")
    if result["unknown"]:
        out.print(f"{result['unknown']:,} answers without a verdict (the engine's fault): the same command tries again")
