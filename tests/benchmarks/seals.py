#!/usr/bin/env python3
"""Which way and under which seal the tests of published data sets are decided, from their text alone: runs no program.

usage: seals.py [DATA]

DATA (default: ../shared/data beside the repository) holds problems/*.jsonl.gz and gentests/*.jsonl.gz.
"""

import gzip
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from gradebox_engine.judge.plan import plan
from gradebox_engine.judge.suite import CodeTest, Suite, UnittestTest

FILES = (
    "problems/humaneval", "problems/humanevalplus", "problems/mbpp", "problems/mbppplus", "problems/quixbugs_py",
    "gentests/humaneval_codegen16b", "gentests/humaneval_gpt35", "problems/bigcodebench",
)  # fmt: skip


def suite_of(row: dict[str, Any]) -> Suite:
    """The suite of a row; its tests are Python text."""
    kind = UnittestTest if row.get("test_style") == "unittest" else CodeTest
    tests = tuple(kind(source) for source in row["tests"])
    return Suite(tests, entry_point=row.get("entry_point"), test_setup=row.get("test_setup") or "")


def count(file: Path) -> Counter[str]:
    """How many tests of a file go each way, and have each seal."""
    counts: Counter[str] = Counter()
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["tests"]:
                for test in plan(suite_of(row)).tests:
                    counts[type(test).__name__] += 1
                    counts[test.seal.name] += 1
                    counts["tests"] += 1
    return counts


def main() -> None:
    """Prints a line a file, and one for all files of assert tests."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    ways, seals = ("FastTest", "GeneralTest", "InProcessTest"), ("SEALED", "COMPARED", "IN_PROCESS")
    print(f"{'':32}" + "".join(f"{name:>15}" for name in ("tests", *ways, *seals)))
    asserts: Counter[str] = Counter()
    for name in FILES:
        counts = count(folder / f"{name}.jsonl.gz")
        if not name.endswith("bigcodebench"):
            asserts += counts
        print(f"{name:32}" + "".join(f"{counts[key]:15}" for key in ("tests", *ways, *seals)))
    print(f"{'all assert tests':32}" + "".join(f"{asserts[key]:15}" for key in ("tests", *ways, *seals)))
    print(f"sealed: {asserts['SEALED'] / asserts['tests']:.1%} of the assert tests")


if __name__ == "__main__":
    main()
