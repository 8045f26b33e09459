"""A taskset for verifiers (0.4, `verifiers.v1`): the problems of a file, each reply rewarded by its tests.

verifiers finds a taskset by the name of a module. With a file `code.py` that can be imported, of the two lines

    from gradebox.integrations.verifiers import CodeTaskset
    __all__ = ["CodeTaskset"]

`eval code --env.taskset.problems problems.jsonl` evaluates; settings are `--env.taskset.task.*`. Where the engine
comes to no result, the reward raises: verifiers writes a TaskError on the trace, which then has no reward.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import verifiers.v1 as vf

from gradebox import InvalidRequest
from gradebox.integrations._grader import Grader
from gradebox.integrations._tasks import FIELDS, problem_of

__all__ = ["CodeTaskset"]


class CodeData(vf.TaskData):
    """A problem's prompt, and in `problem` the rest of its row."""

    problem: dict[str, Any]


class CodeTaskConfig(vf.TaskConfig):
    """Arguments of Grader; what is None comes from the environment."""

    engine: str | None = None
    timeout_s: float | None = None
    reward: str | None = None
    min_seal: str | None = None


class CodeTask(vf.Task[CodeData, vf.State, CodeTaskConfig]):
    """One problem; the model's last reply is what is graded."""

    @vf.reward
    async def tests(self, trace: Any) -> float:
        """The reward. Raises where the engine comes to no result."""
        (outcome,) = await self._grader.agrade([trace.last_reply], [self.data.problem])
        trace.record_metric("no_program", float(outcome.program is None))
        trace.record_metric("evidence", float(bool(outcome.evidence)))
        return outcome.known()

    @cached_property
    def _grader(self) -> Grader:
        config = self.config
        return Grader(engine=config.engine, timeout_s=config.timeout_s, reward=config.reward, min_seal=config.min_seal)


class CodeTasksetConfig(vf.TasksetConfig):
    """`problems` is a file of problems, JSON Lines, also .gz: see `gradebox grade`."""

    problems: Path = Path("problems.jsonl")
    task: CodeTaskConfig = CodeTaskConfig()


class CodeTaskset(vf.Taskset[CodeTask, CodeTasksetConfig]):
    """The problems of a file, in its order."""

    def load(self) -> Iterable[CodeTask]:
        """Every row is checked as it is read. Raises InvalidRequest, OSError."""
        for row in _rows(self.config.problems):
            problem_of(row)
            data = CodeData(
                id=row.get("id"),
                prompt=row.get("prompt") or row.get("question") or "",
                problem={name: row[name] for name in FIELDS if name in row},
            )
            yield CodeTask(data, self.config.task)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield dict(json.loads(line))
                except ValueError as error:
                    raise InvalidRequest(f"{path}:{number}: not JSON: {error}") from None
