#!/usr/bin/env python3
"""Labelling by the million: `gradebox grade` into a folder of shards, alone and on a Ray cluster on this machine.

usage: python -m tests.benchmarks.label_scale [--tests N] [--ways plain,ray,ray-kill] [--nodes N] [--data DIR]
                                              [--every-s S] [--json OUT]

Real programs for HumanEval (DIR: ../shared/data beside the repository; without it, the shipped sample) are repeated
until they make N test cases, each copy with a comment of its own at its end, since equal programs would be graded once.
Those that ran into a time limit when the data were made are left out: they would measure the limit. `ray-kill` ends a
node when half is graded. All ways must give the same rows, but for times and memory: exit status 1 where one does not.

For each tenth of a run: rate, CPU time a submission of everything that was started (by control group), memory (PSS) of
the command and of all its processes together. On one machine the nodes of `ray` share its cores.
"""

import argparse
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from gradebox_command.rows import read_rows
from gradebox_engine import samples
from gradebox_engine.bench.cpu import CpuMeter, meters

DEFAULT_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
PYTHON = (sys.executable, "-W", "ignore", "-m")
PROGRAMS_A_ROW = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """State of a run at one time: seconds since its start, distinct programs graded, CPU seconds, MiB."""

    time_s: float
    graded: int
    cpu_time_s: float
    command_mib: float
    all_mib: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tests", type=int, default=1_000_000)
    parser.add_argument("--ways", default="plain,ray,ray-kill")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--every-s", type=float, default=2.0)
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    os.environ["GRADEBOX_CACHE_BYTES"] = "0"
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="label-scale-") as name:
        folder = Path(name)
        submissions = write_inputs(folder, arguments.data, arguments.tests)
        for way in arguments.ways.split(","):
            load = os.getloadavg()[0]
            taken = run(folder, way, arguments, submissions)
            digest = rows_digest(folder / way)
            found[way] = {"load_before": load, "digest": digest, "samples": [asdict(sample) for sample in taken]}
            show(way, taken, arguments.tests, submissions, load)
    if arguments.json:
        arguments.json.write_text(json.dumps({"tests": arguments.tests, "submissions": submissions, "ways": found}))
    same = len({each["digest"] for each in found.values()}) == 1
    print(f"rows of all ways: {'the same' if same else 'DIFFERENT'}")
    return 0 if same else 1


def write_inputs(folder: Path, data: Path, tests: int) -> int:
    """Writes problems and programs; returns the number of submissions."""
    problems, programs = real_rows(data) if (data / "truth").is_dir() else sample_rows()
    with (folder / "problems.jsonl").open("w") as file:
        for row in problems.values():
            file.write(json.dumps(row) + "\n")
    submissions = copy = 0
    with (folder / "programs.jsonl").open("w") as file:
        while tests > 0:
            for id, text in programs:
                if tests <= 0:
                    break
                if submissions % PROGRAMS_A_ROW == 0:
                    pending: dict[str, list[str]] = {}
                pending.setdefault(id, []).append(f"{text}\n# copy {copy}\n")
                submissions += 1
                tests -= len(problems[id]["tests"])
                if submissions % PROGRAMS_A_ROW == 0 or tests <= 0:
                    for each, texts in pending.items():
                        file.write(json.dumps({"id": each, "programs": texts}) + "\n")
            copy += 1
    return submissions


def real_rows(data: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """HumanEval's problems, and the programs of the mixed generators that took no more than two seconds a test."""
    truth = {
        (row["id"], row["generator"]): row["vectors"]
        for _, row in read_rows(data / "truth" / "truth_humaneval_mixed.jsonl.gz")
    }
    programs: dict[tuple[str, str], None] = {}
    for _, row in read_rows(data / "samples" / "humaneval_mixed.jsonl.gz"):
        for text, vector in zip(row["programs"], truth.get((row["id"], row["generator"]), ()), strict=False):
            if not set(vector) & set("TK-"):
                programs[row["id"], text] = None
    wanted = {id for id, _ in programs}
    kept = ("id", "entry_point", "test_setup", "tests")
    problems = {
        row["id"]: {name: row[name] for name in kept if row.get(name)}
        for _, row in read_rows(data / "problems" / "humaneval.jsonl.gz")
        if row["id"] in wanted
    }
    return problems, list(programs)


def sample_rows() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The shipped sample's problems with string tests, and their programs that pass."""
    problems, programs = {}, []
    for sample in samples.load():
        if all(isinstance(test, str) for test in sample.problem["tests"]):
            problems[sample.problem["id"]] = dict(sample.problem)
            programs += [
                (sample.problem["id"], text)
                for text, expected in zip(sample.programs, sample.expected, strict=True)
                if expected.allows("PASSED", 1.0)
            ]
    return problems, programs


def run(folder: Path, way: str, arguments: argparse.Namespace, submissions: int) -> list[Sample]:
    """Grades everything in one way; returns its samples."""
    environment = dict(os.environ)
    with closing(meters([way])[way]) as meter:
        cluster = None
        flags: list[str] = []
        if way.startswith("ray"):
            cluster = start_cluster(meter, arguments.nodes, folder / f"{way}.log")
            assert cluster.stdout is not None
            environment["RAY_ADDRESS"] = cluster.stdout.readline().strip()
            if not environment["RAY_ADDRESS"]:
                sys.exit(f"{way}: no cluster:\n{(folder / f'{way}.log').read_text()}")
            flags = ["--ray"]
        inputs = [str(folder / "problems.jsonl"), str(folder / "programs.jsonl")]
        try:
            process = started(
                [*PYTHON, "gradebox_engine", "grade", *inputs, "-o", f"{folder / way}/", *flags], meter, environment
            )
            taken = watch(process, cluster, meter, folder / way, arguments.every_s, submissions, kill=way == "ray-kill")
        finally:
            if cluster is not None:
                assert cluster.stdin is not None
                with suppress(BrokenPipeError):
                    cluster.stdin.close()
                cluster.wait(120)
        if process.returncode:
            sys.exit(f"{way}: exit status {process.returncode}")
        return taken


def start_cluster(meter: CpuMeter, nodes: int, log: Path) -> "subprocess.Popen[str]":
    cpus = max(1, (os.cpu_count() or 1) // nodes)
    argv = [*PYTHON, "tests.e2e.ray_cluster", "--nodes", str(nodes), "--cpus", str(cpus)]
    with log.open("w") as said:
        return started(argv, meter, dict(os.environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)


def started(argv: list[str], meter: CpuMeter, environment: dict[str, str], **streams: Any) -> "subprocess.Popen[str]":
    """A process that is counted from its first instruction: it waits for a byte before it becomes what it is to be."""
    read, write = os.pipe()
    gate = [sys.executable, "-c", f"import os, sys; os.read({read}, 1); os.execv(sys.argv[1], sys.argv[1:])", *argv]
    process = subprocess.Popen(gate, env=environment, text=True, pass_fds=(read,), **streams)
    os.close(read)
    meter.add(process.pid)
    os.write(write, b"x")
    os.close(write)
    return process


def watch(
    process: "subprocess.Popen[str]",
    cluster: "subprocess.Popen[str] | None",
    meter: CpuMeter,
    labels: Path,
    every_s: float,
    submissions: int,
    *,
    kill: bool,
) -> list[Sample]:
    """Samples a run until it ends; with `kill`, ends a node of the cluster when half is graded."""
    began_s, before_s = time.monotonic(), meter.cpu_time_s()
    taken: list[Sample] = []
    roots = [process.pid, *([cluster.pid] if cluster else [])]
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(every_s)
        ended = process.returncode is not None
        graded = graded_so_far(labels / "_ledger.sqlite")
        memory = [memory_mib(process.pid, alone=True), sum(memory_mib(root) for root in roots)]
        taken.append(Sample(time.monotonic() - began_s, graded, meter.cpu_time_s() - before_s, *memory))
        if ended:
            return taken
        if kill and graded > submissions // 2:
            assert cluster is not None and cluster.stdin is not None
            cluster.stdin.write("kill\n")
            cluster.stdin.flush()
            print(f"a node is killed at {graded:,} of {submissions:,}", flush=True)
            kill = False


def graded_so_far(ledger: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
            count: int = database.execute("SELECT count(*) FROM labels WHERE final").fetchone()[0]
            return count
    except sqlite3.Error:
        return 0


def memory_mib(pid: int, *, alone: bool = False) -> float:
    """PSS of a process, and of its descendants unless `alone`."""
    total = 0
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in [root, *([] if alone else root.children(recursive=True))]:
            with suppress(psutil.Error, OSError):
                rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def rows_digest(labels: Path) -> str:
    """A digest of all rows, in order, without what depends on the run: times and memory."""
    digest = hashlib.sha256()
    for _, row in read_rows(labels):
        tests = [(test["verdict"], test["seal"]) for test in row["tests"]]
        kept = [row["id"], row["program_index"], row["program_sha256"], row["verdict"], row["pass_rate"], tests]
        digest.update(json.dumps(kept).encode() + b"\n")
    return digest.hexdigest()


def show(way: str, taken: list[Sample], tests: int, submissions: int, load: float) -> None:
    end = taken[-1]
    cpu_ms = end.cpu_time_s / submissions * 1000
    print(
        f"{way}: {submissions:,} submissions, {tests:,} tests in {end.time_s:.1f} s: "
        f"{submissions / end.time_s:.0f} submissions/s, {tests / end.time_s:.0f} tests/s, "
        f"{cpu_ms:.2f} ms CPU a submission (load before: {load:.1f})"
    )
    print(f"{'graded':>12} {'per s':>8} {'CPU ms':>8} {'command MiB':>12} {'all MiB':>9}")
    for before, after in tenths(taken, submissions):
        count, seconds = after.graded - before.graded, after.time_s - before.time_s
        cpu = (after.cpu_time_s - before.cpu_time_s) / max(count, 1) * 1000
        print(f"{after.graded:12,} {count / seconds:8.0f} {cpu:8.2f} {after.command_mib:12.0f} {after.all_mib:9.0f}")
    peak = max(taken, key=lambda sample: sample.all_mib)
    print(f"peak memory: command {max(s.command_mib for s in taken):.0f} MiB, all {peak.all_mib:.0f} MiB", flush=True)


def tenths(taken: list[Sample], submissions: int) -> Iterator[tuple[Sample, Sample]]:
    """The samples at which each tenth was done, with the one before."""
    before, step = Sample(0.0, 0, 0.0, 0.0, 0.0), 1
    for sample in taken[:-1]:
        if sample.graded >= submissions * step / 10:
            yield before, sample
            before = sample
            step = sample.graded * 10 // submissions + 1


if __name__ == "__main__":
    sys.exit(main())
