"""A reward model from nothing, on real programs: labels by gradebox, a small transformer on a CPU, held-out problems.

    python tests/benchmarks/reward_model.py DATA WORK [--set KEY=VALUE ...]

DATA is a folder of published files (problems/, samples/, tokenizers/), WORK a folder for what is made. Each stage is
kept and not done again: labels, the model, scores. Prints what the model, a program's length and an n-gram model make
of the pairs of held-out problems, and best-of-n with the model on those problems.
"""

import argparse
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gradebox_command.rows import read_rows
from gradebox_trainer.reward.baselines import Ngrams, better_programs, length
from gradebox_trainer.reward.command import Options, encoder_of, read_both
from gradebox_trainer.reward.encode import EncodedGroup, encode_groups
from gradebox_trainer.reward.objective import TreeObjective
from gradebox_trainer.reward.settings import RewardSettings, read_settings
from gradebox_trainer.reward.validate import compare, pair_gaps
from gradebox_trainer.statistics import bootstrap_mean
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.training.recipes import set_values
from gradebox_trainer.transformer.loading import load_classifier, load_tokenizer
from gradebox_trainer.transformer.scorer import TreeScorer
from gradebox_trainer.transformer.scoring import Scores

PROBLEMS = ("humaneval", "mbpp")
SAMPLES = ("mbpp_mixed", "humaneval_mixed", "humaneval_codegen16b_n100")
CPU_TIME_S = 0.5  # some programs loop, on every test
CONFIG = {
    "model_type": "qwen2",
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}
RECIPE = Path("rm-cpu")


def main() -> None:
    """Does what is not done yet, then prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="assignments", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    problems, programs = gather(arguments.data, work)
    labels = work / "labels.jsonl"
    if not (work / "labelled").exists():
        gradebox("grade", problems, programs, "-o", labels, *(["--resume"] if labels.exists() else []))
        (work / "labelled").touch()
    (work / "config.json").write_text(json.dumps(CONFIG))
    tokenizer = arguments.data / "tokenizers" / "starcoder2_tokenizer.json.gz"
    flags = {"init_from_config": work / "config.json", "tokenizer": str(tokenizer)}
    settings = read_settings(RECIPE, set_values(arguments.assignments, flags))
    model = work / "model"
    train(settings, [labels, "--programs", programs, "--problems", problems], model)
    options = Options([labels], [programs], [problems], [], model, settings, False, True)
    training, held_out = encoded(options)
    result = {"pairs": pairs(model, settings, training, held_out)}
    result["best_of_n"] = best_of_n(work, model, labels, programs, problems, {group.id for group in held_out})
    result["training"] = {
        key: value for key, value in json.loads((model / "figures.json").read_text()).items() if key != "settings"
    }
    print(json.dumps(result, indent=1))


def gather(data: Path, work: Path) -> tuple[Path, Path]:
    """One file of problems, with a shorter CPU limit, and one of programs."""
    problems, programs = work / "problems.jsonl.gz", work / "programs.jsonl.gz"
    if not programs.exists():
        with gzip.open(problems, "wt") as file:
            for name in PROBLEMS:
                for _, row in read_rows(data / "problems" / f"{name}.jsonl.gz"):
                    file.write(json.dumps({**row, "limits": {"cpu_time_s": CPU_TIME_S}}) + "\n")
        parts = (data / "samples" / f"{name}.jsonl.gz" for name in SAMPLES)
        programs.write_bytes(b"".join(part.read_bytes() for part in parts))
    return problems, programs


def gradebox(*arguments: object) -> str:
    """A command of gradebox, its output."""
    command = [str(Path(sys.executable).with_name("gradebox")), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def train(settings: RewardSettings, inputs: list[Any], model: Path) -> None:
    """Trains, or goes on; nothing where it is done."""
    if (model / "figures.json").exists():
        return
    values = settings.model_dump(mode="json", exclude_unset=True)
    flags = [argument for key, value in values.items() for argument in ("--set", f"{key}={toml(value)}")]
    started = time.process_time()
    resume = ["--resume"] if model.exists() else []
    gradebox("train-rm", *inputs, *flags, *resume, "-o", model)
    print(f"trained, {time.process_time() - started:.0f} s of this process", file=sys.stderr)


def toml(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def encoded(options: Options) -> tuple[list[EncodedGroup], list[EncodedGroup]]:
    """The groups that the command trained and validated on."""
    assert options.settings.tokenizer is not None
    encoder = encoder_of(options.settings, load_tokenizer(options.settings.tokenizer))
    both = [
        encode_groups(groups, encoder, too_long="drop", weights=options.settings.question_weights)[0]
        for groups in read_both(options)
    ]
    return both[0], both[1]


def pairs(
    model: Path, settings: RewardSettings, training: list[EncodedGroup], held_out: list[EncodedGroup]
) -> dict[str, Any]:
    """Held-out pair accuracy of the model and the baselines, and the model's lead with its interval."""
    tokenizer = load_tokenizer(str(model))
    scorer = TreeScorer(load_classifier(str(model), tokenizer, dtype=torch.float32).eval())
    here = Processes(0, 1, torch.device("cpu"))
    ours = TreeObjective(scorer, settings.token_budget, here).scores(held_out)
    ngrams = Ngrams(better_programs(training), vocabulary=len(tokenizer))
    result: dict[str, Any] = {"model": compare(held_out, ours).figures()}
    for name, score in (("length", length), ("n-gram log-probability", ngrams)):
        towards = compare(training, [score(group) for group in training]).problem_accuracy
        sign = np.float32(1 if towards >= 0.5 else -1)
        theirs = [sign * score(group) for group in held_out]
        lead = by_problem(held_out, ours) - by_problem(held_out, theirs)
        mean, low, high = bootstrap_mean(lead)
        result[name] = compare(held_out, theirs).figures() | {"model_leads_by": [mean, low, high]}
    return result


def by_problem(groups: list[EncodedGroup], scores: list[Scores]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Each problem's pair accuracy."""
    gaps = [pair_gaps(group, values) for group, values in zip(groups, scores, strict=True)]
    return np.array([float(((gap > 0) + 0.5 * (gap == 0)).mean()) for gap in gaps])


def best_of_n(work: Path, model: Path, labels: Path, programs: Path, problems: Path, ids: set[str]) -> Any:
    """Best-of-n over the held-out problems' programs, per generator."""
    kept, scores = work / "held_out.jsonl", work / "scores.jsonl"
    rows = (row for _, row in read_rows(programs) if row["id"] in ids)
    kept.write_text("".join(json.dumps(row) + "\n" for row in rows))
    gradebox("score", kept, "--problems", problems, "--model", model, "-o", scores)
    found = json.loads(gradebox("best-of-n", labels, scores, "-o", work / "best_of_n", "--json"))
    return {
        one["generator"]: [
            {key: round(value, 4) for key, value in point.items()} for point in one["points"] if point["n"] > 1
        ]
        for one in found["curves"]
        if len(one["points"]) >= 4
    }


if __name__ == "__main__":
    main()
