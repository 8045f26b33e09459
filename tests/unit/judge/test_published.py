"""The judge against plain Python on published problems, where they are at hand (../shared/data)."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradebox_engine.judge.plan import plan
from gradebox_engine.judge.suite import CodeTest, Seal, Suite, UnittestTest

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the published data are not at hand")
ASSERTS = ["problems/humaneval", "problems/humanevalplus", "problems/mbpp", "problems/mbppplus", "problems/quixbugs_py"]
GENERATED = ["gentests/humaneval_codegen16b", "gentests/humaneval_gpt35"]


def rows(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / f"{name}.jsonl.gz", "rt") as lines:
        for line in lines:
            yield json.loads(line)


def suite(row: dict[str, Any], most: int) -> Suite:
    tests = tuple(CodeTest(t) for t in row["tests"][:most])
    return Suite(tests=tests, entry_point=row["entry_point"], test_setup=row.get("test_setup") or "")


# What a wrong program may return in place of the right answer.
CHANGES = """
import functools
def _change(f, kind):
    @functools.wraps(f)
    def changed(*args, **kwargs):
        r = f(*args, **kwargs)
        if kind == "none": return None
        if kind == "tuple": return tuple(r) if isinstance(r, list) else [r]
        if kind == "lazy": return iter(r) if isinstance(r, (list, tuple, str)) else r
        if kind == "subclass":
            base = type(r)
            return type("Sub", (base,), {})(r) if base in (int, float, str, list, dict, tuple, set) else r
        if kind == "more": return r + 1 if isinstance(r, (int, float)) else r
        if kind == "float": return float(r) if isinstance(r, int) else r
        if kind == "raises": raise KeyError(r)
        return r
    return changed
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["right", "none", "tuple", "lazy", "subclass", "more", "float", "raises"])
@pytest.mark.parametrize("name", ["problems/humaneval", "problems/mbpp"])
def test_as_plain_python(laboratory: Any, name: str, kind: str) -> None:
    compared = 0
    for number, row in enumerate(rows(name)):
        if number % 40 != len(kind):
            continue
        program = row.get("prompt", "") + row["canonical_solution"] + CHANGES
        name_ = row["entry_point"]
        program += f"\n{name_} = _change({name_}, {kind!r})\n" if kind != "right" else ""
        asked = suite(row, 20)
        try:
            judged, plain = laboratory.load(program), laboratory.load(program)
            exec(asked.test_setup, plain)
        except Exception:
            continue
        for test in plan(asked).tests:
            if type(test).__name__ == "FastTest":
                source = row["tests"][test.index]
                found = laboratory.judged(test, judged)
                if found != "NEEDS_GENERAL":
                    compared += 1
                    assert found == laboratory.plainly(source, plain), (row["id"], source)
    assert compared > 10


def test_most_asserts_are_sealed() -> None:
    seals: list[Seal] = []
    fast = 0
    for name in ASSERTS + GENERATED:
        for row in rows(name):
            tests = plan(suite(row, 4)).tests
            seals += [t.seal for t in tests]
            fast += sum(type(t).__name__ == "FastTest" for t in tests)
    assert seals.count(Seal.SEALED) > 0.95 * len(seals)
    assert fast > 0.97 * len(seals)


def test_most_test_modules_of_the_standard_library_are_sealed() -> None:
    """Those that use objects of other packages, data frames say, run beside the program."""
    seals = []
    for row in rows("problems/bigcodebench"):
        if not row["needs"]:
            tests = tuple(UnittestTest(t if isinstance(t, str) else t["unittest"]) for t in row["tests"])
            seals += [t.seal for t in plan(Suite(tests=tests, entry_point=row["entry_point"])).tests]
    assert seals.count(Seal.SEALED) > 0.55 * len(seals)
    assert seals.count(Seal.IN_PROCESS) < 0.3 * len(seals)
