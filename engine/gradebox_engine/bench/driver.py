"""Grades items in one way, as often as it is told to: a process of its own for every way and core.

usage: driver.py WAY ITEMS.jsonl FIRST STEP [MODULE…]

Says with one line of JSON that it is ready, or why it is not. Then it reads a number from each line of standard input,
grades that many items and answers with one line of JSON: how many passed, and what was said of one that did not. It
starts with item FIRST and goes on by STEP, so that several drivers share the work. MODULEs are imported beforehand: for
ways that fork, what is loaded is what a fork costs, and what a program need not load.

The ways here are the baselines. This is a file by itself, which needs the standard library only, because it runs in
interpreters that have nothing of ours; the ways in `engine` and `jail` need the engine's.
"""

from __future__ import annotations  # an evalplus environment may have an older Python

import ast
import contextlib
import importlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

TIMEOUT_S = 10


class Items:
    """The items, again and again, each time a little different, so that nothing can be kept."""

    def __init__(self, path: str, first: int, step: int) -> None:
        with open(path, encoding="utf-8") as file:
            self._items = [json.loads(line) for line in file]
        for item in self._items:
            for name in ("inputs", "expected"):
                if name in item:
                    item[name] = ast.literal_eval(item[name])
        self._next, self._step = first, step

    def take(self, count: int) -> Iterator[Any]:
        """The next `count` items."""
        for _ in range(count):
            turn, at = divmod(self._next, len(self._items))
            item = dict(self._items[at])
            item["program"] += f"\n# turn {turn}\n"
            first, *rest = item["tests"]
            if isinstance(first, str):
                item["tests"] = [f"{first}  # turn {turn}", *rest]
            self._next += self._step
            yield item


def script(item: Any) -> str:
    """Program and asserts as one program."""
    return "\n".join([item["program"], item["test_setup"], *item["tests"], ""])


def stdin_tests(item: Any) -> list[Any]:
    """The item's tests, when they are pairs of input and output."""
    return [] if isinstance(item["tests"][0], str) else item["tests"]


def same_output(got: str, right: str) -> bool:
    """Compares by lines, trailing white space ignored, as the engine does."""
    return [line.rstrip() for line in got.rstrip().split("\n")] == [
        line.rstrip() for line in right.rstrip().split("\n")
    ]


class Way:
    """One way of grading. A context manager."""

    def __enter__(self) -> Way:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def passes(self, item: Any) -> bool:
        """Grades one item."""
        raise NotImplementedError

    def grade(self, items: Iterable[Any]) -> dict[str, Any]:
        """The answer for these items: `passed`, and `said` of one that did not. Default: one after the other."""
        passed, said = 0, ""
        for item in items:
            if self.passes(item):
                passed += 1
            else:
                said = said or f"{item['question']} does not pass"
        return {"passed": passed, "said": said}


class Subprocess(Way):
    """A new interpreter for each program (each test case, where there are several runs); exit status 0 is a pass."""

    def __enter__(self) -> Way:
        import subprocess
        import tempfile

        self._run, self._silence, self._pipe = subprocess.run, subprocess.DEVNULL, subprocess.PIPE
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._command = [sys.executable, os.path.join(self._folder.name, "program.py")]
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def passes(self, item: Any) -> bool:
        """Writes the script and runs it."""
        tests = stdin_tests(item)
        with open(self._command[1], "w", encoding="utf-8") as file:
            file.write(item["program"] if tests else script(item))
        if not tests:
            return self._run(self._command, timeout=TIMEOUT_S, stdout=self._silence).returncode == 0
        return all(self._answers(test) for test in tests)

    def _answers(self, test: Any) -> bool:
        ran = self._run(self._command, timeout=TIMEOUT_S, input=test["stdin"], stdout=self._pipe, text=True)
        return ran.returncode == 0 and same_output(ran.stdout, test["expected_stdout"])


# What AceCoder's guard takes away from the process before it forks, and gives back (in part) afterwards.
_GUARDED = {
    "builtins": "exit quit",
    "os": "system putenv remove removedirs rmdir fchdir setuid forkpty killpg rename renames truncate replace unlink"
    " fchmod fchown chmod chown chroot lchown getcwd chdir",
    "shutil": "rmtree move chown",
    "subprocess": "Popen",
}
_FORBIDDEN = (
    "threading", "multiprocess", "multiprocessing", "import os", "from os", "shutil", "import torch", "from torch",
    "import sklearn", "from sklearn",
)  # fmt: skip


class ForkHarness(Way):
    """A forked process a program without a sandbox, as AceCoder's own checker does it.

    Its steps are those of `get_successful_tests_fast` (TIGER-AI-Lab/AceCoder, data/inference): some words forbid a
    program; a guard takes destructive functions and `print` from the process and changes the folder; a
    multiprocessing.Process, forked, execs the program, then assert by assert, and adds a bit to a shared number for
    each that passes; a join with a timeout; the guard is undone. A fair stand-in, on the cheap side: its process has
    more loaded (tqdm, its own modules), and so dearer forks. human-eval's check_correctness costs several times as
    much: it starts a Manager, a second process that imports and serves, for every program.
    """

    def __enter__(self) -> Way:
        import multiprocessing
        import tempfile

        self._context = multiprocessing.get_context("fork")
        self._bits = self._context.Value("q", 0)
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self._guarded = [
            (importlib.import_module(module), name) for module, names in _GUARDED.items() for name in names.split()
        ]
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def passes(self, item: Any) -> bool:
        """Runs the program and its asserts in a forked process."""
        if any(word in item["program"] for word in _FORBIDDEN):
            return False
        tests = [text for text in (item["test_setup"], *item["tests"]) if text]
        self._bits.value = 0
        with self._guard():
            process = self._context.Process(target=_execute, args=(item["program"], tests, self._bits))
            process.start()
            process.join(timeout=TIMEOUT_S)
            if process.is_alive():
                process.kill()
        return bool(self._bits.value == (1 << len(tests)) - 1)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        import builtins

        folder, shown = os.getcwd(), builtins.print
        os.makedirs(self._folder.name, exist_ok=True)
        os.chdir(self._folder.name)
        kept = [(module, name, getattr(module, name)) for module, name in self._guarded]
        for module, name, _ in kept:
            setattr(module, name, None)
        builtins.print = lambda *_, **__: None
        try:
            yield
        finally:
            builtins.print = shown
            for module, name, function in kept:
                setattr(module, name, function)
            os.chdir(folder)


def _execute(program: str, tests: list[str], bits: Any) -> None:
    namespace: dict[str, Any] = {"__builtins__": __builtins__}
    try:
        exec(program, namespace)
    except Exception:
        return
    for index, test in enumerate(tests):
        with contextlib.suppress(Exception):
            exec(test, namespace)
            bits.value += 1 << index


class Floor(Way):
    """Nothing but fork, compile, exec, exit: no limits, no safety of any kind."""

    def passes(self, item: Any) -> bool:
        """Forks and runs the script in the child; a child for each test case, where there are several runs."""
        tests = stdin_tests(item)
        if not tests:
            return self._child(lambda: self._exec(script(item), "program"))
        return all(self._child(lambda test=test: self._answers(item["program"], test)) for test in tests)

    @staticmethod
    def _child(work: Any) -> bool:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = 0 if work() else 1
            finally:
                os._exit(status)
        return os.waitpid(pid, 0)[1] == 0

    @staticmethod
    def _exec(source: str, name: str) -> bool:
        exec(compile(source, "program", "exec"), {"__name__": name})
        return True

    def _answers(self, program: str, test: Any) -> bool:
        sys.stdin, sys.stdout = io.StringIO(test["stdin"]), io.StringIO()
        return self._exec(program, "__main__") and same_output(sys.stdout.getvalue(), test["expected_stdout"])


class EvalPlus(Way):
    """evalplus.eval.untrusted_check, with the same inputs and expected values as data."""

    def __enter__(self) -> Way:
        self._check = importlib.import_module("evalplus.eval").untrusted_check
        return self

    def passes(self, item: Any) -> bool:
        """Checks one program."""
        status, _ = self._check(
            "humaneval", item["program"], item["inputs"], item["entry_point"], item["expected"],
            0, [0.01] * len(item["inputs"]), False, 1.0, 4.0,
        )  # fmt: skip
        return bool(status == "pass")


WAYS: dict[str, type[Way]] = {"python": Subprocess, "fork_harness": ForkHarness, "floor": Floor, "evalplus": EvalPlus}


def way_named(name: str) -> Way:
    """A way of grading, by its name."""
    if name in WAYS:
        return WAYS[name]()
    way: Way = importlib.import_module("gradebox_engine.bench.engine").WAYS[name]()
    return way


def main() -> None:
    """Serves standard input."""
    name, path, first, step, *modules = sys.argv[1:]
    items = Items(path, int(first), int(step))
    with contextlib.ExitStack() as stack:
        try:
            for module in modules:
                importlib.import_module(module)
            way = stack.enter_context(way_named(name))
        except Exception as error:
            print(json.dumps({"said": f"{type(error).__name__}: {error}"}), flush=True)
            return
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            answer = way.grade(items.take(int(line)))
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
