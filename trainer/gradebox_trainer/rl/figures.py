"""The numbers of one step, under TRL's names where TRL has the number; pure functions."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from gradebox import Evidence, Verdict
from gradebox_trainer.rl.answers import Answer
from gradebox_trainer.rl.grading import Clock, Scored


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed; NaN of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def mean(values: Sequence[float]) -> float:
    """NaN of none."""
    return sum(values) / len(values) if values else math.nan


def deviation(values: Sequence[float]) -> float:
    """Sample standard deviation; 0 of fewer than two."""
    if len(values) < 2:
        return 0.0
    centre = mean(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def reward_figures(rewards: Sequence[float | None], executions: Sequence[float | None]) -> dict[str, float]:
    """Of answers that have a reward."""
    known = [reward for reward in rewards if reward is not None]
    executed = [value for value in executions if value is not None]
    return {
        "reward": mean(known),
        "reward_std": deviation(known),
        "rewards/execution/mean": mean(executed),
        "rewards/execution/std": deviation(executed),
        "gradebox/all_passed": mean([float(value == 1.0) for value in executed]),
    }


def answer_figures(answers: Sequence[Answer]) -> dict[str, float]:
    """Lengths in tokens."""
    lengths = [len(answer.tokens) for answer in answers]
    ended = [len(answer.tokens) for answer in answers if not answer.truncated]
    return {
        "completions/mean_length": mean(lengths),
        "completions/min_length": min(lengths),
        "completions/max_length": max(lengths),
        "completions/clipped_ratio": 1 - len(ended) / len(lengths),
        "completions/mean_terminated_length": mean(ended) if ended else 0.0,
    }


def grading_figures(scored: Sequence[Scored], clock: Clock) -> dict[str, float]:
    """Shares are of all answers; verdicts that did not occur, and evidence that was not found, are 0."""
    count = len(scored)
    verdicts = Counter(one.result.verdict for one in scored if one.result is not None)
    verdicts[Verdict.ENGINE_ERROR] = sum(one.execution is None for one in scored)
    signs = Counter(sign for one in scored if one.result is not None for sign in one.result.evidence)
    latencies = [one.latency_s for one in scored if one.latency_s is not None]
    figures = {f"gradebox/verdict/{verdict.name}": verdicts[verdict] / count for verdict in Verdict}
    figures |= {f"gradebox/evidence/{sign.name}": signs[sign] / count for sign in Evidence}
    figures |= {
        "gradebox/evidence": sum(bool(one.result and one.result.evidence) for one in scored) / count,
        "gradebox/no_program": sum(one.program is None for one in scored) / count,
        "gradebox/engine_error": sum(one.execution is None for one in scored) / count,
        "gradebox/grading_p50_s": quantile(latencies, 0.5),
        "gradebox/grading_p99_s": quantile(latencies, 0.99),
        "gradebox/grading_s": clock.graded_s,
        "gradebox/waited_s": clock.waited_s,
        "gradebox/hidden_fraction": clock.hidden_share,
        "gradebox/cpu_s": sum(test.cpu_time_s for one in scored if one.result for test in one.result.tests),
    }
    return figures


def sample_rows(
    step: int,
    ids: Sequence[str],
    answers: Sequence[Answer],
    scored: Sequence[Scored],
    rewards: Sequence[float | None],
    count: int,
) -> list[Mapping[str, object]]:
    """Rows to look at: `count` of the answers, spread over the batch, those with evidence first."""
    order = sorted(
        range(len(answers)),
        key=lambda index: (not (scored[index].result and scored[index].result.evidence), index * 7919 % len(answers)),  # type: ignore[union-attr]
    )
    rows: list[Mapping[str, object]] = []
    for index in order[:count]:
        one = scored[index]
        rows.append(
            {
                "step": step,
                "id": ids[index],
                "answer": answers[index].text,
                "reward": rewards[index],
                "execution": one.execution,
                "verdict": one.result.verdict.name if one.result else None,
                "evidence": [sign.name for sign in one.result.evidence] if one.result else [],
                "error": str(one.error) if one.error else None,
                "truncated": answers[index].truncated,
            }
        )
    return rows
