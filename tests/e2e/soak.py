#!/usr/bin/env python3
"""Soak: one engine grades test cases of known verdict by the million, over gRPC; nothing may grow, nothing may differ.

usage: soak.py [--tests N] [--data DIR] [--only REGEX] [--problems N] [--workers N] [--every-s S] [--growth SHARE]
               [--json OUT]

DIR (default: ../shared/data beside the repository) is as for truth.py; without it, the shipped sample is graded.
Every problem is graded once before anything counts, since caches that are bounded fill up then. Exit status 1 when a
label is not the known one or not the same as before, a result is ENGINE_ERROR, a process of the engine was replaced,
memory (RSS) in the last tenth is over that in the second by more than SHARE, or the engine leaves something behind.
"""

import argparse
import dataclasses
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e import footprint, rows, truth
from tests.e2e.record import Recorder
from tests.e2e.rows import Row
from tests.e2e.serving import Server

import gradebox

DEVIATIONS_SHOWN = 40


class Soak:
    """Grades items one after the other and keeps what deviates."""

    def __init__(self, engine: gradebox.Client) -> None:
        self._engine = engine
        self._codes: dict[int, str] = {}  # of a row, as it was first graded
        self.tests = self.submissions = 0
        self.deviations: list[str] = []

    def grade(self, items: Iterator[list[Row]]) -> None:
        """Grades all of them; answers are taken in the order in which they come."""
        problems = (
            gradebox.GradeItem(item[0].problem, [row.program for row in item], key=tuple(item)) for item in items
        )
        for graded in self._engine.grade_many(problems):
            assert isinstance(graded.key, tuple)
            for row, result in zip(graded.key, graded.results, strict=True):
                self._check(row, result)

    def graded(self) -> tuple[int, int]:
        """Tests and submissions so far."""
        return self.tests, self.submissions

    def _check(self, row: Row, result: gradebox.SubmissionResult) -> None:
        self.submissions += 1
        self.tests += len(result.tests)
        said = truth.codes(result)
        if (deviation := row.deviation(result)) is not None:
            self.deviations.append(deviation)
        elif (before := self._codes.setdefault(id(row), said)) != said:
            self.deviations.append(f"{row.where}: {before}, then {said}")


def until(items: list[list[Row]], tests: int) -> Iterator[list[Row]]:
    """The items again and again, until they make so many tests."""
    for item in itertools.cycle(items):
        yield item
        tests -= sum(len(row.problem.tests) for row in item)
        if tests <= 0:
            return


def first_of_each_problem(items: list[list[Row]]) -> Iterator[list[Row]]:
    """One program of every problem."""
    return iter({id(item[0].problem): item[:1] for item in items}.values())


def main() -> int:
    """Runs the soak."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tests", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path, default=truth.DEFAULT_DATA)
    parser.add_argument("--only", default="", metavar="REGEX", help="groups of the data whose name matches")
    parser.add_argument("--problems", type=int, metavar="N", help="so many problems of each group")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--every-s", type=float, default=5.0, help="between two samples")
    parser.add_argument("--growth", type=float, default=0.05, metavar="SHARE")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write figures and samples to a file")
    args = parser.parse_args()
    if (args.data / "truth").is_dir():
        groups = rows.of_data(args.data, args.only, args.problems)
    else:
        print(f"no labelled data in {args.data}: the shipped sample it is")
        groups = rows.of_samples()
    items = rows.items(groups)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.chmod(folder, 0o711)  # the jails' roots lie in it, and nsjail's user has to get there
        server = Server(Path(folder), workers=args.workers or os.cpu_count() or 1)
        before = footprint.take([], server.temporary)
        with server.start(), gradebox.Client(server.target) as engine:
            warm, soak = Soak(engine), Soak(engine)
            warm.grade(first_of_each_problem(items))
            print(f"{len(groups)} groups, {warm.submissions} problems; warm", flush=True)
            start_s = time.monotonic()
            with Recorder(server.process.pid, server.temporary, soak.graded, args.every_s) as recorder:
                soak.grade(until(items, args.tests))
            elapsed_s = time.monotonic() - start_s
            leaks = footprint.settled(server.pids, recorder.before, server.temporary)
            status = server.stop()
        leaks += footprint.settled(server.pids, before, server.temporary)
        faults = [line for line in server.log.read_text().splitlines() if '"level": "info"' not in line]
        if status:
            faults.append(f"the engine ended with status {status}")
    deviations = [*warm.deviations, *soak.deviations, *recorder.deviations(args.growth), *leaks, *faults]
    print(recorder.table())
    rate = f"{soak.tests / elapsed_s:.0f} tests/s, {soak.submissions / elapsed_s:.0f} submissions/s"
    print(f"{soak.tests} tests, {soak.submissions} submissions in {elapsed_s:.1f} s: {rate}")
    for line in deviations[:DEVIATIONS_SHOWN]:
        print(f"  DEVIATES {line}")
    print(f"{len(deviations)} deviations")
    if args.json:
        figures = {"tests": soak.tests, "submissions": soak.submissions, "elapsed_s": elapsed_s}
        samples = [dataclasses.asdict(sample) for sample in recorder.samples]
        args.json.write_text(json.dumps({**figures, "deviations": deviations, "samples": samples}))
    return bool(deviations)


if __name__ == "__main__":
    sys.exit(main())
