"""Rewards for OpenRLHF, as a file with `reward_func`:

    echo "from gradebox.integrations.openrlhf import reward_func" > reward.py
    … --reward.remote_url reward.py        # --remote_rm_url in its older versions

Over HTTP instead, `gradebox gateway` serves the same at `/reward`. A label (`--data.label_key`) is the problem or
its tests as JSON. Settings come from the environment: see Settings.of.

Where the engine comes to no result an exception is raised; OpenRLHF then goes on without a reward for that sample.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from gradebox import InvalidRequest
from gradebox.integrations._grader import Grader, Outcome
from gradebox.integrations._tasks import problem_of


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any], **_: Any) -> dict[str, Any]:
    """`rewards` and `scores`, one each a query, as tensors; `extra_logs` in the same shape.

    Raises InvalidRequest, Unavailable, DeadlineExceeded, EngineFault.
    """
    import torch

    answer = answer_of(_grader().grade(responses(queries, prompts), tasks(labels)))
    logs = {name: torch.tensor(values) for name, values in answer["extra_logs"].items()}
    return {"rewards": torch.tensor(answer["rewards"]), "scores": torch.tensor(answer["scores"]), "extra_logs": logs}


def responses(queries: Sequence[str], prompts: Sequence[str]) -> list[str]:
    """What the model wrote: a query is the prompt with the response after it, decoded with all special tokens."""
    if len(queries) != len(prompts):
        raise InvalidRequest(f"{len(queries)} queries for {len(prompts)} prompts", "prompts")
    texts = []
    for query, prompt in zip(queries, prompts, strict=True):
        at = query.find(prompt) if prompt else -1  # decoding may have put a token before it
        texts.append(query if at < 0 else query[at + len(prompt) :])
    return texts


def tasks(labels: Sequence[Any]) -> list[Any]:
    """The problems that the labels hold. Raises InvalidRequest."""
    return [problem_of(label) for label in labels]


def answer_of(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The answer of a reward server, as JSON. Raises what kept the engine from a result."""
    rewards = [outcome.known() for outcome in outcomes]
    logs = {
        "no_program": [float(outcome.program is None) for outcome in outcomes],
        "evidence": [float(bool(outcome.evidence)) for outcome in outcomes],
    }
    return {"rewards": rewards, "scores": rewards, "extra_logs": logs}


@cache
def _grader() -> Grader:
    return Grader()
