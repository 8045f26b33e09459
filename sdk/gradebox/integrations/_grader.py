"""From what a model wrote to a reward; what all adapters share."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, cast

from gradebox import (
    AccessDenied,
    AsyncClient,
    DeadlineExceeded,
    EngineFault,
    Evidence,
    GradeboxError,
    Graded,
    GradeItem,
    InvalidRequest,
    Problem,
    SubmissionResult,
    Verdict,
    extract_code,
)
from gradebox._threads import wait_for
from gradebox.integrations._engines import client_of, in_background
from gradebox.integrations._settings import Settings
from gradebox.integrations._tasks import problem_of, text_of

type Extract = Callable[..., str | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One output's reward, and why.

    `reward` is None where the engine came to no result, for a reason in `error`. `program` and `result` are None
    where there is no program in the output.
    """

    reward: float | None
    program: str | None = None
    result: SubmissionResult | None = None
    error: GradeboxError | None = None

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What else the program tried."""
        return self.result.evidence if self.result else ()

    def known(self) -> float:
        """The reward, for frameworks in which there must be one. Raises `error` where there is none."""
        if self.reward is None:
            raise self.error or EngineFault("the engine came to no result")
        return self.reward


class Grader:
    """Grades what models wrote. One can be used from any thread and any event loop, and again after a fork.

    Args:
        engine: address of an engine, or several; None is GRADEBOX_ENGINE, and without that an embedded engine.
        token, ca_file, cert_file, key_file, tls: see AsyncClient; None is GRADEBOX_TOKEN, GRADEBOX_CA_FILE…
        timeout_s: seconds for one call, whatever it has to do; what has no result then has no reward.
        reward: `pass_rate` (passed test cases of those with a real verdict), or `all_passed` (1 or 0).
        min_seal: the weakest seal to accept; a test that needs a weaker one counts as not passed.
        no_program: the reward of an output without a program: that is the model's fault, not the engine's.
        extract: `extract(text, language=…, entry_point=…)` gives the program in an output, or None.
    """

    def __init__(self, *, extract: Extract = extract_code, **settings: Any) -> None:
        self.settings = Settings.of(**settings)
        self._extract = extract
        self._has_answered = False  # an engine, at some time

    def grade(self, outputs: Sequence[Any], tasks: Sequence[Any]) -> list[Outcome]:
        """One outcome an output, in their order. `tasks` are as `problem_of` takes them, or Problems.

        Raises:
            InvalidRequest: a task makes no sense.
            AccessDenied: the engine does not accept the token.
            Unavailable, EngineFault, …: no engine has ever answered: the address is wrong, or none can be started.
        """
        return wait_for(self._graded(list(outputs), list(tasks)))

    async def agrade(self, outputs: Sequence[Any], tasks: Sequence[Any]) -> list[Outcome]:
        """The same, for event loops."""
        return await in_background(self._graded(list(outputs), list(tasks)))

    async def _graded(self, outputs: list[Any], tasks: list[Any]) -> list[Outcome]:
        outcomes = await grade_all(client_of(self.settings), outputs, tasks, self.settings, self._extract)
        failed = [outcome for outcome in outcomes if outcome.error is not None and outcome.result is None]
        if any(outcome.result is not None for outcome in outcomes):
            self._has_answered = True
        elif failed and not self._has_answered:
            failed[0].known()  # raises: a training run without any reward helps nobody
        return outcomes


async def grade_all(
    client: AsyncClient,
    outputs: Sequence[Any],
    tasks: Sequence[Any],
    settings: Settings,
    extract: Extract = extract_code,
) -> list[Outcome]:
    """One outcome an output, in their order, within `settings.timeout_s`. Raises InvalidRequest, AccessDenied.

    Every program is an item of its own: one that has not ended when the time is over takes no other's result away.
    """
    if len(outputs) != len(tasks):
        raise InvalidRequest(f"{len(outputs)} outputs for {len(tasks)} tasks", "tasks")
    # Beside the event loop: a step's outputs are megabytes.
    outcomes, items = await asyncio.to_thread(_prepared, outputs, tasks, settings, extract)
    error: GradeboxError | None = None
    try:
        async with asyncio.timeout(settings.timeout_s):
            await _grade(client, items, outcomes, settings.reward)
    except TimeoutError:
        error = DeadlineExceeded(f"no result within {settings.timeout_s} s")
    except (InvalidRequest, AccessDenied):
        raise
    except GradeboxError as failure:
        error = failure
    return [
        replace(outcome, error=error) if outcome.reward is None and outcome.error is None else outcome
        for outcome in outcomes
    ]


def _prepared(
    outputs: Sequence[Any], tasks: Sequence[Any], settings: Settings, extract: Extract
) -> tuple[list[Outcome], list[GradeItem]]:
    """Outcomes so far, and what is to be graded. Raises InvalidRequest."""
    outcomes: list[Outcome] = []
    items: list[GradeItem] = []
    for index, (output, task) in enumerate(zip(outputs, tasks, strict=True)):
        problem = task if isinstance(task, Problem) else problem_of(task, min_seal=settings.min_seal)
        program = extract(text_of(output), language=problem.language, entry_point=problem.entry_point)
        outcomes.append(Outcome(settings.no_program) if program is None else Outcome(None, program))
        if program is not None:
            items.append(GradeItem(problem, [program], key=index))
    return outcomes, items


async def _grade(client: AsyncClient, items: list[GradeItem], outcomes: list[Outcome], reward: str) -> None:
    """Puts results into `outcomes` as they come. Raises GradeboxError."""
    if not items:
        return
    answers = client.grade_many(items, stop_early=reward == "all_passed")
    async with aclosing(cast(AsyncGenerator[Graded], answers)):
        async for graded in answers:
            index = cast(int, graded.key)
            if isinstance(graded.error, InvalidRequest | AccessDenied):
                raise graded.error
            if graded.error is not None:
                outcomes[index] = replace(outcomes[index], error=graded.error)
            else:
                outcomes[index] = _outcome(outcomes[index].program, graded.results[0], reward)


def _outcome(program: str | None, result: SubmissionResult, reward: str) -> Outcome:
    value = result.pass_rate if reward == "pass_rate" else _all_passed(result)
    broken = next((test.message for test in result.tests if test.verdict is Verdict.ENGINE_ERROR), "")
    error = EngineFault(f"no real verdict: {broken}") if value is None else None
    return Outcome(value, program, result, error)


_NO_FAILURE = (Verdict.PASSED, Verdict.SKIPPED, Verdict.ENGINE_ERROR)


def _all_passed(result: SubmissionResult) -> float | None:
    """1 or 0; None where nothing but an error of the engine stands between the program and 1."""
    if result.verdict is Verdict.ENGINE_ERROR and all(test.verdict in _NO_FAILURE for test in result.tests):
        return None
    return float(result.verdict is Verdict.PASSED)
