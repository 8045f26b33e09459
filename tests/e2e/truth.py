#!/usr/bin/env python3
"""Compares the engine's verdicts with labels that were made without it, by plain execution.

usage: truth.py [--data DIR] (--all | --every N) [--only REGEX] [--skip-slow] [--twice]
                [--engine HOST:PORT] [--json OUT]

DIR (default: ../shared/data beside the repository) holds problems/, samples/, gentests/ and truth/;
its README says what they are. Prints every submission that passes here and not there, or the other
way round, those marked flaky apart, then the seals. Exit status 0 when there is none and, with
`--twice`, no test had another verdict in a second run.
"""

import argparse
import collections
import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradebox

type Row = dict[str, Any]

LIMITS = {"cpu_time_s": 2.0, "memory_bytes": 1 << 30}
SOLUTION_LIMITS = LIMITS | {"cpu_time_s": 10.0}  # right, however slow; nobody wrote down under which limit
MODULE_LIMITS = {"cpu_time_s": 20.0, "memory_bytes": 1 << 30, "processes": 16}  # many tests in one
DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PROGRAMS_A_CALL = 100

_BINARIES = "needs programs that the image does not hold (sh, tar, gzip, split, unzip, pip, top)"
_SLOW_THERE = "took more than the 20 s of wall time that the labels allow"
_IS_INTEGER = "calls int.is_integer, which Python has from 3.12 on"
_BCB = "solutions_bigcodebench: BigCodeBench"
_HE92 = "gentests_gpt35_on_mixed: HumanEval/92"
EXPLAINED = {
    **{f"{_BCB}/{n} canonical": _BINARIES for n in (14, 15, 16, 18, 350, 459, 562, 785, 1028)},
    **{f"{_BCB}/{n} canonical": _SLOW_THERE for n in (0, 195, 220)},
    f"{_BCB}/147 canonical": "makes a network socket: programs here have none",
    f"{_BCB}/394 canonical": "calls assertEquals, which Python has until 3.11",
    f"{_BCB}/1101 canonical": "starts `python`, a name that the labels had not on their PATH",
    f"{_BCB}/832 canonical": "expects that a folder in / cannot be made; for the labels' user, root, it could",
    f"{_HE92} AgentCoder:gpt-3.5-turbo-1106 (n=5) [3]": _IS_INTEGER,
    f"{_HE92} code-cushman-001 (n=10) [2]": _IS_INTEGER,
    f"{_HE92} code-cushman-001 (n=10) [9]": _IS_INTEGER,
    "humanevalplus_codegen16b: HumanEval/46 codegen-16B (temp 0.8, top_p 0.95) [27]": "keeps a cache from test "
    "to test; the labels forked for each test, and there its recursion is too deep",
}
"""Where a label (group: submission) says something of the environment that it was made in, and what."""


@dataclass(frozen=True, eq=False)
class Submission:
    """A program, and whether it should pass.

    `vector` has one code a test, P where it passed there; None where nobody wrote that down.
    """

    where: str
    problem: gradebox.Problem
    program: str
    passes: bool
    vector: str | None = None

    @property
    def slow(self) -> bool:
        """Whether it ran into its time limit there."""
        return "T" in (self.vector or "")


class Data:
    """The data folder. A file is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, list[Row]] = {}

    def rows(self, name: str) -> list[Row]:
        """All rows of a file, such as problems/mbpp."""
        if name not in self._files:
            with gzip.open(self.folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
                self._files[name] = [json.loads(line) for line in file]
        return self._files[name]


def _problem(row: Row, tests: Sequence[Any], limits: dict[str, float]) -> gradebox.Problem:
    return gradebox.Problem(
        tests=[_call(test) if "args" in test else test for test in tests],
        id=row["id"],
        entry_point=row.get("entry_point"),
        test_setup=row.get("test_setup") or "",
        limits=limits,
    )


def _call(test: dict[str, Any]) -> dict[str, Any]:
    expected = test["expected"]
    if isinstance(expected, list) and len(expected) == 1:
        (expected,) = expected  # APPS puts the one value that is returned into a list
    return {"call": {"args": test["args"]}, "expected": expected}


def labelled(data: Data, truth: str, samples: str, tests: str, first_tests: int | None) -> Iterator[Submission]:
    """Programs of models, labelled one by one.

    After two time-outs in a program the labellers ran no more of its tests ("-"): neither do we.
    """
    programs = {(row["id"], row["generator"]): row["programs"] for row in data.rows(samples)}
    sources = {row["id"]: row for row in data.rows(tests)}
    problems: dict[tuple[str, int | None], gradebox.Problem] = {}
    for row in data.rows(truth):
        flaky = {*row.get("flaky", ()), *row.get("flaky_verdict", ())}
        for index, program in enumerate(programs[row["id"], row["generator"]]):
            if row["passed"][index] is None or index in flaky:
                continue
            vector = row["vectors"][index]
            stop = vector.index("-") if "-" in vector else first_tests
            key = row["id"], stop
            if key not in problems:
                source = sources[row["id"]]
                problems[key] = _problem(source, source["tests"][:stop], LIMITS)
            where = f"{row['id']} {row['generator']} [{index}]"
            passes = bool(row["passed"][index])
            yield Submission(where, problems[key], program, passes, vector.split("-")[0])


def verified(data: Data, name: str) -> Iterator[Submission]:
    """The problems' own solutions, right or buggy, where they were run."""
    for row in data.rows(f"problems/{name}"):
        if row.get("needs") or row.get("lang", "python") != "python":
            continue
        modules = row.get("test_style") == "unittest"
        tests = [{"unittest": test} for test in row["tests"]] if modules else row["tests"]
        problem = _problem(row, tests, MODULE_LIMITS if modules else SOLUTION_LIMITS)
        prompt = row.get("prompt", "") if name in COMPLETIONS else ""
        known = str(row["canonical_verified"])
        if known != "None" and row["canonical_solution"]:
            program = prompt + row["canonical_solution"]
            yield Submission(f"{row['id']} canonical", problem, program, known == "True")
        if row.get("buggy_solution"):
            yield Submission(f"{row['id']} buggy", problem, prompt + row["buggy_solution"], False)


COMPLETIONS = ("humaneval", "humanevalplus", "bigcodebench", "humanevalpack_6langs")
"""Problems whose solution goes on where the prompt ends."""

VERIFIED = (*COMPLETIONS, "mbpp", "mbppplus", "quixbugs_py", "stdin")

_CODEGEN, _MIXED = "samples/humaneval_codegen16b_n100", "samples/humaneval_mixed"
_GPT35 = "gentests/humaneval_gpt35"
LABELLED: dict[str, tuple[str, str, int | None]] = {
    "humaneval_codegen16b": (_CODEGEN, "problems/humaneval", None),
    "humaneval_mixed": (_MIXED, "problems/humaneval", None),
    "mbpp_mixed": ("samples/mbpp_mixed", "problems/mbpp", None),
    "humanevalplus_codegen16b": (_CODEGEN, "problems/humanevalplus", None),
    "humanevalplus_mixed": (_MIXED, "problems/humanevalplus", None),
    "gentests_gpt35_on_codegen16b": (_CODEGEN, _GPT35, 20),
    "gentests_gpt35_on_mixed": (_MIXED, _GPT35, 20),
    "gentests_codegen16b_on_codegen16b": (_CODEGEN, "gentests/humaneval_codegen16b", 20),
    "apps_coderl": ("samples/apps_coderl", "problems/stdin", None),
}


def groups(data: Data) -> dict[str, Callable[[], Iterator[Submission]]]:
    """What there is to compare: the name of a group, and what makes its submissions."""

    def of_models(name: str) -> Callable[[], Iterator[Submission]]:
        return lambda: labelled(data, f"truth/truth_{name}", *LABELLED[name])

    def of_problems(name: str) -> Callable[[], Iterator[Submission]]:
        return lambda: verified(data, name)

    return {name: of_models(name) for name in LABELLED} | {f"solutions_{name}": of_problems(name) for name in VERIFIED}


def grade(engine: gradebox.Client, submissions: Sequence[Submission]) -> list[gradebox.SubmissionResult]:
    """Results in the order of the submissions. What several models wrote alike is graded once."""
    programs: dict[int, dict[str, None]] = {}
    problems: dict[int, gradebox.Problem] = {}
    for submission in submissions:
        problems[id(submission.problem)] = submission.problem
        programs.setdefault(id(submission.problem), {})[submission.program] = None
    items = [
        gradebox.GradeItem(problems[key], part, key=(key, tuple(part)))
        for key, distinct in programs.items()
        for part in _parts(list(distinct), PROGRAMS_A_CALL)
    ]
    results: dict[tuple[int, str], gradebox.SubmissionResult] = {}
    for graded in engine.grade_many(items, fresh=True):
        assert isinstance(graded.key, tuple)
        key, part = graded.key
        results.update(zip(((key, program) for program in part), graded.results, strict=True))
    return [results[id(s.problem), s.program] for s in submissions]


def _parts(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def codes(result: gradebox.SubmissionResult) -> str:
    """One letter a test: P, W(rong answer), R(untime error), C, T, M, O, S, E."""
    return "".join(test.verdict.name[0] for test in result.tests)


def differences(
    group: str, submissions: Sequence[Submission], results: Sequence[gradebox.SubmissionResult]
) -> tuple[list[str], list[str]]:
    """Submissions, and single tests, that pass on one side only."""
    wholes, singles = [], []
    for submission, result in zip(submissions, results, strict=True):
        said = codes(result)
        if (result.verdict is gradebox.Verdict.PASSED) is not submission.passes:
            message = next((test.message for test in result.tests if test.message), "")
            there = submission.vector or ("passes" if submission.passes else "fails")
            line = f"{submission.where}: there {there}, here {said} {message[:200]!r}"
            if why := EXPLAINED.get(f"{group}: {submission.where}"):
                print(f"  explained {line}: {why}")
            else:
                wholes.append(line)
        elif submission.vector and [c == "P" for c in submission.vector] != [c == "P" for c in said]:
            singles.append(f"{submission.where}: there {submission.vector}, here {said}")
    return wholes, singles


def seals(submissions: Sequence[Submission], results: Sequence[gradebox.SubmissionResult]) -> collections.Counter[str]:
    """How many distinct tests have each seal: the text chooses it, so any program will do."""
    found: dict[tuple[str, int], str] = {}
    for submission, result in zip(submissions, results, strict=True):
        for index, test in enumerate(result.tests):
            if test.seal is not None:
                found[submission.problem.id, index] = test.seal.name
    return collections.Counter(found.values())


def compare(name: str, submissions: list[Submission], engine: gradebox.Client, twice: bool) -> dict[str, Any]:
    """Grades one group and prints what differs; returns the figures."""
    start = time.monotonic()
    results = grade(engine, submissions)
    elapsed_s = time.monotonic() - start
    wholes, singles = differences(name, submissions, results)
    unsteady = []
    if twice:
        again = zip(submissions, results, grade(engine, submissions), strict=True)
        unsteady = [
            f"{s.where}: {codes(one)}, then {codes(two)}"
            for s, one, two in again
            if [t.verdict for t in one.tests] != [t.verdict for t in two.tests]
        ]
    sealed = seals(submissions, results)
    for title, lines in (("DIFFERS", wholes), ("UNSTEADY", unsteady), ("test differs", singles)):
        for line in lines:
            print(f"  {title} {line}")
    print(
        f"{name}: {len(submissions)} submissions, {len(wholes)} differ, {len(unsteady)} unsteady, "
        f"{len(singles)} with the same verdict and other tests passed; {dict(sealed)}; "
        f"{elapsed_s:.1f} s",
        flush=True,
    )
    return {
        "group": name,
        "submissions": len(submissions),
        "elapsed_s": elapsed_s,
        "differ": wholes,
        "unsteady": unsteady,
        "tests_differ": singles,
        "seals": dict(sealed),
    }


def main() -> int:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--all", action="store_true", help="every submission")
    parser.add_argument("--every", type=int, default=0, metavar="N", help="each N-th submission")
    parser.add_argument("--only", default="", metavar="REGEX", help="groups whose name matches")
    parser.add_argument("--skip-slow", action="store_true", help="not what ran into its time limit")
    parser.add_argument("--twice", action="store_true", help="two runs must not differ")
    parser.add_argument("--engine", metavar="HOST:PORT", help="default: one on this machine")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to a file")
    args = parser.parse_args()
    if args.all == bool(args.every):
        parser.error("one of --all and --every N")
    figures = []
    with gradebox.Client(args.engine) if args.engine else gradebox.Engine() as engine:
        for name, make in groups(Data(args.data)).items():
            if re.search(args.only, name):
                chosen = list(make())[:: args.every or 1]
                chosen = [s for s in chosen if not (args.skip_slow and s.slow)]
                figures.append(compare(name, chosen, engine, args.twice))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))
    total: collections.Counter[str] = collections.Counter()
    for figure in figures:
        total.update(figure["seals"])
    wrong = sum(len(figure["differ"]) + len(figure["unsteady"]) for figure in figures)
    asked = sum(figure["submissions"] for figure in figures)
    print(f"{asked} submissions, {wrong} differ or are unsteady; seals of tests: {dict(total)}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
