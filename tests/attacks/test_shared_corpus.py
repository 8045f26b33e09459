"""Runs the corpus that lies beside the repository, if there is one, with its own driver."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_shared_corpus(jails: None, repository: Path) -> None:
    folder = repository.parent / "shared" / "attacks"
    driver, corpus = folder / "run.py", folder / "corpus.jsonl"
    if not driver.exists():
        pytest.skip("no ../shared/attacks beside the repository")
    ran = subprocess.run(
        [sys.executable, driver, corpus, "--skip-language", "cpp,javascript"],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    failed = [line for line in ran.stdout.splitlines() if line.startswith("FAIL")]
    assert ran.returncode == 0, "\n".join([*failed, ran.stdout[-300:], ran.stderr[-2000:]])
