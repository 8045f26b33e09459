"""Which test wrote too much does not depend on when its output is read."""

import pytest

import gradebox

WRITES = (
    "def f(n):\n    for i in range(n):\n        print('x' * 63)\n    return n\n"  # 64 bytes each; the limit is 1 MiB
)
LINES = 30_000
COPIES = 20

CASES: dict[str, tuple[str, list[str], list[str]]] = {
    "one of many": (
        WRITES,
        ["assert f(1) == 1", "assert f(10) == 11", f"assert f({LINES}) == {LINES}", "assert f(2) == 2"],
        ["PASSED", "WRONG_ANSWER", "OUTPUT_LIMIT", "PASSED"],
    ),
    "the last": (WRITES, ["assert f(1) == 1", f"assert f({LINES}) == 0"], ["PASSED", "OUTPUT_LIMIT"]),
    "each a part": (WRITES, [f"assert f({10_000 + i}) == {10_000 + i}" for i in range(4)], ["PASSED"] * 4),
    "in a test that is run": (
        WRITES,
        ["for i in [1]:\n    assert f(i) == i", f"for i in [{LINES}]:\n    assert f(i) == i"],
        ["PASSED", "OUTPUT_LIMIT"],
    ),
    "while loading": (f"print('x' * 1_500_000)\n{WRITES}", ["assert f(1) == 1"] * 2, ["OUTPUT_LIMIT"] * 2),
    "before an error": (f"print('x' * 1_500_000)\nx\n{WRITES}", ["assert f(1) == 1"], ["OUTPUT_LIMIT"]),
    "before its end": (
        f"import os\n{WRITES}\ndef g():\n    f({LINES})\n    os._exit(3)\n",
        ["assert f(1) == 1", "assert g() is None", "assert f(2) == 2"],
        ["PASSED", "OUTPUT_LIMIT", "PASSED"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_test_that_wrote_it(engine: gradebox.Engine, name: str) -> None:
    program, tests, expected = CASES[name]
    results = engine.grade([f"{program}# {copy}\n" for copy in range(COPIES)], tests=tests)
    assert [[test.verdict.name for test in result.tests] for result in results] == [expected] * COPIES
