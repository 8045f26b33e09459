"""Runs a test's text: a piece of code, or a module of unittest classes and pytest-style functions.

result: {"outcome": "passed" | "failed" | "raised" | "over_budget", "info", "program_raised", "ran"}. A module of
tests has passed when at least one test ran and every one that was found is accounted for as passed or skipped: a
test that was neither (the run was cut short) is not a pass.
"""

from __future__ import annotations

import builtins

from gradebox_inside.describe import TEST_FILE, error_info, mro

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def outcome(error: BaseException | None, ran: int = 0, filename: str = TEST_FILE) -> dict[str, Any]:
    """The result for one exception, or for none."""
    if error is None:
        return {"outcome": "passed", "info": None, "program_raised": False, "ran": ran}
    name = "failed" if isinstance(error, AssertionError) else "raised"
    return {"outcome": name, "info": error_info(error, filename), "program_raised": False, "ran": ran}


def compile_test(source: str, filename: str = TEST_FILE) -> Any:
    """The code of a test. Raises what the compiler raises."""
    return compile(source, filename, "exec", dont_inherit=True, optimize=0)


def run_code(source: str, namespace: dict[str, Any]) -> BaseException | None:
    """Executes a piece of code; the exception that ended it, or None."""
    try:
        exec(compile_test(source), namespace)
    except BaseException as error:
        return error
    return None


def run_module(
    source: str, namespace: dict[str, Any], loading: Callable[[], None] = lambda: None
) -> tuple[BaseException | None, int]:
    """Executes a test module and runs the tests that it defines: (first failure or None, tests run)."""
    before = dict(namespace)
    error = run_code(source, namespace)
    if error is not None:
        return error, 0
    loading()
    found = {n: v for n, v in namespace.items() if before.get(n) is not v}
    suite, functions = _collect(found)
    failure: BaseException | None = None
    ran = passed = expected = 0
    if suite is not None:
        result = _run_suite(suite)
        failure, ran, passed, expected = result.first, result.ran, result.passed, suite.countTestCases()
        passed += len(result.skipped)
        # A class or module whose set-up was skipped skips all of its tests at once.
        if failure is None and result.skipped and passed < expected:
            expected = passed
    for function in functions:
        expected += 1
        ran += 1
        error = _run_function(function)
        if error is None:
            passed += 1
        else:
            failure = failure or error
    if failure is None and ran == 0:
        failure = AssertionError("no tests ran")
    elif failure is None and passed < expected:
        failure = AssertionError("not every test ran to its end")
    return failure, ran


def _collect(found: dict[str, Any]) -> tuple[Any, list[Callable[[], Any]]]:
    """(unittest suite or None, pytest-style functions) among the names that a test module defined."""
    import sys

    unittest = sys.modules.get("unittest")
    cases: list[Any] = []
    functions: list[Callable[[], Any]] = []
    for name, value in list(found.items()):
        if isinstance(value, type):
            if unittest is not None and unittest.TestCase in mro(value):
                if value is not unittest.TestCase and value.__module__.partition(".")[0] != "unittest":
                    cases.append(value)
            elif name.startswith("Test"):
                functions += [
                    _method(value, attribute)
                    for attribute, member in list(vars(value).items())
                    if attribute.startswith("test") and callable(member)
                ]
        elif name.startswith("test") and type(value) is _FUNCTION:
            functions.append(value)
    if not cases or unittest is None:
        return None, functions
    loader = unittest.TestLoader()
    return unittest.TestSuite([loader.loadTestsFromTestCase(case) for case in cases]), functions


def _method(cls: type, name: str) -> Callable[[], Any]:
    def run() -> Any:
        instance = cls()
        for step in ("setup_method", "setUp"):
            if hasattr(instance, step):
                getattr(instance, step)()
                break
        try:
            return getattr(instance, name)()
        finally:
            if hasattr(instance, "teardown_method"):
                instance.teardown_method()

    return run


def _run_function(function: Callable[[], Any]) -> BaseException | None:
    try:
        value = function()
        if hasattr(value, "__await__"):
            import asyncio

            asyncio.run(value)
    except BaseException as error:
        return error
    return None


def _run_suite(suite: Any) -> Any:
    import unittest

    class Result(unittest.TestResult):
        """Keeps the first failure's exception and counts what passed."""

        def __init__(self) -> None:
            super().__init__()
            self.first: BaseException | None = None
            self.passed = 0
            self.ran = 0
            self._skipped = False

        def startTest(self, test: Any) -> None:
            self._skipped = False
            super().startTest(test)

        def stopTest(self, test: Any) -> None:
            self.ran += not self._skipped
            super().stopTest(test)

        def addSkip(self, test: Any, reason: str) -> None:
            self._skipped = True
            super().addSkip(test, reason)

        def _failed(self, error: Any) -> None:
            self.first = self.first or error[1]

        def addError(self, test: Any, err: Any) -> None:
            self._failed(err)

        def addFailure(self, test: Any, err: Any) -> None:
            self._failed(err)

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
            if err is not None:
                self._failed(err)

        def addSuccess(self, test: Any) -> None:
            self.passed += 1

        def addExpectedFailure(self, test: Any, err: Any) -> None:
            self.passed += 1

        def addUnexpectedSuccess(self, test: Any) -> None:
            self.first = self.first or AssertionError("unexpected success")

    result = Result()
    try:
        suite.run(result)
    except BaseException as error:
        result.first = result.first or error
    return result


def _function() -> None: ...


_FUNCTION = type(_function)
