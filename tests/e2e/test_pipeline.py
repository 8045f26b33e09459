"""From seeds to pairs and a report on the shipped sample: twice the same, and once killed and started again."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

pytest.importorskip("datasketch")

from tests.pipeline import recordings, run


def test_the_chain_gives_the_same_twice_and_after_kills(jails: None, tmp_path: Path) -> None:
    source = recordings.shipped()

    files = run.chain(source, tmp_path / "first", 1)
    first = run.digests(files)
    arguments = Namespace(data=tmp_path / "nowhere", every=1)
    kills = run.run_and_kill(arguments, tmp_path / "killed")
    again = run.digests(run.chain(source, tmp_path / "killed", 1))

    assert kills >= 2
    assert again == first
    stage = tmp_path / "first" / "recorded"
    pairs = [json.loads(line) for name in ("pairs.jsonl", "pairs.validation.jsonl") for line in (stage / name).open()]
    assert len(pairs) > 10
    agreement = json.loads((stage / "agreement.json").read_text())
    assert set(agreement["generators"]) == {"middling", "weak"}
    assert agreement["overall"]["programs"] == 30 and agreement["overall"]["pearson"] > 0.9
