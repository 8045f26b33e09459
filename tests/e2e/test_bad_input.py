"""Bad input: an error that says where, or a verdict; nothing else is lost, and the engine lives."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gradebox

GOOD = "def inc(x):\n    return x + 1\n"
TESTS = ["assert inc(1) == 2"]
PROBLEM = {"id": "p", "tests": TESTS}
PROGRAMS = {"id": "p", "programs": [GOOD]}


def lives(engine: gradebox.Engine) -> bool:
    """Whether the engine grades an honest program as ever."""
    return engine.grade([GOOD], tests=TESTS)[0].verdict is gradebox.Verdict.PASSED


def verdicts(results: list[gradebox.SubmissionResult]) -> list[str]:
    return [result.verdict.name for result in results]


# What is refused: no engine could make sense of it.


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"tests": []}, "tests"),
        ({"tests": [""]}, "tests[0]"),
        ({"tests": "assert inc(1) == 2"}, "tests"),
        ({"tests": [*TESTS, 7]}, "tests[1]"),
        ({"tests": [*TESTS, {}]}, "tests[1]"),
        ({"tests": [{"stdin": "1"}]}, "tests[0].expected_stdout"),
        ({"tests": [{"call": {"args": [1]}}]}, "tests[0].expected"),
        ({"tests": [{"call": {"args": [1]}, "expected": 2}]}, "entry_point"),
        ({"tests": [{"call": {"args": [{1}]}, "expected": 2}]}, "tests[0].call.args"),
        ({"tests": TESTS, "limits": {"cpu_time_s": -1}}, "limits.cpu_time_s"),
        ({"tests": TESTS, "limits": {"cpu_time_s": float("nan")}}, "limits.cpu_time_s"),
        ({"tests": TESTS, "limits": {"memory_bytes": "1G"}}, "limits.memory_bytes"),
        ({"tests": TESTS, "limits": {"memory_bytes": 1}}, "limits.memory_bytes"),
        ({"tests": TESTS, "limits": {"speed": 1}}, "limits.speed"),
        ({"tests": TESTS, "language": "cobol"}, "language"),
        ({"tests": TESTS, "image": "no-such-image"}, "image"),
        ({"tests": TESTS, "min_seal": "waxed"}, "min_seal"),
        ({"tests": TESTS, "entry_point": "\ud800"}, "entry_point"),
        ({"tests": [{"stdin": "", "expected_stdout": "", "checker": {"kind": "x"}}]}, "tests[0]"),
    ],
)
def test_refused_with_the_field(engine: gradebox.Engine, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(gradebox.InvalidRequest) as caught:
        engine.grade([GOOD], **arguments)
    assert caught.value.field.startswith(field), caught.value
    assert lives(engine)


@pytest.mark.parametrize("programs", ["def f(): pass", [None], [GOOD, 7]])
def test_programs_that_are_none(engine: gradebox.Engine, programs: Any) -> None:
    with pytest.raises(gradebox.InvalidRequest, match="programs"):
        engine.grade(programs, tests=TESTS)
    assert lives(engine)


def test_no_programs_no_results(engine: gradebox.Engine) -> None:
    assert engine.grade([], tests=TESTS) == []


# What is graded: programs may hold anything, and cost nobody else a verdict.


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("", {"RUNTIME_ERROR", "WRONG_ANSWER", "COMPILE_ERROR"}),
        ("\0", {"COMPILE_ERROR"}),
        (GOOD + "\0", {"COMPILE_ERROR"}),
        ("s = '\ud800'\n" + GOOD, {"PASSED", "COMPILE_ERROR"}),
        (b"\xff\xfe" + GOOD.encode(), {"COMPILE_ERROR"}),
        ("x = " + "(" * 100_000 + ")" * 100_000, {"COMPILE_ERROR", "MEMORY_LIMIT"}),
        ("x = " + "[" * 100_000, {"COMPILE_ERROR", "MEMORY_LIMIT"}),
        ("x = " + "-" * 100_000 + "1", {"COMPILE_ERROR", "MEMORY_LIMIT"}),
        ("if 1:\n" * 100_000, {"COMPILE_ERROR"}),
        ("x = 1" + "+1" * 100_000, {"COMPILE_ERROR", "MEMORY_LIMIT", "RUNTIME_ERROR"}),
        ("f" * 200_000, {"RUNTIME_ERROR"}),
        ("# " + "x" * 50_000_000 + "\n" + GOOD, {"COMPILE_ERROR"}),
        ("x = '" + "y" * 50_000_000 + "'\n" + GOOD, {"COMPILE_ERROR"}),
        ("x = 1" + "0" * 6_000_000 + "\n" + GOOD, {"COMPILE_ERROR"}),
    ],
    ids=lambda value: "|".join(sorted(value)) if isinstance(value, set) else repr(value[:12]),
)
def test_a_bad_program_costs_itself_only(engine: gradebox.Engine, program: str | bytes, expected: set[str]) -> None:
    before, bad, after = engine.grade([GOOD, program, GOOD], tests=TESTS)
    assert bad.verdict.name in expected, bad
    assert verdicts([before, after]) == ["PASSED", "PASSED"]
    assert len(repr(bad)) < 20_000, "a result does not repeat the program"


@pytest.mark.parametrize(
    "test",
    [
        "assert inc(" + "(" * 100_000 + ")" * 100_000 + ") == 2",
        "assert inc(1) == " + "[" * 100_000 + "]" * 100_000,
        "assert inc(1) == " + "-" * 100_000 + "1",
        "assert inc(1) == " + "9" * 1_000_000,
        "assert (",
        "assert inc(1) == '\0'",
        "assert inc(1) == '\ud800'",
        "while True: pass",
        "raise SystemExit(0)",
        "import os; os._exit(0)",
        "assert 9**9**9**9 == inc(1)",
        "assert inc(1) == 'a' * (1 << 40)",
        {"unittest": "import unittest\nclass T(unittest.TestCase): pass\n"},
        {"unittest": "class ("},
        {"unittest": "def test_one():\n    raise SystemExit(0)\n"},
    ],
    ids=lambda test: repr(test)[:40],
)
def test_a_bad_test_passes_nobody(engine: gradebox.Engine, test: Any) -> None:
    result = engine.grade([GOOD], tests=[*TESTS, test, *TESTS], limits={"cpu_time_s": 0.3})[0]
    passed = [t.verdict is gradebox.Verdict.PASSED for t in result.tests]
    assert passed == [True, False, True], [f"{t.verdict.name} {t.message}" for t in result.tests]
    assert result.tests[1].verdict is not gradebox.Verdict.ENGINE_ERROR, result.tests[1].message
    assert lives(engine)


def test_strange_texts_travel(engine: gradebox.Engine) -> None:
    program = "def f(x):\n    return x + '\\ud800\\0'\n"
    result = engine.grade([program], tests=["assert f('\\udfff') == '\\udfff\\ud800\\0'"])[0]
    assert result.verdict is gradebox.Verdict.PASSED, result
    echo = "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())\n"
    tests = [{"stdin": "\0é\u2028\U0001f600\r\n", "expected_stdout": "\0é\u2028\U0001f600\r\n"}]
    assert verdicts(engine.grade([echo], tests=tests)) == ["PASSED"]


def test_ten_thousand_tests(engine: gradebox.Engine) -> None:
    tests = [f"assert inc({n}) == {n + 1 if n % 100 else -1}" for n in range(10_000)]
    (result,) = engine.grade([GOOD], tests=tests)
    assert len(result.tests) == 10_000
    assert result.pass_rate == 0.99
    assert result.tests[100].verdict is gradebox.Verdict.WRONG_ANSWER


def test_a_bad_problem_in_a_stream_costs_itself_only(engine: gradebox.Engine) -> None:
    good = gradebox.Problem(tests=TESTS)
    bad = gradebox.Problem(tests=TESTS, language="cobol")
    items = [gradebox.GradeItem(p, [GOOD], key=i) for i, p in enumerate([good, bad, good])]
    answers = {answer.key: answer for answer in engine.grade_many(items)}
    assert [verdicts(list(answers[key].results)) for key in (0, 2)] == [["PASSED"], ["PASSED"]]
    assert isinstance(answers[1].error, gradebox.InvalidRequest)


# The command line: one line that names file, line and field, and exit status 2.


def run_grade(
    folder: Path, problems: list[bytes], programs: list[bytes], *options: str
) -> subprocess.CompletedProcess[str]:
    (folder / "problems.jsonl").write_bytes(b"\n".join(problems) + b"\n")
    (folder / "programs.jsonl").write_bytes(b"\n".join(programs) + b"\n")
    command = [sys.executable, "-m", "gradebox_engine", "grade", "problems.jsonl", "programs.jsonl"]
    return subprocess.run(
        [*command, "-o", "labels.jsonl", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def line(row: object) -> bytes:
    return json.dumps(row).encode()


def labels(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in (folder / "labels.jsonl").read_text().splitlines()]


BAD_PROBLEMS: list[tuple[bytes, str]] = [
    (b"not json", "not JSON"),
    (b'{"id": "q"', "not JSON"),
    (b"[1, 2]", "not a JSON object"),
    (b"[" * 100_000 + b"]" * 100_000, ""),
    (b'{"id": "\xff"}', "UTF-8"),
    (line({"tests": TESTS}), "id"),
    (line({"id": 7, "tests": TESTS}), "id"),
    (line({"id": "q"}), "tests"),
    (line({"id": "q", "tests": []}), "tests"),
    (line({"id": "q", "tests": [*TESTS, 5]}), "tests[1]"),
    (line({"id": "q", "tests": [{"stdin": "x"}]}), "tests[0].expected_stdout"),
    (line({"id": "q", "tests": [{"call": {"args": []}, "expected": 1}]}), "entry_point"),
    (line({"id": "q", "tests": TESTS, "limits": {"cpu": 1}}), "limits.cpu"),
    (line({"id": "q", "tests": TESTS, "limits": {"cpu_time_s": "5"}}), "limits.cpu_time_s"),
    (line({"id": "p", "tests": TESTS}), "id"),  # there is one of this name
]


@pytest.mark.parametrize(("bad", "said"), BAD_PROBLEMS, ids=[f"{b[:30]!r}" for b, _ in BAD_PROBLEMS])
def test_bad_problems_file(jails: None, tmp_path: Path, bad: bytes, said: str) -> None:
    ran = run_grade(tmp_path, [line(PROBLEM), bad], [line(PROGRAMS)])
    assert ran.returncode == 2, ran
    assert ran.stderr.count("\n") == 1, ran.stderr
    assert "problems.jsonl:2" in ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


BAD_PROGRAMS: list[tuple[bytes, str]] = [
    (b"{", "not JSON"),
    (b"null", "not a JSON object"),
    (line({"programs": [GOOD]}), "id"),
    (line({"id": "unknown", "programs": [GOOD]}), "id"),
    (line({"id": "p"}), "programs"),
    (line({"id": "p", "programs": GOOD}), "programs"),
    (line({"id": "p", "programs": [GOOD, None]}), "programs[1]"),
]


@pytest.mark.parametrize(("bad", "said"), BAD_PROGRAMS, ids=[f"{b[:30]!r}" for b, _ in BAD_PROGRAMS])
def test_bad_programs_file(jails: None, tmp_path: Path, bad: bytes, said: str) -> None:
    ran = run_grade(tmp_path, [line(PROBLEM)], [line(PROGRAMS), line(PROGRAMS), bad])
    assert ran.returncode == 2, ran
    assert "programs.jsonl:3" in ran.stderr
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_missing_and_damaged_files(jails: None, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gradebox_engine", "grade"]
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(line(PROBLEM) * 1000)[:-20])
    (tmp_path / "programs.jsonl").write_bytes(line(PROGRAMS))
    for problems in ("none.jsonl", "cut.jsonl.gz", "."):
        ran = subprocess.run(
            [*command, problems, "programs.jsonl", "-o", "labels.jsonl"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 2, ran
        assert problems in ran.stderr
        assert "Traceback" not in ran.stderr


def test_strange_programs_in_a_file_get_their_verdicts(jails: None, tmp_path: Path) -> None:
    strange = [
        GOOD,
        "\0",
        "s = '\ud800'",
        "(" * 100_000 + ")" * 100_000,
        "# " + "x" * 50_000_000 + "\n" + GOOD,
        GOOD,
    ]
    ran = run_grade(tmp_path, [line(PROBLEM)], [line({"id": "p", "programs": strange})])
    assert ran.returncode == 0, ran.stderr[-2000:]
    rows = labels(tmp_path)
    assert [row["program_index"] for row in rows] == list(range(6))
    assert [row["verdict"] == "PASSED" for row in rows] == [True, False, False, False, False, True]
    assert all(row["verdict"] != "ENGINE_ERROR" for row in rows)


def test_unknown_fields_are_kept_out_of_the_way(jails: None, tmp_path: Path) -> None:
    problem = {**PROBLEM, "colour": "blue", "meta": {"deep": [[[1]]]}, "prompt": "x"}
    ran = run_grade(tmp_path, [line(problem), b"", b"  "], [line({**PROGRAMS, "score": 1})])
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert [row["verdict"] for row in labels(tmp_path)] == ["PASSED"]
