"""A part of the labelled data, where it lies beside the repository (all: truth.py --all)."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_a_sample_of_the_labelled_data(jails: None, repository: Path) -> None:
    data = repository.parent / "shared" / "data"
    if not (data / "truth").is_dir():
        pytest.skip("no ../shared/data beside the repository")
    command = [sys.executable, str(repository / "tests/e2e/truth.py")]
    ran = subprocess.run(
        [*command, "--data", str(data), "--every", "40", "--skip-slow"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
