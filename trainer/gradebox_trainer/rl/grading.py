"""Grading beside the training: what is generated goes to the engines at once, and is collected when it is needed.

Every prompt's answers are one call in a thread of its own; the SDK does the rest (several engines, repeated requests).
A call's fate is data, never the run's end: programs without a result when the deadline passes, or when no engine came
back, have no reward. Only what no waiting mends is raised: a problem that makes no sense, a token that is refused.
"""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import gradebox
from gradebox import AccessDenied, DeadlineExceeded, GradeboxError, GradeItem, InvalidRequest, SubmissionResult
from gradebox_trainer.rl.prompts import answer_text
from gradebox_trainer.rl.rewards import execution_reward
from gradebox_trainer.rl.settings import GradingSettings
from gradebox_trainer.rl.tasks import Task

_CALLS = 256
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer, graded.

    Attributes:
        program: what was found in it; None: nothing, and `execution` is 0.
        execution: pass rate, or 1 and 0; None: the engine owes it.
        latency_s: from the call to this result; None where there is none.
        error: why there is none.
    """

    program: str | None
    execution: float | None
    result: SubmissionResult | None = None
    latency_s: float | None = None
    error: GradeboxError | None = None


type Pending = Future[tuple[list[Scored], float, float]]
"""Answers on their way: results, and when (monotonic) grading began and ended."""


@dataclass(slots=True)
class Clock:
    """How long grading was under way, and how long training waited for it; seconds."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    waited_s: float = 0.0

    @property
    def graded_s(self) -> float:
        """The time during which at least one call was under way."""
        total, end = 0.0, float("-inf")
        for start, stop in sorted(self.spans):
            total += max(0.0, stop - max(start, end))
            end = max(end, stop)
        return total

    @property
    def hidden_share(self) -> float:
        """The share of that time in which training went on."""
        graded_s = self.graded_s
        return 1.0 - min(1.0, self.waited_s / graded_s) if graded_s > 0 else 1.0


class Grading:
    """Sends answers to the engines behind `client`; use it as a context manager.

    Args:
        kind: `pass_rate` or `all_passed`; with the latter a program's tests end at the first that fails.
        format: of the prompts (see `prompts`).
    """

    def __init__(self, client: gradebox.Client, settings: GradingSettings, *, kind: str, format: str) -> None:
        self._client = client
        self._settings = settings
        self._kind = kind
        self._format = format
        self._threads = ThreadPoolExecutor(_CALLS, "grading")
        self._ending = False

    def submit(self, task: Task, answers: Sequence[str]) -> Pending:
        """Begins to grade answers to one problem; see `collect`."""
        return self._threads.submit(self._grade, task, list(answers))

    def collect(self, pending: Sequence[Pending]) -> tuple[list[Scored], Clock]:
        """Waits for what was submitted, in its order.

        Raises:
            InvalidRequest, AccessDenied: no waiting mends it.
        """
        clock = Clock()
        start_s = time.monotonic()
        scored: list[Scored] = []
        for future in pending:
            results, begun_s, ended_s = future.result()
            scored += results
            clock.spans.append((begun_s, ended_s))
        clock.waited_s = time.monotonic() - start_s
        return scored, clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _grade(self, task: Task, answers: list[str]) -> tuple[list[Scored], float, float]:
        problem = task.problem
        begun_s = time.monotonic()
        scored: list[Scored] = []
        for answer in answers:
            program = gradebox.extract_code(
                answer_text(answer, self._format, task.text), language=problem.language, entry_point=problem.entry_point
            )
            scored.append(Scored(program, 0.0 if program is None else None))
        missing = [index for index, one in enumerate(scored) if one.program is not None]
        patient_until_s = begun_s + self._settings.patience_s
        while missing:
            error = self._ask(problem, missing, scored, begun_s)
            missing = [index for index in missing if scored[index].result is None]
            if missing and (
                error is None
                or isinstance(error, DeadlineExceeded)
                or time.monotonic() > patient_until_s
                or self._ending
            ):
                for index in missing:
                    scored[index] = Scored(scored[index].program, None, error=error)
                break
            if missing:
                time.sleep(_PAUSE_S)
        return scored, begun_s, time.monotonic()

    def _ask(
        self, problem: gradebox.Problem, missing: Sequence[int], scored: list[Scored], begun_s: float
    ) -> GradeboxError | None:
        """Puts the results that come into `scored`; why others did not."""
        items = [GradeItem(problem, [scored[index].program or ""], key=index) for index in missing]
        failure: GradeboxError | None = None
        try:
            for graded in self._client.grade_many(
                items, stop_early=self._kind == "all_passed", timeout_s=self._settings.timeout_s
            ):
                if graded.error is not None:
                    failure = graded.error
                    if isinstance(failure, InvalidRequest | AccessDenied):
                        raise failure
                    continue
                result = graded.results[0]
                index: Any = graded.key
                scored[index] = Scored(
                    scored[index].program,
                    execution_reward(result, self._kind),
                    result,
                    time.monotonic() - begun_s,
                )
        except (InvalidRequest, AccessDenied):
            raise
        except GradeboxError as error:
            failure = error
        return failure
