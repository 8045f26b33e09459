"""`gradebox filter`: problems and programs → the problems whose tests can be trusted, and what their tests are worth.

Problems go to the engine some at a time. What becomes of one is kept in a file beside the output from the moment it
is known, under a digest of the problem, its programs and the settings, so the same command goes on where it ended.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import gradebox
from gradebox_command.errors import BadArgument
from gradebox_command.files import Problems, Programs, generator_of
from gradebox_command.row_log import RowLog
from gradebox_command.rows import read_rows
from gradebox_command.writing import PARQUET_SUFFIXES, RowsFile, write_rows
from gradebox_trainer.consistency.grading import Settings, Work, outcomes
from gradebox_trainer.files import beside

_PROBLEMS_AT_ONCE = 32
_RULES = 1  # raised when decisions or audits change their meaning, so that what was kept before is asked anew


class Filter:
    """One run of the command. `grade`, then `write`. Use it as a context manager."""

    def __init__(self, problems: Path, programs: Path, output: Path, strong: str | None, settings: Settings) -> None:
        """Checks all of the input.

        Args:
            strong: the generator whose programs decide; None: all programs do.

        Raises:
            InputError: a row is wrong.
            BadArgument: no program is the strong model's.
        """
        self._path = problems
        self._output = output
        self._settings = settings
        self._strong: dict[str, list[str]] = {}
        self._others: dict[str, list[str]] = {}
        self.undecided: list[str] = []
        self.summary: dict[str, Any] = {}
        with ExitStack() as opened:
            self._problems = opened.enter_context(Problems(problems))
            for row in Programs(programs, self._problems):
                decides = strong is None or generator_of(row.row) == strong
                (self._strong if decides else self._others).setdefault(row.id, []).extend(row.programs)
            if strong is not None and not self._strong:
                raise BadArgument(f"--strong {strong}: no row of {programs} has this generator")
            self._log = opened.enter_context(RowLog(beside(output, "graded")))
            self._places = {row["sha256"]: place for place, row in self._log.rows()}
            self._opened = opened.pop_all()

    def __len__(self) -> int:
        return len(self._problems)

    def _work(self) -> Iterator[Work]:
        for _, row in read_rows(self._path):
            strong, others = self._strong.get(row["id"], []), self._others.get(row["id"], [])
            checked = self._problems[row["id"]]
            asked = [_RULES, checked, strong, others, asdict(self._settings)]
            digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
            yield Work(row, checked, strong, others, digest)

    @property
    def known(self) -> int:
        """How many problems are done."""
        return sum(work.sha256 in self._places for work in self._work())

    def grade(self, client: gradebox.Client, advance: Callable[[int], None]) -> None:
        """Grades what is not yet known. `advance` is told how many problems are done of those.

        Raises:
            InputError: the engine refuses a problem.
            GradeboxError: no engine is left; what is known is kept.
        """
        waiting = (work for work in self._work() if work.sha256 not in self._places)
        for batch in itertools.batched(waiting, _PROBLEMS_AT_ONCE):
            for work, outcome in zip(batch, outcomes(client, batch, self._settings), strict=True):
                if outcome is None:
                    self.undecided.append(work.row["id"])
                else:
                    self._places[work.sha256] = self._log.append({"sha256": work.sha256, **outcome})
            advance(len(batch))

    def write(self, table: Path | None) -> None:
        """Writes the problems that stay, and one row a test into `table`: kept, or why not, and what it is worth.

        By default the table stands beside the output.
        """
        counts: Counter[str] = Counter()
        whys: dict[str, Counter[str]] = {"problems": Counter(), "tests": Counter(), "flags": Counter()}
        scores: list[float] = []
        table = table or beside(self._output, "tests")
        with RowsFile(table, _table_schema() if table.suffix in PARQUET_SUFFIXES else None) as rows:
            kept = write_rows(self._output, self._kept(rows, counts, whys, scores))
        self.summary = {
            "problems": counts["problems"],
            "kept_problems": kept,
            "tests": counts["tests"],
            "kept_tests": counts["kept_tests"],
            "redundant_tests": counts["redundant_tests"],
            "dropped_problems": dict(whys["problems"].most_common()),
            "dropped_tests": dict(whys["tests"].most_common()),
            "flagged_tests": dict(whys["flags"].most_common()),
            "mutation_score": round(sum(scores) / len(scores), 4) if scores else None,
            "undecided": len(self.undecided),
        }

    def _kept(
        self,
        table: RowsFile,
        counts: Counter[str],
        whys: Mapping[str, Counter[str]],
        scores: list[float],
    ) -> Iterator[dict[str, Any]]:
        for work in self._work():
            if work.sha256 not in self._places:
                continue
            outcome = self._log.read(self._places[work.sha256])
            counts["problems"] += 1
            for index, (test, judged) in enumerate(zip(work.row["tests"], outcome["tests"], strict=True)):
                kept = not judged["why"] and not outcome["why"]
                why = judged["why"] or outcome["why"]
                counts["tests"] += 1
                counts["kept_tests"] += kept
                counts["redundant_tests"] += kept and judged["redundant"] is True
                if not kept:
                    whys["tests"][why] += 1
                whys["flags"].update(judged["flags"])
                text = test if isinstance(test, str) else json.dumps(test)
                row = {"id": work.row["id"], "test_index": index, "test": text, "kept": kept, **judged, "why": why}
                table.write([row])
            if outcome["why"]:
                whys["problems"][outcome["why"]] += 1
                continue
            if outcome["audit"] and outcome["audit"]["mutation_score"] is not None:
                scores.append(outcome["audit"]["mutation_score"])
            yield _kept_row(work.row, outcome)

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _table_schema() -> Any:
    import pyarrow as pa

    types = {
        "id": pa.string(),
        "test_index": pa.int64(),
        "test": pa.string(),
        "kept": pa.bool_(),
        "why": pa.string(),
        "flags": pa.list_(pa.string()),
        "passed": pa.int64(),
        "programs": pa.int64(),
        "weight": pa.float64(),
        "redundant": pa.bool_(),
    }
    return pa.schema(list(types.items()))


def _kept_row(row: Mapping[str, Any], outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The problem with the tests that stay; `meta.filter` has the audit, and the weights beside the tests."""
    judged = outcome["tests"]
    indexes = [index for index, test in enumerate(judged) if not test["why"]]
    meta = dict(row.get("meta") or {})
    if isinstance(meta.get("votes"), list):
        meta["votes"] = [meta["votes"][index] for index in indexes]
    meta["filter"] = {
        "tests_before": len(judged),
        **(outcome["audit"] or {}),
        "weights": [judged[index]["weight"] for index in indexes],
    }
    return {**row, "tests": [row["tests"][index] for index in indexes], "meta": meta}
