"""The published problems in several languages: reference solutions pass, and those with a bug in them do not.

    python -m tests.images.published --data ../shared/data [--language go]… [--kind mutant]… [--every 20] [--json FILE]

HumanEvalPack (cpp, java, javascript, go, rust) has a reference solution of each problem and one with a bug; MBXP (cpp,
java, javascript, typescript) has reference solutions, of which a mutant is made here. KNOWN are those that cannot pass,
with the reason (cannot_pass.toml). Exit status 1 when another one does not pass, or one with a bug of HumanEvalPack
does. A mutant may be as good as its original, so those are only counted.
"""

import argparse
import gzip
import json
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import gradebox
from gradebox import Verdict

HUMANEVALPACK, MBXP = "humanevalpack_6langs.jsonl.gz", "mbxp_6langs.jsonl.gz"
KINDS = ("canonical_solution", "buggy_solution", "mutant")
_KINDS_OF = {HUMANEVALPACK: KINDS[:2], MBXP: KINDS[::2]}
LANGUAGES = ("cpp", "java", "javascript", "typescript", "tstranspiled", "go", "rust")
_LANGUAGES_OF = {"js": ("javascript",), "typescript": ("typescript", "tstranspiled")}

_TYPE_ERRORS = "the published solution has type errors; it passes where types are not checked"
KNOWN: dict[str, list[str]] = tomllib.loads((Path(__file__).parent / "cannot_pass.toml").read_text())

# What published Go solutions use without importing it: their harness adds what is named, and drops what is not.
_GO_PACKAGES = ("bytes", "crypto/md5", "fmt", "math", "math/rand", "regexp", "sort", "strconv", "strings", "time")
_GO_IMPORTS = re.compile(r'^import (?:\(.*?\)|"[^"]*")', re.MULTILINE | re.DOTALL)
_MUTATIONS = (
    (" == ", " != "), (" < ", " >= "), (" > ", " <= "), (" + ", " - "), (" - ", " + "), (" * ", " + "),
    (" === ", " !== "), ("true", "false"), ("return ", "return -"),
)  # fmt: skip


def rows_of(data: Path, name: str, languages: Sequence[str], every: int) -> Iterator[dict[str, Any]]:
    """Every so-manieth row of a published file that has a reference solution in one of the languages."""
    seen: Counter[str] = Counter()
    with gzip.open(data / "problems" / name, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            if not row.get("canonical_solution"):
                continue
            for language in _LANGUAGES_OF.get(row["lang"], (row["lang"],)):
                if language in languages:
                    seen[language] += 1
                    if (seen[language] - 1) % every == 0:
                        yield {**row, "language": language}


def item(row: dict[str, Any], kind: str) -> gradebox.GradeItem:
    """A row with one of its programs; kind: canonical_solution, buggy_solution, mutant."""
    solution = mutant(row["canonical_solution"]) if kind == "mutant" else row[kind]
    setup, program = "", row["prompt"] + solution
    if row["language"] == "go":
        setup, program = _go_program(row, program)
    problem = {"id": row["id"], "tests": row["tests"], "language": row["language"], "test_setup": setup}
    return gradebox.GradeItem(gradebox.Problem.from_dict(problem), [program], (row["language"], kind, row["id"]))


def mutant(solution: str) -> str:
    """The solution with its first operator that is known here made another one."""
    for old, new in _MUTATIONS:
        if old in solution:
            return solution.replace(old, new, 1)
    return ""


def _go_program(row: dict[str, Any], program: str) -> tuple[str, str]:
    """The head of a published Go program, and the rest: in one place, the packages that it, or its test, names."""
    rest = _GO_IMPORTS.sub("", program)
    listed = re.findall(r'"([\w./]+)"', (row.get("test_setup") or "") + (row.get("import") or ""))
    text = re.sub(r"//.*", "", rest + row["tests"][0])
    used = [one for one in sorted({*listed, *_GO_PACKAGES}) if re.search(rf"\b{one.rpartition('/')[2]}\.", text)]
    return "package main\n\nimport (\n" + "".join(f'\t"{one}"\n' for one in used) + ")\n", rest


def items(
    data: Path,
    languages: Sequence[str] | None,
    every: int,
    names: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
) -> Iterator[gradebox.GradeItem]:
    """What is graded, one program each: no mutant of what cannot pass itself. None: all."""
    for name in names or _KINDS_OF:
        for row in rows_of(data, name, languages or LANGUAGES, every):
            for kind in _KINDS_OF[name]:
                if kind in (kinds or KINDS) and not (kind == "mutant" and known_reason(row["id"], row["language"])):
                    yield item(row, kind)


def result_of(graded: gradebox.Graded) -> tuple[str, str, str, gradebox.SubmissionResult]:
    """Language, kind and id of an item that was graded, and the result of its program."""
    language, kind, identifier = cast("tuple[str, str, str]", graded.key)
    (result,) = graded.results
    return language, kind, identifier, result


def known_reason(identifier: str, language: str) -> str | None:
    """Why a problem's reference solution cannot pass, or None."""
    reasons = (reason for reason, identifiers in KNOWN.items() if identifier in identifiers)
    return next((reason for reason in reasons if (reason, language) != (_TYPE_ERRORS, "tstranspiled")), None)


def main() -> int:
    """Prints a line for each program that did what it should not, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--language", action="append", choices=LANGUAGES)
    parser.add_argument("--file", action="append", choices=list(_KINDS_OF), help="default: both")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=KINDS, help="default: all")
    parser.add_argument("--json", type=Path, help="append each result to this file")
    arguments = parser.parse_args()
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    unexpected = 0
    chosen = items(arguments.data, arguments.language, arguments.every, arguments.file, arguments.kind)
    with gradebox.Engine() as engine:
        for graded in engine.grade_many(chosen):
            language, kind, identifier, result = result_of(graded)
            passed = result.verdict is Verdict.PASSED
            reason = None if passed or kind != "canonical_solution" else known_reason(identifier, language)
            counts[language, kind]["cannot pass" if reason else result.verdict.name] += 1
            wrong = passed if kind == "buggy_solution" else not passed and kind == "canonical_solution" and not reason
            wrong = wrong or result.verdict is Verdict.ENGINE_ERROR
            unexpected += wrong
            if wrong or reason:
                message = result.tests[0].message[:300].replace("\n", " | ")
                print(f"{identifier} {kind}: {result.verdict.name}: {reason or 'unexpected'}: {message}", flush=True)
            if arguments.json:
                said: dict[str, Any] = {"id": identifier, "kind": kind, "verdict": result.verdict.name}
                said["evidence"] = [sign.name for sign in result.evidence]
                said["cpu_time_s"] = result.tests[0].cpu_time_s
                with arguments.json.open("a") as file:
                    file.write(json.dumps(said) + "\n")
    for (language, kind), its in sorted(counts.items()):
        print(f"{language:12} {kind:20} {', '.join(f'{count} {what}' for what, count in its.most_common())}")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
