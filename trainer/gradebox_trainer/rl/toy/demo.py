"""The whole loop on a CPU, from nothing: `python -m gradebox_trainer.rl.toy.demo -o FOLDER --seed 1` (`make rl-demo`).

A corpus of tiny problems with programs of mixed quality; a tokenizer and a small transformer fitted to it; then
reinforcement learning with rewards from executions alone. What is fitted is kept in the folder by seed, so runs with
other estimators start from the same policy. Ends with pass@1 on problems that neither has seen, and its curve.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from gradebox_command.errors import INTERRUPTED, CommandError
from gradebox_command.session import Engines, open_client
from gradebox_trainer.rl.command import evaluated, load_scorer, stop_on_signal
from gradebox_trainer.rl.figures import mean
from gradebox_trainer.rl.grading import Grading
from gradebox_trainer.rl.policy import load_policy, load_policy_tokenizer
from gradebox_trainer.rl.settings import RLSettings, read_settings
from gradebox_trainer.rl.tasks import Task, make_tasks
from gradebox_trainer.rl.toy.curve import draw
from gradebox_trainer.rl.toy.model import FitConfig, fit, make_model, make_tokenizer
from gradebox_trainer.rl.toy.problems import corpus, problems, rows
from gradebox_trainer.rl.toy.reward_model import trained_reward_model
from gradebox_trainer.rl.train import RLTrainer
from gradebox_trainer.training.distributed import processes
from gradebox_trainer.training.metrics import Metrics, read_metrics

RECIPE = Path("rl-cpu-toy")
TRAIN_PROBLEMS = 4096
KL_COEF_OF_SCORES = 0.05  # a score can be exploited far from the programs that it was learnt on: so not far
HELD_OUT = 64  # of held-out templates, and as many held-out problems of known templates


def fitted(folder: Path, config: FitConfig) -> Path:
    """The folder of the model that is fitted to the corpus; made where it is not there yet."""
    target = folder / f"fitted-{config.seed}"
    if (target / "model.safetensors").exists() and json.loads((target / "fit.json").read_text())["config"] == asdict(
        config
    ):
        return target
    start_s = time.monotonic()
    examples = [(problem.prompt, program) for problem, program in corpus(config.seed, config.examples)]
    tokenizer = make_tokenizer([prompt + program for prompt, program in examples[:4000]])
    model = make_model(config, tokenizer)
    loss = fit(model, tokenizer, examples, config, _bar("fitting to the corpus"))
    target.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(target)
    model.save_pretrained(target)
    said = {"config": asdict(config), "loss": loss, "seconds": time.monotonic() - start_s}
    (target / "fit.json").write_text(json.dumps(said))
    return target


def toy_tasks(tokenizer: Any, seed: int) -> tuple[list[Task], list[Task]]:
    """Tasks to train on, and held-out ones: new problems of known templates, and of templates never seen."""
    trained = islice(problems(seed + 1000, "train"), TRAIN_PROBLEMS)
    held_out = [
        problem
        for split in ("held_out_template", "held_out_problem")
        for problem in islice(problems(seed + 2000, split), HELD_OUT)
    ]
    make: Callable[[list[dict[str, Any]]], list[Task]] = lambda chosen: make_tasks(  # noqa: E731
        chosen, tokenizer, "plain", min_seal=None, max_prompt_tokens=256
    )[0]
    return make(rows(list(trained))), make(rows(held_out))


def learn(settings: RLSettings, folder: Path, seed: int, engines: Engines, *, resume: bool = False) -> dict[str, Any]:
    """One run; what came of it."""
    tokenizer = load_policy_tokenizer(settings.model)
    model = load_policy(settings.model, dtype=torch.float32)
    tasks, held_out = toy_tasks(tokenizer, seed)
    folder.mkdir(parents=True, exist_ok=True)
    start_s = time.monotonic()
    with open_client(engines) as client, processes() as here:
        grading = Grading(client, settings.grading, kind=settings.reward.execution, format="plain")
        with grading:
            trainer = RLTrainer(
                settings, model, tokenizer, tasks, held_out, grading, folder, here, scorer=load_scorer(settings)
            )
            begun = trainer.resume() if resume else 0
            metrics = Metrics(folder, settings.report_to, name=folder.name, config=settings.model_dump(), step=begun)
            try:
                trainer.run(metrics, _advance(settings.steps, begun), stop_on_signal())
            finally:
                metrics.close()
    found = summary(read_metrics(folder), time.monotonic() - start_s)
    (folder / "result.json").write_text(json.dumps(found, indent=1) + "\n")
    return found


def summary(metrics: Sequence[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """pass@1 by step, over all held-out problems and for each split; what grading cost."""
    steps = [row for row in metrics if "gradebox/hidden_fraction" in row]
    curve = evaluated(metrics)
    waited_s, grading_s = (sum(row[f"gradebox/{name}"] for row in steps) for name in ("waited_s", "grading_s"))
    return {
        "curve": curve,
        "before": curve[0]["pass@1"],
        "after": curve[-1]["pass@1"],
        "hidden_fraction": 1 - waited_s / max(1e-9, grading_s),
        "step_time_s": mean([row["step_time"] for row in steps]),
        "engine_error": mean([row["gradebox/engine_error"] for row in steps]),
        "seconds": seconds,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command. 0 when pass@1 on held-out problems has at least doubled, else 1."""
    parser = argparse.ArgumentParser(prog="python -m gradebox_trainer.rl.toy.demo", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=int, action="append", help="may be given several times; default: 1")
    parser.add_argument("--estimator", action="append", help="may be given several times; default: reinforce++")
    parser.add_argument(
        "--reward", choices=("execution", "model"), default="execution", help="model: of a reward model, trained first"
    )
    parser.add_argument("--steps", type=int)
    parser.add_argument("--engine", action="append", metavar="HOST:PORT", help="default: an embedded one")
    parser.add_argument("--threads", type=int, help="of torch; default: torch's own choice")
    parser.add_argument("--resume", action="store_true", help="go on where an earlier run was ended")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    runs: dict[str, dict[str, Any]] = {}
    try:
        for seed in options.seed or [1]:
            base = fitted(options.output, replace(FitConfig(), seed=seed))
            engines = Engines(tuple(options.engine or ()))
            for estimator in options.estimator or ["reinforce++"]:
                flags: dict[str, Any] = {
                    "model": str(base),
                    "estimator": estimator,
                    "steps": options.steps,
                    "seed": seed,
                }
                name = f"{estimator}-{seed}"
                if options.reward == "model":
                    name += "-rm"
                    scores = str(trained_reward_model(options.output, base, seed, engines))
                    flags["kl_coef"] = KL_COEF_OF_SCORES
                    flags["reward"] = {"execution_weight": 0.0, "model": scores, "model_weight": 1.0}
                runs[name] = learn(
                    read_settings(RECIPE, flags), options.output / name, seed, engines, resume=options.resume
                )
                found = runs[name]
                print(
                    f"{name}: held-out pass@1 {found['before']:.3f} -> {found['after']:.3f} "
                    f"({found['seconds']:.0f} s, {found['hidden_fraction']:.0%} of grading hidden)",
                    flush=True,
                )
    except CommandError as error:
        print(f"gradebox: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("gradebox: interrupted; --resume goes on from the last step", file=sys.stderr)
        return INTERRUPTED
    draw({name: found["curve"] for name, found in runs.items()}, options.output / "curve.svg")
    print(f"{options.output / 'curve.svg'}")
    return 0 if all(found["after"] >= 2 * found["before"] for found in runs.values()) else 1


def _bar(what: str) -> Callable[[int, int, float], None]:
    def show(step: int, steps: int, loss: float) -> None:
        if sys.stderr.isatty():
            print(f"\r{what}: {step}/{steps}, loss {loss:.3f}", end="\n" if step == steps else "", file=sys.stderr)

    return show


def _advance(steps: int, begun: int) -> Callable[[int], None]:
    done = begun

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if sys.stderr.isatty():
            print(f"\rreinforcement learning: step {done}/{steps}", end="\n" if done == steps else "", file=sys.stderr)

    return advance


if __name__ == "__main__":
    sys.exit(main())
