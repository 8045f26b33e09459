#!/usr/bin/env python3
"""Verdicts idle and on a busy machine: programs near their limits and labelled data are graded both ways.

usage: load.py [--every N] [--data DIR] [--only REGEX] [--skip-slow] [--busy N] [--rounds N] [--workers N]

First nothing else runs, then N endless loops a core (default: 4) beside the engine. Every verdict of every test case
is compared, and the delicate programs' with what they have to be. Exit status 1 when any differs. Without --every,
the delicate programs are all.
"""

import argparse
import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e import truth
from tests.e2e.delicate import DELICATE

import gradebox

BUSY_A_CORE = 4
_LOOP = "while True: pass"


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many endless loops run meanwhile."""
    with contextlib.ExitStack() as stack:
        loops = [stack.enter_context(running(_LOOP)) for _ in range(processes)]
        yield
        assert all(loop.poll() is None for loop in loops), "a loop ended: there was less load than meant"


@contextlib.contextmanager
def running(source: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python program that runs meanwhile, in a session of its own; ended with all that it started."""
    process = subprocess.Popen([sys.executable, "-S", "-c", source], start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def delicate(engine: gradebox.Client, rounds: int) -> dict[str, list[str]]:
    """What each delicate program's tests came to, one text a round; all of them are under way at the same time."""
    items = [gradebox.GradeItem(each.problem, [each.program], each.name) for each in DELICATE] * rounds
    found: dict[str, list[str]] = collections.defaultdict(list)
    for graded in engine.grade_many(items, fresh=True):
        (result,) = graded.results
        assert isinstance(graded.key, str)
        messages = {test.message for test in result.tests if test.message}
        found[graded.key].append(truth.codes(result) + (f" {'; '.join(sorted(messages))[:120]}" if messages else ""))
    return found


def delicate_deviations(engine: gradebox.Client, rounds: int) -> list[str]:
    """Where a delicate program did not get its verdict."""
    found = delicate(engine, rounds)
    return [
        f"{each.name}: expected {each.codes}, got {got}"
        for each in DELICATE
        for got in found[each.name]
        if got.split(" ")[0] != each.codes
    ]


def compared(
    submissions: Sequence[truth.Submission],
    idle: Sequence[gradebox.SubmissionResult],
    loaded: Sequence[gradebox.SubmissionResult],
) -> list[str]:
    """Where a test case has another verdict under load."""
    return [
        f"{s.where}: idle {truth.codes(one)}, under load {truth.codes(two)}"
        for s, one, two in zip(submissions, idle, loaded, strict=True)
        if [t.verdict for t in one.tests] != [t.verdict for t in two.tests] or one.verdict is not two.verdict
    ]


def main() -> int:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=truth.DEFAULT_DATA)
    parser.add_argument("--every", type=int, default=0, metavar="N", help="each N-th labelled submission, too")
    parser.add_argument("--only", default="", metavar="REGEX", help="groups whose name matches")
    parser.add_argument("--skip-slow", action="store_true", help="not what ran into its time limit there")
    parser.add_argument("--busy", type=int, default=BUSY_A_CORE, metavar="N", help="endless loops a core")
    parser.add_argument("--rounds", type=int, default=3, help="of the delicate programs")
    parser.add_argument("--workers", type=int)
    args = parser.parse_args()
    loops = args.busy * (os.cpu_count() or 1)
    lines = []
    with gradebox.Engine(workers=args.workers) as engine:
        for title, load in (("idle", 0), (f"{loops} endless loops", loops)):
            with busy(load):
                start_s = time.monotonic()
                found = delicate_deviations(engine, args.rounds)
            lines += [f"{title}: {line}" for line in found]
            count = len(DELICATE) * args.rounds
            print(f"{title}: {count} delicate submissions, {len(found)} deviate; {time.monotonic() - start_s:.1f} s")
        for name, make in truth.groups(truth.Data(args.data)).items() if args.every else ():
            chosen = [s for s in make() if not (args.skip_slow and s.slow)][:: args.every]
            if re.search(args.only, name) and chosen:
                start_s = time.monotonic()
                idle = truth.grade(engine, chosen)
                between_s = time.monotonic()
                with busy(loops):
                    loaded = truth.grade(engine, chosen)
                found = compared(chosen, idle, loaded)
                lines += [f"{name}: {line}" for line in found]
                times = f"{between_s - start_s:.1f} s idle, {time.monotonic() - between_s:.1f} s loaded"
                print(f"{name}: {len(chosen)} submissions, {len(found)} differ; {times}", flush=True)
    for line in lines:
        print(f"  DIFFERS {line}")
    print(f"{len(lines)} differences")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
