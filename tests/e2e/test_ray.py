"""`gradebox grade --ray` on a cluster of two nodes, one of which is lost on the way: the same rows as without Ray."""

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import in_ci

from gradebox_command.rows import read_rows

pytestmark = [pytest.mark.usefixtures("jails"), pytest.mark.xdist_group("machine")]

GRADE = (sys.executable, "-m", "gradebox_engine", "grade")
PROGRAMS = 600
TIMEOUT_S = 240


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    if importlib.util.find_spec("ray") is None:
        reason = "Ray is not installed: make setup-test, or pip install 'gradebox[ray]'"
        if in_ci():
            pytest.fail(f"{reason}; in continuous integration that is a failure", pytrace=False)
        pytest.skip(f"NOT TESTED: {reason}")
    argv = [sys.executable, "-W", "ignore", "-m", "tests.e2e.ray_cluster"]
    with (tmp_path / "cluster").open("w") as said:
        started = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    yield started
    assert started.stdin is not None and started.stdout is not None
    started.stdin.close()
    started.stdout.close()
    try:
        started.wait(60)
    except subprocess.TimeoutExpired:
        started.kill()


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    """Programs of two problems, right and wrong in turns, some of them twice."""
    rows = [{"id": "p", "tests": ["assert f(1) == 2", "assert f(2) == 3"]}, {"id": "q", "tests": ["assert f(1) == 1"]}]
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    programs = tmp_path / "programs.jsonl"
    with programs.open("w") as file:
        for start in range(0, PROGRAMS, 20):
            texts = [
                f"import time\ntime.sleep(0.03)\ndef f(x):\n    return x + {n % 2}  # {n // 4}\n"
                for n in range(start, start + 20)
            ]
            file.write(json.dumps({"id": "pq"[start // 20 % 2], "programs": texts, "generator": f"g{start}"}) + "\n")
    return problems, programs


def graded(ledger: Path) -> int:
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as database:
            count: int = database.execute("SELECT count(*) FROM labels WHERE label IS NOT NULL").fetchone()[0]
    except sqlite3.Error:
        return 0
    database.close()
    return count


def rows(labels: Path) -> list[dict[str, Any]]:
    """What does not depend on the run: all but times and memory."""
    found = []
    for _, row in read_rows(labels):
        tests = [(test["verdict"], test["seal"], test.get("message")) for test in row["tests"]]
        found.append({**row, "tests": tests})
    return found


def test_a_node_is_lost_and_no_row(cluster: "subprocess.Popen[str]", inputs: tuple[Path, Path], tmp_path: Path) -> None:
    assert cluster.stdin is not None and cluster.stdout is not None
    address = cluster.stdout.readline().strip()
    assert address, (tmp_path / "cluster").read_text()
    labels = tmp_path / "ray"
    started = subprocess.Popen(
        [*GRADE, *inputs, "-o", f"{labels}/", "--ray", "--json", "--shard-rows", "250"],
        env={**os.environ, "RAY_ADDRESS": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end_s = time.monotonic() + TIMEOUT_S
    while graded(labels / "_ledger.sqlite") < 40:
        assert started.poll() is None and time.monotonic() < end_s, started.communicate()
        time.sleep(0.1)
    cluster.stdin.write("kill\n")
    cluster.stdin.flush()
    assert cluster.stdout.readline().strip() == "1"
    out, err = started.communicate(timeout=TIMEOUT_S)
    assert started.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["submissions"] == PROGRAMS
    assert summary["engine_errors"] == 0

    plain = tmp_path / "plain"
    done = subprocess.run([*GRADE, *inputs, "-o", f"{plain}/"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rows(labels) == rows(plain)
    assert len(list(labels.glob("labels-*.parquet"))) == 3
