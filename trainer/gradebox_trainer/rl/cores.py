"""How many engine cores a run needs, from what grading costs on this machine: `python -m gradebox_trainer.rl.cores`.

CPU seconds of a submission are measured over all processes of an embedded engine (workers, jails, programs), by the
kernel's account of the process tree, on problems of `--tests` asserts each, with no result kept. A step of a run has so
long for its grading as it takes to generate and train; cores = submissions x CPU seconds / that time.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import gradebox
from gradebox_trainer.rl.toy.problems import ToyProblem, mixed_program, problems, right_program

SECONDS = (5, 10, 20, 40, 80)
_TICKS = os.sysconf("SC_CLK_TCK")


def tree_cpu_s(root: int) -> float:
    """CPU seconds of a process and all below it, those that have ended and were waited for included."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            used[int(entry.name)] = sum(map(int, fields[11:15])) / _TICKS
    total, todo = 0.0, [root]
    while todo:
        pid = todo.pop()
        total += used.get(pid, 0.0)
        todo += children.get(pid, [])
    return total


def measure(tests: int, submissions: int, seed: int) -> float:
    """CPU seconds for a submission: half of the programs right, half as a policy writes them."""
    import random

    rng = random.Random(seed)
    items = []
    for number, problem in enumerate(islice(problems(seed, "train"), submissions)):
        program = right_program(problem) if number % 2 else mixed_program(problem, rng)
        items.append(gradebox.GradeItem(gradebox.Problem(_asserts(problem, tests)), [program], key=number))
    with gradebox.Engine() as engine:
        for _ in engine.grade_many(items[: len(items) // 8], fresh=True):  # warm
            pass
        before = tree_cpu_s(os.getpid())
        wrong = sum(graded.error is not None for graded in engine.grade_many(items, fresh=True))
        used = tree_cpu_s(os.getpid()) - before
    if wrong:
        raise RuntimeError(f"{wrong} submissions were not graded")
    return used / submissions


def _asserts(problem: ToyProblem, count: int) -> list[str]:
    tests = problem.tests()
    return [tests[number % len(tests)] for number in range(count)]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table, as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m gradebox_trainer.rl.cores", description=__doc__)
    parser.add_argument("--rollouts", type=int, default=512, help="answers a step")
    parser.add_argument("--tests", type=int, default=16, help="of a problem")
    parser.add_argument("--submissions", type=int, default=1000, help="to measure")
    options = parser.parse_args(argv)
    start_s = time.monotonic()
    each_s = measure(options.tests, options.submissions, seed=1)
    print(
        f"{each_s * 1e3:.2f} ms of CPU a submission of {options.tests} tests ({options.submissions:,} submissions, "
        f"{time.monotonic() - start_s:.0f} s); a step of {options.rollouts} rollouts: {each_s * options.rollouts:.2f} s"
    )
    print("\n| seconds of generation and training a step | engine cores to hide grading |\n|---|---|")
    for seconds in SECONDS:
        print(f"| {seconds} | {each_s * options.rollouts / seconds:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
