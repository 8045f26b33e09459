"""engine/THREAT_MODEL.md names tests that exist."""

import json
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "engine" / "THREAT_MODEL.md").read_text(encoding="utf-8")
TABLE = TEXT[TEXT.index("| threat | layers | shown by |") :]


def test_rows_of_the_corpus() -> None:
    lines = (TESTS / "attacks" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    known = {row["id"] for row in rows} | {re.sub(r"-\d$", "", row["id"]) for row in rows}
    kinds = "reward|supervisor|isolation|kernel|network|filesystem|resource"
    named = set(re.findall(rf"\b((?:{kinds})-[a-z0-9-]+)(\*?)", TABLE))
    assert len(named) > 30
    missing = [n for n, star in named if n not in known and not (star and any(k.startswith(n) for k in known))]
    assert missing == []


def test_files_of_tests() -> None:
    named = re.findall(r"tests/[\w/]+(?:\.py)?", TABLE)
    assert named and [name for name in named if not (TESTS.parent / name).exists()] == []
    for name in re.findall(r"`(layers|limits|calls|between|secrets|neighbours|protections)`", TABLE):
        assert (TESTS / "sandbox" / f"test_{name}.py").exists(), name


def test_names_of_functions() -> None:
    """`file` words: each word of a name that has an underscore is part of a test's name in that file."""
    for name, words in re.findall(r"`(\w+)` ((?:[a-z]+_[a-z_]+(?:, )?)+)", TABLE):
        text = (TESTS / "sandbox" / f"test_{name}.py").read_text(encoding="utf-8")
        for word in words.strip(", ").split(", "):
            assert re.search(rf"def test_\w*{word}", text), (name, word)
