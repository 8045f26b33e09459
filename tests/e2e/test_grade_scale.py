"""Grading into a folder of shards with real engines: kill -9 at any time, and nothing is lost or graded twice."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.e2e.test_ray import graded

from gradebox_command.rows import read_rows

pytestmark = [pytest.mark.usefixtures("jails"), pytest.mark.xdist_group("machine")]

GRADE = (sys.executable, "-m", "gradebox_engine", "grade")
DISTINCT = 160


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    """Each program comes twice, far apart: Parquet in, too."""
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist([{"id": "p", "tests": ["assert f(1) == 2"]}]), tmp_path / "problems.parquet")
    programs = [f"import time  # {n}\ntime.sleep(0.02)\ndef f(x):\n    return x + {n % 2}\n" for n in range(DISTINCT)]
    rows = [{"id": "p", "programs": programs[start : start + 40]} for start in [*range(0, DISTINCT, 40)] * 2]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "programs.parquet")
    return tmp_path / "problems.parquet", tmp_path / "programs.parquet"


def runs(ledger: Path) -> dict[int, int]:
    """How many labels each run made."""
    with sqlite3.connect(ledger) as database:
        found = dict(database.execute("SELECT run, count(*) FROM labels WHERE label IS NOT NULL GROUP BY run"))
    database.close()
    return found


def test_killed_three_times_nothing_is_lost_or_done_twice(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "labels"
    argv = [*GRADE, *map(str, inputs), "-o", f"{folder}/", "--shard-rows", "50", "--resume"]
    before = 0
    for _ in range(3):
        started = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end_s = time.monotonic() + 60
        while graded(folder / "_ledger.sqlite") < before + 20 and started.poll() is None and time.monotonic() < end_s:
            time.sleep(0.005)
        os.kill(started.pid, signal.SIGKILL)
        started.communicate(timeout=30)
        assert started.returncode == -signal.SIGKILL
        kept = graded(folder / "_ledger.sqlite")
        assert before + 20 <= kept < DISTINCT
        before = kept
    done = subprocess.run([*argv, "--json"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["graded"] == DISTINCT - before
    assert summary["resumed"] + summary["submissions"] == 2 * DISTINCT
    by_run = runs(folder / "_ledger.sqlite")
    assert sum(by_run.values()) == DISTINCT
    assert list(by_run.values())[-1] == DISTINCT - before
    rows = [row for _, row in read_rows(folder)]
    assert [row["program_index"] for row in rows] == [*range(40)] * (2 * DISTINCT // 40)
    assert [row["verdict"] for row in rows] == ["WRONG_ANSWER", "PASSED"] * DISTINCT
    assert rows[:DISTINCT] == rows[DISTINCT:]  # graded once: the same to the last digit
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
