"""Held-out problems: answers from the policy, graded by execution."""

from collections.abc import Sequence
from dataclasses import dataclass

from gradebox_trainer.rl.answers import Answer
from gradebox_trainer.rl.figures import mean
from gradebox_trainer.rl.grading import Grading, Pending, Scored
from gradebox_trainer.rl.passk import pass_at_k
from gradebox_trainer.rl.rollout import Sampler, Sampling
from gradebox_trainer.rl.tasks import Task


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of it, by problem; `unknown` counts answers that the engine owes a verdict, which count nowhere."""

    step: int
    tasks: Sequence[Task]
    answers: Sequence[Sequence[Answer]]
    scored: Sequence[Sequence[Scored]]

    def pass_at(self, k: int, group: str | None = None) -> float:
        """Mean over problems (of a group) with at least k graded answers; NaN where there is none."""
        shares = []
        for task, scored in zip(self.tasks, self.scored, strict=True):
            if group is not None and task.group != group:
                continue
            known = [passed(one) for one in scored if one.execution is not None]
            if len(known) >= k:
                shares.append(pass_at_k(len(known), sum(known), k))
        return mean(shares)

    @property
    def unknown(self) -> int:
        """Answers without a verdict."""
        return sum(one.execution is None for group in self.scored for one in group)

    def figures(self) -> dict[str, float]:
        """pass@1, and pass@k for powers of two up to the number of answers; the mean of what execution gave."""
        most = max((len(group) for group in self.scored), default=0)
        ks = [2**power for power in range(most.bit_length()) if 2**power <= most]
        known = [one.execution for group in self.scored for one in group if one.execution is not None]
        groups = sorted({task.group for task in self.tasks} - {""})
        return (
            {f"pass@{k}": self.pass_at(k) for k in ks}
            | {f"pass@1/{group}": self.pass_at(1, group) for group in groups}
            | {"execution": mean(known), "unknown": float(self.unknown)}
        )


def passed(one: Scored) -> bool:
    """Whether an answer passed every test."""
    return one.execution == 1.0


def evaluate(
    sampler: Sampler,
    tasks: Sequence[Task],
    grading: Grading,
    *,
    count: int,
    sampling: Sampling,
    seed: int,
    step: int = 0,
) -> Evaluation:
    """`count` answers to each task (one, where they are greedy), graded while the next are written."""
    count = count if sampling.temperature > 0 else 1
    groups: list[list[Answer]] = []
    pending: list[Pending] = []
    for part in sampler.generate([task.prompt for task in tasks], count, sampling, seed):
        for group in part:
            pending.append(grading.submit(tasks[len(groups)], [answer.text for answer in group]))
            groups.append(group)
    scored, _ = grading.collect(pending)
    return Evaluation(step, tasks, groups, [scored[start : start + count] for start in range(0, len(scored), count)])
