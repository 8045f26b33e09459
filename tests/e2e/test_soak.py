"""A short soak (all of it: soak.py). Memory may grow by less than a leak of 1 KiB a submission would make it."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("machine")

# With few tests a submission, and few problems, so that memory is steady early.
SHORT = ["--tests", "20000", "--problems", "3", "--only", "humaneval_|mbpp_mixed|apps|stdin|on_mixed"]


def test_a_short_soak(jails: None, repository: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(repository / "tests/e2e/soak.py"), *SHORT, "--every-s", "0.25", "--growth", "0.03"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
