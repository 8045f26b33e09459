"""The public interface on a real engine: what a user does, and what a user does wrong."""

import asyncio
import threading
from typing import Any

import pytest

import gradebox
from gradebox import GradeItem, InvalidRequest, Problem, Seal, Verdict

GOOD = "def f(x):\n    return x + 1\n"
TESTS = ["assert f(1) == 2", "assert f(2) == 4"]


def test_the_first_example(engine: gradebox.Engine) -> None:
    result = engine.grade(["def f(x): return x + 1"], tests=TESTS)[0]
    assert result.pass_rate == 0.5
    assert result.tests[1].verdict is Verdict.WRONG_ANSWER
    assert result.verdict is Verdict.WRONG_ANSWER
    assert [test.seal for test in result.tests] == [Seal.SEALED] * 2
    assert "return" not in repr(result)


def test_all_four_kinds_of_test(engine: gradebox.Engine) -> None:
    program = GOOD + "if __name__ == '__main__':\n    print(f(int(input())))\n"
    tests: list[Any] = [
        "assert f(1) == 2",
        {"stdin": "4\n", "expected_stdout": "5\n"},
        {"call": {"args": [1], "kwargs": {}}, "expected": 2},
        {"unittest": "def test_f():\n    assert f(0) == 1\n"},
    ]
    (result,) = engine.grade([program], tests=tests, entry_point="f")
    assert [test.verdict for test in result.tests] == [Verdict.PASSED] * 4
    assert result.pass_rate == 1.0


def test_results_are_in_the_order_of_the_programs(engine: gradebox.Engine) -> None:
    programs = [f"def f(x):\n    return x + {number % 3}\n" for number in range(60)]
    results = engine.grade(programs, tests=["assert f(1) == 2"])
    assert [result.index for result in results] == list(range(60))
    assert [r.verdict is Verdict.PASSED for r in results] == [n % 3 == 1 for n in range(60)]


def test_stop_early_and_min_seal(engine: gradebox.Engine) -> None:
    tests = ["assert f(1) == 3", "assert f(1) == 2"]
    (result,) = engine.grade([GOOD], tests=tests, stop_early=True)
    assert [t.verdict for t in result.tests] == [Verdict.WRONG_ANSWER, Verdict.SKIPPED]
    (result,) = engine.grade([GOOD], tests=TESTS[:1], min_seal="sealed")
    assert result.verdict is Verdict.PASSED
    beside = "from unittest.mock import patch\nwith patch('builtins.print'):\n    assert f(1) == 2"
    (result,) = engine.grade([GOOD], tests=[TESTS[0], beside], min_seal="compared")
    assert [t.verdict for t in result.tests] == [Verdict.PASSED, Verdict.SKIPPED]
    assert "IN_PROCESS" in result.tests[1].message


def test_limits_hold(engine: gradebox.Engine) -> None:
    (result,) = engine.grade(
        ["def f(x):\n    while x == 1: pass\n    return 4\n"], tests=TESTS, limits={"cpu_time_s": 0.5}
    )
    assert [test.verdict for test in result.tests] == [Verdict.TIME_LIMIT, Verdict.PASSED]


def test_grade_many(engine: gradebox.Engine) -> None:
    problems = [Problem([f"assert f({n}) == {n + 1}"], id=f"p{n}") for n in range(20)]
    items = (GradeItem(problem, [GOOD, "x"], problem.id) for problem in problems)
    graded = {g.key: g.results for g in engine.grade_many(items)}
    assert len(graded) == 20
    for key, results in graded.items():
        assert [r.verdict for r in results] == [Verdict.PASSED, Verdict.RUNTIME_ERROR]
        assert all(r.to_label()["id"] == key for r in results)


def test_run(engine: gradebox.Engine) -> None:
    done = engine.run("import sys\nprint(input() * 2)\nsys.exit(3)", stdin="ab\n")
    assert (done.exit_code, done.stdout) == (3, b"abab\n")
    assert done.verdict is Verdict.RUNTIME_ERROR


def test_info(engine: gradebox.Engine) -> None:
    info = engine.info()
    assert info.images[0].name == "python"
    assert info.images[0].digest.startswith("sha256:")
    assert "program-seccomp" in info.protections
    assert info.workers >= 1


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"programs": [GOOD], "tests": []}, "tests"),
        ({"programs": [GOOD]}, "tests"),
        ({"programs": GOOD, "tests": TESTS}, "programs"),
        ({"programs": [None], "tests": TESTS}, "programs[0]"),
        ({"programs": [GOOD], "tests": TESTS, "language": "cobol"}, "language"),
        ({"programs": [GOOD], "tests": TESTS, "image": "moon"}, "image"),
        ({"programs": [GOOD], "tests": TESTS, "limits": {"cpu": 1}}, "limits.cpu"),
        ({"programs": [GOOD], "tests": TESTS, "limits": {"disk_bytes": 1}}, "limits.disk_bytes"),
        ({"programs": [GOOD], "tests": TESTS, "timeout_s": 0}, "timeout_s"),
        ({"programs": [GOOD], "tests": [{"call": {}, "expected": 1}]}, "entry_point"),
    ],
)
def test_a_bad_argument_is_named(engine: gradebox.Engine, arguments: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        engine.grade(**arguments)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_strange_programs_are_verdicts(engine: gradebox.Engine) -> None:
    strange = [
        "def f(x):\n    return '\ud800'\n",
        "\x00",
        b"\xff\xfe",
        "(" * 100_000 + ")" * 100_000,
        "",
        "#" * (50 << 20),
        GOOD,
    ]
    results = engine.grade(strange, tests=["assert f(1) == 2"])  # type: ignore[arg-type]
    assert all(result.verdict is not Verdict.ENGINE_ERROR for result in results)
    assert [result.verdict is Verdict.PASSED for result in results] == [False] * 6 + [True]
    assert "larger than" in results[5].tests[0].message


def test_ten_thousand_tests(engine: gradebox.Engine) -> None:
    tests = [f"assert f({number}) == {number + 1}" for number in range(10_000)]
    (result,) = engine.grade([GOOD], tests=tests)
    assert (result.pass_rate, len(result.tests)) == (1.0, 10_000)


def test_a_deadline_holds_and_the_engine_goes_on(engine: gradebox.Engine) -> None:
    with pytest.raises(gradebox.DeadlineExceeded):
        engine.grade(["def f(x):\n    while True: pass\n"] * 5, tests=TESTS, timeout_s=0.5)
    assert engine.grade([GOOD], tests=TESTS[:1], timeout_s=20)[0].verdict is Verdict.PASSED


def test_many_threads_at_once(engine: gradebox.Engine) -> None:
    failures = []

    def work(number: int) -> None:
        for _ in range(5):
            tests = [f"assert f({number}) == {number + 1}"]
            if engine.grade([GOOD], tests=tests)[0].verdict is not Verdict.PASSED:
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


async def test_the_synchronous_engine_in_a_running_loop(engine: gradebox.Engine) -> None:
    """As in a notebook."""
    await asyncio.sleep(0)
    assert engine.grade([GOOD], tests=TESTS)[0].pass_rate == 0.5


async def test_the_asynchronous_engine(jails: None) -> None:
    async with gradebox.AsyncEngine(workers=1) as engine:
        results = await asyncio.gather(*(engine.grade([GOOD], tests=TESTS) for _ in range(5)))
        assert [r[0].pass_rate for r in results] == [0.5] * 5
        items = [GradeItem(Problem(TESTS), [GOOD], number) for number in range(5)]
        assert sorted([g.key async for g in engine.grade_many(items)]) == list(range(5))  # type: ignore[type-var]
