"""From seeds to preference pairs and a report, with no model server but recorded answers: `make pipeline`.

usage: run.py [--data DIR] [--output DIR] [--every N] [--check]

DIR of data (default: ../shared/data beside the repository) is as recordings.published wants it; without it, the small
sample that is shipped with the tests is taken. --every N: each n-th task only. --check: the whole chain three times,
the third one killed with SIGKILL in the middle of each stage that takes long; all must give the same files.

Every stage is a command of gradebox, run as a user would, and is skipped where its output is there already; a stage
that was ended in the middle goes on. So this script is killed and started again like any of its commands.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.pipeline import recordings
from tests.pipeline.recordings import Recording, Source
from tests.pipeline.replay import ReplayServer

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_DATA = ROOT.parent / "shared" / "data"

_TIMES = re.compile(r'"(?:cpu_time_s|wall_time_s)":[0-9.e+-]+|"memory_bytes":\d+')


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of one run lie."""

    folder: Path

    def __getitem__(self, name: str) -> Path:
        return self.folder / name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "pipeline")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    source = source_at(arguments.data)
    if arguments.check:
        return check(source, arguments)
    started = time.monotonic()
    files = chain(source, arguments.output, arguments.every)
    print(f"{time.monotonic() - started:.0f} s; without times and memory:")
    for name, digest in digests(files).items():
        print(f"  {digest[:16]}  {arguments.output / name}")
    return 0


def source_at(data: Path) -> Source:
    """The published data in a folder, or the shipped sample where it is not there."""
    if (data / "gentests").is_dir():
        return recordings.published(data)
    print(f"no published data in {data}: the shipped sample it is")
    return recordings.shipped()


def chain(source: Source, output: Path, every: int) -> list[Path]:
    """Runs what is not yet done; returns the files that a run is known by."""
    output.mkdir(parents=True, exist_ok=True)
    files = [path for recording in source.recordings for path in label(source, recording, Place(output), every)]
    return files


def label(source: Source, recording: Recording, place: Place, every: int) -> list[Path]:
    """From seeds to labels by the tests of one recorded model, and how well they agree with the trusted tests."""
    tasks = recordings.tasks(source, every)
    stage = Place(place[recording.model])
    stage.folder.mkdir(exist_ok=True)
    write(place["seeds.jsonl"], lambda: map(recordings.seed, tasks))
    write(place["trusted.jsonl"], lambda: tasks)
    write(place["programs.jsonl.gz"], lambda: programs(source, {task["id"] for task in tasks}))

    if not stage["problems.jsonl"].exists():
        answers = recordings.recorded(source, recording)
        with ReplayServer(lambda prompt: answers.get(recordings.code_in(prompt))) as server:
            evaluations = [word for name in source.evaluations for word in ("--evaluation", source.folder / name)]
            settings = ("--model", recording.model, "--endpoint", server.url, "--answers", str(recording.answers))
            gradebox("synthesize", place["seeds.jsonl"], "-o", stage["problems.jsonl"], *settings, *evaluations)

    problems = ids(stage["problems.jsonl"])
    write(stage["strong.jsonl"], lambda: programs_of(place, problems, lambda name: name == source.strong))
    if not stage["kept.jsonl"].exists():
        strong = ("--strong", source.strong)
        gradebox("filter", stage["problems.jsonl"], stage["strong.jsonl"], "-o", stage["kept.jsonl"], *strong)

    kept = ids(stage["kept.jsonl"])
    write(stage["programs.jsonl.gz"], lambda: programs_of(place, kept, lambda name: True))
    for problems_file, labels in (
        (stage["kept.jsonl"], "labels.jsonl.gz"),
        (place["trusted.jsonl"], "trusted.jsonl.gz"),
    ):
        if not stage[labels].exists():
            gradebox("grade", problems_file, stage["programs.jsonl.gz"], "-o", stage[labels], "--resume")
    gradebox(
        "agreement", stage["labels.jsonl.gz"], stage["trusted.jsonl.gz"], "--programs", stage["programs.jsonl.gz"],
        "--leave-out", source.strong, "-o", stage["agreement.json"],
    )  # fmt: skip
    names = (
        "problems.jsonl",
        "kept.jsonl",
        "kept.tests.jsonl",
        "labels.jsonl.gz",
        "trusted.jsonl.gz",
        "agreement.json",
    )
    return [stage[name] for name in names]


def gradebox(*arguments: str | Path) -> None:
    """Runs a command of gradebox, and shows it."""
    words = [str(word) for word in arguments]
    print("$ gradebox " + " ".join(word.removeprefix(f"{ROOT}/") for word in words), flush=True)
    status = subprocess.run([sys.executable, "-m", "gradebox_engine", *words], check=False).returncode
    if status:
        sys.exit(status)


def programs(source: Source, wanted: set[str]) -> Iterator[dict[str, Any]]:
    """The programs of the source for some tasks."""
    for name, most in source.programs:
        for row in recordings.rows(source.folder / name):
            if row["id"] in wanted:
                yield {"id": row["id"], "generator": row["generator"], "programs": row["programs"][:most]}


def programs_of(place: Place, wanted: set[str], chosen: Callable[[str], bool]) -> Iterator[dict[str, Any]]:
    """Programs of the run for some problems, by some generators."""
    for row in recordings.rows(place["programs.jsonl.gz"]):
        if row["id"] in wanted and chosen(row["generator"]):
            yield row


def ids(path: Path) -> set[str]:
    """The ids of a problems file."""
    return {row["id"] for row in recordings.rows(path)}


def write(path: Path, made: Callable[[], Iterable[dict[str, Any]]]) -> None:
    """Writes rows, where the file is not there already; it appears whole."""
    if path.exists():
        return
    data = "".join(json.dumps(row) + "\n" for row in made()).encode()
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    os.replace(fresh, path)


def digests(files: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file, as text, without what is measured: times and memory."""
    found = {}
    for path in files:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        name = f"{path.parent.name}/{path.name}"
        found[name] = hashlib.sha256(_TIMES.sub("", data.decode()).encode()).hexdigest()
    return found


def check(source: Source, arguments: argparse.Namespace) -> int:
    """Three runs: two whole ones, and one that is killed."""
    first = digests(chain(source, arguments.output / "first", arguments.every))
    second = digests(chain(source, arguments.output / "second", arguments.every))
    killed = arguments.output / "killed"
    kills = run_and_kill(arguments, killed)
    third = digests(chain(source, killed, arguments.every))
    print(f"killed {kills} times")
    for name, digest in first.items():
        same = digest == second[name] == third[name]
        print(f"  {'same     ' if same else 'DIFFERENT'} {digest[:16]}  {name}")
    return 0 if first == second == third else 1


def run_and_kill(arguments: argparse.Namespace, output: Path) -> int:
    """Starts the chain, and kills it with all its processes each time one of `_MOMENTS` is there."""
    kills = 0
    command = [sys.executable, "-m", "tests.pipeline.run", "--data", str(arguments.data), "--output", str(output)]
    for pattern, lines in _MOMENTS:
        process = subprocess.Popen(
            [*command, "--every", str(arguments.every)], cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL
        )
        while process.poll() is None and not any(_lines(path) >= lines for path in output.glob(pattern)):
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    return kills


_MOMENTS = (("*/problems.answers.jsonl", 4), ("*/kept.graded.jsonl", 1), ("*/labels.jsonl.gz.partial", 20))
"""A file of a stage that is under way, and how many lines it has when the stage is killed."""


def _lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    sys.exit(main())
