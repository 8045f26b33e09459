"""A program in this process, for tests of the judge: no sandbox, so only for programs that are known."""

import contextlib
import io
import types
from typing import Any

import pytest

from gradebox_engine.judge.evaluate import Decision, decide
from gradebox_engine.judge.fast import FastTest
from gradebox_engine.judge.plan import Plan, PlannedTest, plan
from gradebox_engine.judge.suite import CodeTest, Suite
from gradebox_inside.calls import _drain, evaluate
from gradebox_inside.codec import OverBudget, decode, encode
from gradebox_inside.describe import error_info, stand_in


class Laboratory:
    """The same test done twice: by the judge on answers through the codec, and by plain Python."""

    @staticmethod
    def load(source: str) -> dict[str, Any]:
        """The namespace of a program."""
        module = types.ModuleType("program")
        exec(compile(source, "program", "exec", dont_inherit=True), module.__dict__)
        return module.__dict__

    @staticmethod
    def plan(*tests: str, setup: str = "", entry_point: str | None = None) -> Plan:
        """The plan of a suite of code tests."""
        return plan(Suite(tests=tuple(map(CodeTest, tests)), test_setup=setup, entry_point=entry_point))

    def plan_one(self, source: str, setup: str = "", entry_point: str | None = None) -> PlannedTest:
        """The plan of one code test."""
        return self.plan(source, setup=setup, entry_point=entry_point).tests[0]

    def judged(self, test: FastTest, namespace: dict[str, Any]) -> str:
        """The name of the judge's verdict, or of its reason for having none."""
        found: list[Any] = []
        for tree, consume in zip(decode(encode(test.trees)), test.consume, strict=True):
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    value = evaluate(tree, namespace)
                data = encode(_drain(value, 1_000_000) if consume else value, opaque=stand_in)
                if data == test.shortcut:
                    return "PASSED"
                found.append(("value", decode(data)))
            except OverBudget:
                found.append(("over_budget",))
            except BaseException as error:
                found.append(("raised", decode(encode(error_info(error)))))
        decision = decide(test, found)
        return decision.verdict.name if isinstance(decision, Decision) else decision.name

    @staticmethod
    def plainly(source: str, namespace: dict[str, Any]) -> str:
        """The name of the verdict that plain Python gives, in the program's own namespace."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(source, "test", "exec", dont_inherit=True), namespace)
        except AssertionError:
            return "WRONG_ANSWER"
        except MemoryError:
            return "MEMORY_LIMIT"
        except BaseException:
            return "RUNTIME_ERROR"
        return "PASSED"


@pytest.fixture
def laboratory() -> Laboratory:
    """See Laboratory."""
    return Laboratory()
