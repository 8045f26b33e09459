"""What the tests of the loop share: a tiny policy and its problems."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.trainer.rl import tiny

RIGHT = {"add 2\n": "return x + 2", "add 3\n": "return x + 3", "double\n": "return 2 * x", "negate\n": "return -x"}
TESTS = {
    "add 2\n": ["assert f(1) == 3", "assert f(5) == 7"],
    "add 3\n": ["assert f(1) == 4", "assert f(5) == 8"],
    "double\n": ["assert f(1) == 2", "assert f(5) == 10"],
    "negate\n": ["assert f(1) == -1", "assert f(5) == -5"],
}


@pytest.fixture(scope="session")
def _fitted() -> tuple[Any, Any]:
    bodies = [*RIGHT.values(), "return x"]
    answers = {
        prompt: [(f"def f(x):\n    {body}\n", 3.0 if body == right else 1.0) for body in bodies]
        for prompt, right in RIGHT.items()
    }
    return tiny.policy(answers, examples=3000)


@pytest.fixture
def fitted(_fitted: tuple[Any, Any]) -> Callable[[], tuple[Any, Any]]:
    """Makes a (model, tokenizer), the same every time: half of its answers pass."""
    model, tokenizer = _fitted
    return lambda: (copy.deepcopy(model), tokenizer)
