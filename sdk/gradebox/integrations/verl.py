"""Rewards for verl. In its configuration, one sample at a time (naive, dapo and the reward loop's managers):

    reward.custom_reward_function.path=pkg://gradebox.integrations.verl
    reward.custom_reward_function.name=compute_score          # or compute_score_async
    +reward.custom_reward_function.reward_kwargs.engine=engine-host:50051

or `compute_score_batch`, whole batches (the manager `batch`). `reward_kwargs` are the arguments of Grader. The data's
`reward_model.ground_truth` holds the problem or its tests, in any spelling of `gradebox.integrations._tasks`; what is
missing there (`entry_point`, `test_setup`, `limits`…) may stand in `extra_info`.

verl knows no reward that is missing: where the engine comes to no result, an exception is raised.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from gradebox.integrations._grader import Grader, Outcome
from gradebox.integrations._tasks import FIELDS, problem_of

_VERLS_OWN = ("reward_router_address", "reward_model_tokenizer")  # what its reward loop passes to every function

_graders: dict[tuple[tuple[str, Any], ...], Grader] = {}


def compute_score(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None, **settings: Any
) -> dict[str, float]:
    """The score of one response: `score` is the reward; `acc` says whether the program passed every test.

    Raises InvalidRequest, Unavailable, DeadlineExceeded, EngineFault.
    """
    return compute_score_batch([data_source], [solution_str], [ground_truth], [extra_info], **settings)[0]


async def compute_score_async(
    data_source: str, solution_str: str, ground_truth: Any, extra_info: Any = None, **settings: Any
) -> dict[str, float]:
    """The same as a coroutine function: as many at a time as verl asks for, not as many as it has threads."""
    outcomes = await _grader(settings).agrade([solution_str], [_task(ground_truth, extra_info)])
    return _score(outcomes[0])


def compute_score_batch(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[Any],
    extra_infos: Sequence[Any],
    **settings: Any,
) -> list[dict[str, float]]:
    """One score a response."""
    tasks = [_task(truth, extra) for truth, extra in zip(ground_truths, extra_infos, strict=True)]
    return [_score(outcome) for outcome in _grader(settings).grade(solution_strs, tasks)]


def _task(ground_truth: Any, extra_info: Any) -> Any:
    also = extra_info if isinstance(extra_info, Mapping) else {}
    return problem_of(ground_truth, **{name: also.get(name) for name in FIELDS if name not in ("id", "tests")})


def _score(outcome: Outcome) -> dict[str, float]:
    """Numbers only, and always the same names: verl makes columns of them."""
    passed = outcome.result is not None and outcome.result.verdict.name == "PASSED"
    return {
        "score": outcome.known(),
        "acc": float(passed),
        "no_program": float(outcome.program is None),
        "evidence": float(bool(outcome.evidence)),
    }


def _grader(settings: dict[str, Any]) -> Grader:
    given = {name: value for name, value in settings.items() if name not in _VERLS_OWN}
    if isinstance(given.get("engine"), Sequence) and not isinstance(given["engine"], str):
        given["engine"] = tuple(given["engine"])  # OmegaConf's lists
    key = tuple(sorted(given.items()))
    if key not in _graders:
        _graders[key] = Grader(**given)
    return _graders[key]
