"""A reward model of the toy: programs of mixed quality, labelled by executions, into pairs, by `gradebox train-rm`."""

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import gradebox
from gradebox_command.errors import CommandError
from gradebox_command.session import Engines, open_client
from gradebox_command.writing import write_rows
from gradebox_trainer.reward.command import Options, train_rm
from gradebox_trainer.reward.settings import PairRule, RewardSettings
from gradebox_trainer.rl.toy.problems import mixed_program, problems, stray_program

PROBLEMS = 8000
PROGRAMS = 3  # a problem; and as many stray ones, so that what is seen nowhere else is not taken for good


def trained_reward_model(folder: Path, base: Path, seed: int, engines: Engines) -> Path:
    """The folder of a reward model that starts from the fitted policy `base`; made where it is not there yet.

    Raises:
        CommandError: the engine owes a verdict, or the training ends badly.
    """
    target = folder / f"reward-model-{seed}"
    if (target / "figures.json").exists():
        return target
    data = folder / f"reward-model-{seed}-data"
    data.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"reward {seed}")
    chosen = list(islice(problems(seed, "train"), PROBLEMS))
    programs = {
        p.id: list(dict.fromkeys(make(p, rng) for make in (mixed_program, stray_program) for _ in range(PROGRAMS)))
        for p in chosen
    }
    rows = [problem.row() for problem in chosen]
    with open_client(engines) as client:
        write_rows(data / "labels.jsonl", _labels(client, rows, programs))
    write_rows(data / "problems.jsonl", rows)
    write_rows(data / "programs.jsonl", ({"id": id, "programs": each} for id, each in programs.items()))
    settings = RewardSettings.model_validate(
        {
            "model": str(base),
            "prompt_template": "{prompt}",
            "max_length": 256,
            # Right, against all that is not.
            "pairs": PairRule(better_at_least=1.0, gap_at_least=0.1, worse_above=-1.0),
            "token_budget": 4096,
            "questions_per_step": 16,
            "epochs": 3,
            "learning_rate": 2e-3,
            "precision": "fp32",
            "seed": seed,
            "report_to": (),
        }
    )
    status = train_rm(
        Options(
            inputs=[data / "labels.jsonl"],
            programs=[data / "programs.jsonl"],
            problems=[data / "problems.jsonl"],
            validation=[],
            output=target,
            settings=settings,
            resume=target.exists(),
            as_json=False,
        )
    )
    if status:
        raise CommandError(f"the reward model was not trained: exit status {status}")
    return target


def _labels(
    client: gradebox.Client, rows: Iterable[Mapping[str, Any]], programs: Mapping[str, list[str]]
) -> Iterator[dict[str, Any]]:
    """In the order of `programs`, whichever is graded first: what is trained on them hangs on it."""
    items = (gradebox.GradeItem(gradebox.Problem.from_dict(row), programs[row["id"]], key=row["id"]) for row in rows)
    graded = {one.key: one.results for one in client.grade_many(items)}
    for id in programs:
        for result in graded[id]:
            yield result.to_label()
