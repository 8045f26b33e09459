"""The command line with real engines: what is kept after kill -9 and Ctrl-C, exit statuses, output."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gradebox_engine import samples

pytestmark = [pytest.mark.usefixtures("jails"), pytest.mark.xdist_group("machine")]

COMMAND = (sys.executable, "-m", "gradebox_engine")
# A few milliseconds each, so that there is time to end the command between the first and the last.
PROGRAMS = [
    f"import time  # {n}: each is graded\ntime.sleep(0.02)\ndef f(x):\n    return x + {n % 2}\n" for n in range(200)
]  # time to interrupt them


def run(*argv: str | Path, status: int = 0) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run([*COMMAND, *map(str, argv)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    return done


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def labels_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    """200 programs, every other one right."""
    problems = write(tmp_path / "problems.jsonl", {"id": "p", "tests": ["assert f(1) == 2"]})
    rows = ({"id": "p", "programs": PROGRAMS[start : start + 50]} for start in range(0, 200, 50))
    return problems, write(tmp_path / "programs.jsonl", *rows)


def is_complete(labels: list[dict[str, Any]]) -> bool:
    places = [(at // 50, at % 50) for at in range(200)]
    assert [label["program_index"] for label in labels] == [index for _, index in places]
    assert [label["verdict"] for label in labels] == ["WRONG_ANSWER", "PASSED"] * 100
    return True


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_ended_and_resumed(tmp_path: Path, inputs: tuple[Path, Path], number: int) -> None:
    output = tmp_path / "labels.jsonl"
    argv = ["grade", *map(str, inputs), "-o", str(output)]
    started = subprocess.Popen([*COMMAND, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    end_s = time.monotonic() + 60
    while lines(output) < 20 and started.poll() is None and time.monotonic() < end_s:
        time.sleep(0.005)
    os.kill(started.pid, number)
    started.communicate(timeout=30)
    assert started.returncode == (-9 if number == signal.SIGKILL else 130)
    kept = output.read_bytes().rpartition(b"\n")[0] + b"\n"
    assert 20 <= kept.count(b"\n") < 200
    summary = json.loads(run(*argv, "--resume", "--json").stdout)
    assert summary["resumed"] == kept.count(b"\n")
    assert output.read_bytes().startswith(kept)
    assert is_complete(labels_of(output))


def test_gzip_and_parquet_labels(tmp_path: Path, inputs: tuple[Path, Path]) -> None:
    import gzip

    import pyarrow.parquet as pq

    run("grade", *inputs, "-o", tmp_path / "labels.jsonl.gz")
    run("grade", *inputs, "-o", tmp_path / "labels.parquet")
    packed = gzip.decompress((tmp_path / "labels.jsonl.gz").read_bytes())
    assert is_complete([json.loads(line) for line in packed.splitlines()])
    assert is_complete(pq.read_table(tmp_path / "labels.parquet").to_pylist())
    assert not list(tmp_path.glob("*.partial"))


def test_two_engines_share_the_work(tmp_path: Path, inputs: tuple[Path, Path]) -> None:
    servers = []
    try:
        for name in ("a", "b"):
            address = f"unix:{tmp_path / name}"
            argv = [*COMMAND, "serve", "--listen", address, "--workers", "1"]
            servers.append(subprocess.Popen(argv, stderr=subprocess.DEVNULL))
        end_s = time.monotonic() + 60
        while not all((tmp_path / name).exists() for name in ("a", "b")):
            assert time.monotonic() < end_s
            time.sleep(0.05)
        output = tmp_path / "labels.jsonl"
        engines = [f"--engine=unix:{tmp_path / name}" for name in ("a", "b")]
        argv = [*COMMAND, "grade", *map(str, inputs), "-o", str(output), *engines]
        started = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        while lines(output) < 20 and started.poll() is None:
            time.sleep(0.005)
        servers[0].kill()  # the other one does the rest
        assert started.wait(60) == 0
        assert is_complete(labels_of(output))
        servers[1].terminate()
        assert servers[1].wait(30) == 0
    finally:
        for server in servers:
            server.kill()
            server.wait()


def test_hostile_input_gets_verdicts_and_nothing_is_lost(tmp_path: Path) -> None:
    hostile = ["\x00", "\ud800", "(" * 100_000, "", "x = 1\n" * 9_000_000, PROGRAMS[1]]
    problems = write(
        tmp_path / "problems.jsonl",
        {"id": "p\x00é", "tests": ["assert f(1) == 2"] * 10_000, "limits": {"cpu_time_s": 60}},
    )
    programs = write(tmp_path / "programs.jsonl", {"id": "p\x00é", "programs": hostile})
    run("grade", problems, programs, "-o", tmp_path / "labels.jsonl")
    labels = labels_of(tmp_path / "labels.jsonl")
    assert [label["verdict"] for label in labels] == [
        "COMPILE_ERROR",
        "COMPILE_ERROR",
        "COMPILE_ERROR",
        "RUNTIME_ERROR",
        "COMPILE_ERROR",
        "PASSED",
    ]


def test_run_shows_output_and_use(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint(input()[::-1])\nprint('e', file=sys.stderr)\n")
    given = tmp_path / "stdin"
    given.write_text("abc\n")
    done = run("run", program, "--stdin", given)
    assert done.stdout == "cba\n"
    assert done.stderr.startswith("e\nPASSED, exit status 0: ")
    program.write_text("raise SystemExit(3)")
    answer = json.loads(run("run", program, "--json", status=1).stdout)
    assert (answer["verdict"], answer["exit_code"]) == ("RUNTIME_ERROR", 3)


def test_doctor_finds_this_machine_fit() -> None:
    answer = json.loads(run("doctor", "--json").stdout)
    assert {check["name"] for check in answer["checks"]} >= {"seccomp", "memory limit", "canary"}


def test_demo_gives_what_its_sample_expects() -> None:
    """By what the sample itself allows, and by what the command makes of that."""
    done = subprocess.run([*COMMAND, "demo", "--json"], capture_output=True, text=True, timeout=300, check=False)
    answer = json.loads(done.stdout)
    expected = {
        (sample.problem["id"], index): each for sample in samples.load() for index, each in enumerate(sample.expected)
    }
    assert sorted((label["id"], label["program_index"]) for label in answer["labels"]) == sorted(expected)
    assert answer["submissions"] == len(answer["labels"]) > 200
    wrong = [
        (label["id"], label["verdict"], label["pass_rate"], each)
        for label in answer["labels"]
        for each in [expected[label["id"], label["program_index"]]]
        if not each.allows(label["verdict"], label["pass_rate"])
    ]
    assert not wrong
    assert (done.returncode, answer["unexpected"]) == (0, 0), done.stderr
