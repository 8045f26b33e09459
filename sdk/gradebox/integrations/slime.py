"""Rewards for slime: `--custom-rm-path gradebox.integrations.slime.custom_rm`.

A sample's `label` holds the problem or its tests (JSON as a string); what is missing there may stand in its
`metadata`, and where there is no label, all of it. Settings come from the environment: see Settings.of.

slime knows no reward that is missing: where the engine comes to no result, an exception is raised.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from gradebox.integrations._grader import Grader
from gradebox.integrations._tasks import FIELDS, problem_of


async def custom_rm(args: Any, sample: Any, **_: Any) -> float | list[float]:
    """The reward of a sample; of a list of them (`--group-rm`), a list.

    Raises InvalidRequest, Unavailable, DeadlineExceeded, EngineFault.
    """
    samples = sample if isinstance(sample, list) else [sample]
    outcomes = await _grader().agrade([each.response for each in samples], [_task(each) for each in samples])
    rewards = [outcome.known() for outcome in outcomes]
    return rewards if isinstance(sample, list) else rewards[0]


def _task(sample: Any) -> Any:
    also = sample.metadata if isinstance(sample.metadata, Mapping) else {}
    found = {name: also.get(name) for name in FIELDS}
    return problem_of(sample.label, **found) if sample.label else problem_of(found)


@cache
def _grader() -> Grader:
    return Grader()
