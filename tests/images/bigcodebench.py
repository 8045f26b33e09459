"""BigCodeBench's canonical solutions in the image python-scientific: how many pass, and why the others do not.

    python -m tests.images.bigcodebench --data ../shared/data [--every 20] [--json FILE]

KNOWN are those that cannot pass, with the reason. Exit status 1 when another one does not pass.
"""

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradebox
from gradebox import Verdict

IMAGE = "python-scientific"
# As BigCodeBench runs its tests: generous.
LIMITS = {"cpu_time_s": 60, "wall_time_s": 180, "memory_bytes": 2 << 30, "processes": 16, "disk_bytes": 256 << 20}

KNOWN: dict[str, tuple[int, ...]] = {
    "needs data of NLTK or TextBlob, which no package has": (
        177, 290, 332, 334, 376, 383, 633, 635, 655, 658, 726, 734, 806, 808, 849, 940, 1109,
    ),
    "needs the network": (101, 147, 176, 314, 590, 1005, 1006, 1012),
    "opens sockets, which programs may not": (1038, 1040),
    "needs TensorFlow, which would double the image": (289, 417, 418, 419),
    "needs a package without wheels: wikipedia, wordninja": (59, 933),
    "looks at the machine in /proc, which programs do not see": (21, 377),
    "needs the commands unzip, pip or top": (14, 562, 1028),
    "written for an older SciPy or NumPy": (115, 157, 209, 221, 245, 276, 416, 634, 736),
    "written for an older seaborn, which masked nothing": (111,),
    "uses a name that only its test imports": (1085,),
    "needs minutes": (99, 102, 1030),
    # Those that a plain run in the image passes, or may: what the sealed judge does not carry over.
    "the judge: compares objects of pandas or NumPy by message": (166, 492, 757, 871, 913, 925, 1057),
    "the judge: test and program are two processes, in one of which Django or NumPy's random is set up": (181, 582),
}  # fmt: skip


def known_reason(identifier: str) -> str | None:
    """Why a problem cannot pass, or None."""
    number = int(identifier.rpartition("/")[2])
    return next((reason for reason, numbers in KNOWN.items() if number in numbers), None)


def problems(data: Path, every: int) -> Iterator[dict[str, Any]]:
    """Every so-manieth problem of the published file."""
    with gzip.open(data / "problems" / "bigcodebench.jsonl.gz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number % every == 0:
                yield json.loads(line)


def grade(engine: gradebox.Engine, rows: list[dict[str, Any]]) -> Iterator[tuple[str, gradebox.SubmissionResult]]:
    """Each problem's id, with the result of its canonical solution."""
    items = []
    for row in rows:
        problem = {
            "id": row["id"],
            "entry_point": row["entry_point"],
            "image": IMAGE,
            "tests": [{"unittest": test} for test in row["tests"]],
            "limits": LIMITS,
        }
        programs = (row["prompt"] + row["canonical_solution"],)
        items.append(gradebox.GradeItem(key=row["id"], programs=programs, problem=gradebox.Problem.from_dict(problem)))
    for graded in engine.grade_many(items):
        (result,) = graded.results
        yield str(graded.key), result


def main() -> int:
    """Prints a line for each that does not pass, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = [
        row for row in problems(arguments.data, arguments.every) if not arguments.only or row["id"] in arguments.only
    ]
    counts: Counter[str] = Counter()
    unexpected = []
    with gradebox.Engine() as engine:
        for done, (identifier, result) in enumerate(grade(engine, rows), 1):
            passed = result.verdict is Verdict.PASSED
            reason = known_reason(identifier)
            counts["passed" if passed else f"cannot: {reason}" if reason else "failed"] += 1
            (test,) = result.tests
            if not passed:
                print(f"{identifier}: {result.verdict.name}: {reason or 'unexpected'}: {test.message}", flush=True)
            if not passed and reason is None:
                unexpected.append(identifier)
            if arguments.json:
                with arguments.json.open("a") as file:
                    said = {
                        "id": identifier,
                        "verdict": result.verdict.name,
                        "message": test.message,
                        "cpu_time_s": test.cpu_time_s,
                        "memory_bytes": test.memory_bytes,
                        "seal": test.seal.name if test.seal else None,
                    }
                    file.write(json.dumps(said) + "\n")
            if sys.stderr.isatty():
                print(f"\r{done} of {len(rows)}", end="", file=sys.stderr)
    for what, count in counts.most_common():
        print(f"{count:5} {what}")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
