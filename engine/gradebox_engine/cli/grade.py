"""`gradebox grade`: a problems file and a programs file to labels, in a file or a folder of shards."""

import json
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradebox
from gradebox_command.errors import DONE, INTERRUPTED, BadArgument, CommandError, InputError
from gradebox_command.files import Problems, Programs
from gradebox_command.grading import Grader, Grading, Labels, Suites, by_client
from gradebox_command.labels import LabelsFile
from gradebox_command.ledger import Ledger
from gradebox_command.manifest import MANIFEST, Contents, write_manifest
from gradebox_command.session import Engines, open_client
from gradebox_command.shards import FORMATS, LabelsFolder
from gradebox_command.tally import Tally
from gradebox_command.terminal import progress_bar
from gradebox_engine.cli.problem_rows import check_problem


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command. `output` as it was typed: one that ends with a slash is a folder."""

    problems: Path
    programs: Path
    output: str
    engines: Engines
    skip_unknown: bool
    resume: bool
    min_seal: str | None
    stop_early: bool
    shard_format: str
    shard_rows: int
    ray: bool
    as_json: bool


def grade(options: Options) -> int:
    """Grades everything and returns the exit status.

    Raises:
        CommandError, InputError: see errors; what is written stays.
    """
    _check(options)
    signal.signal(signal.SIGTERM, _interrupt)
    with (
        Problems(options.problems, check=check_problem) as problems,
        _readable_twice(options.programs) as file,
    ):
        programs = Programs(file, problems, options.skip_unknown)
        total = programs.count()
        with (
            _open_labels(options) as labels,
            Ledger(labels.ledger, resume=options.resume) as ledger,
        ):
            suites = Suites(problems, min_seal=options.min_seal, stop_early=options.stop_early)
            grading = Grading(programs, suites, labels, ledger)
            contents, tally, resumed = Contents(), Tally(), 0
            if options.resume:
                for written in grading.check_written():
                    contents.add([written.row])
                    resumed += 1
            try:
                facts = None
                if resumed < total:
                    facts = _grade_rest(options, grading, ledger, contents, tally, resumed, total)
                labels.finish()
            except KeyboardInterrupt:
                print(
                    f"gradebox: interrupted: {resumed + tally.submissions:,} of {total:,} labels are in {labels.work}; "
                    "the same command with --resume goes on",
                    file=sys.stderr,
                )
                return INTERRUPTED
            if isinstance(labels, LabelsFolder):
                _write_manifest(options, labels, contents, facts)
            elif labels.ledger is not None:
                ledger.remove()
    _report(options, tally, resumed, grading.graded, programs.skipped)
    return DONE


def _check(options: Options) -> None:
    if options.min_seal is not None and options.min_seal.upper() not in gradebox.Seal.__members__:
        names = ", ".join(name.lower() for name in gradebox.Seal.__members__)
        raise BadArgument(f"--min-seal must be one of {names}, is {options.min_seal!r}")
    if options.shard_format not in FORMATS:
        raise BadArgument(f"--shard-format must be one of {', '.join(FORMATS)}, is {options.shard_format!r}")
    if Path(options.output) in (options.problems, options.programs):
        raise BadArgument(f"{options.output} is an input, too: labels would overwrite it")


def _open_labels(options: Options) -> Labels:
    output = Path(options.output)
    if options.output.endswith("/") or output.is_dir():
        return LabelsFolder(output, resume=options.resume, format=options.shard_format, shard_rows=options.shard_rows)
    return LabelsFile(output, resume=options.resume)


@contextmanager
def _readable_twice(programs: Path) -> Iterator[Path]:
    """The programs file, or a copy of it where it can be read only once (a pipe)."""
    try:
        mode = programs.stat().st_mode
    except OSError as error:
        raise InputError(programs, None, "", error.strerror or str(error)) from None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        yield programs
        return
    with tempfile.TemporaryDirectory(prefix="gradebox-programs-") as folder:
        copy = Path(folder, "programs")
        with programs.open("rb") as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield copy


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _grade_rest(
    options: Options,
    grading: Grading,
    ledger: Ledger,
    contents: Contents,
    tally: Tally,
    resumed: int,
    total: int,
) -> dict[str, Any]:
    """Grades what is not there yet. Returns what the engine says of itself, for the manifest."""
    with _open_grader(options, total - resumed) as (grader, info), progress_bar(total, resumed) as advance:
        ledger.check_images({image.name: image.digest for image in info.images})
        for rows in grading.rows(grader, resumed):
            tally.add(rows)
            contents.add(rows)
            advance(len(rows))
        return {"default_limits": asdict(info.defaults), "images": {image.name: image.digest for image in info.images}}


@contextmanager
def _open_grader(options: Options, programs: int) -> Iterator[tuple[Grader, gradebox.EngineInfo]]:
    if options.ray:
        try:
            from gradebox_trainer.ray_grading import open_cluster
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise CommandError("--ray needs Ray, which is not installed: pip install 'gradebox[ray]'") from None
        with open_cluster(workers=options.engines.workers, programs=programs) as opened:
            yield opened
    else:
        with open_client(options.engines) as client:
            yield by_client(client), client.info()


def _write_manifest(options: Options, labels: LabelsFolder, contents: Contents, facts: dict[str, Any] | None) -> None:
    if facts is None and (labels.path / MANIFEST).exists():
        return  # nothing was added
    write_manifest(
        labels.path,
        contents,
        inputs={"problems": options.problems, "programs": options.programs},
        settings={"min_seal": options.min_seal, "stop_early": options.stop_early, **(facts or {})},
    )


def _report(options: Options, tally: Tally, resumed: int, graded: int, skipped: int) -> None:
    summary = tally.summary()
    if options.as_json:
        print(
            json.dumps({"labels": options.output, "resumed": resumed, "graded": graded, "skipped": skipped, **summary})
        )
    else:
        there = f" ({resumed:,} were there already)" if resumed else ""
        again = tally.submissions - graded
        copies = f"; {again:,} came again, or had been graded before" if again > 0 else ""
        print(f"{options.output}: {tally.words()}{copies}{there}")
        if skipped:
            print(f"{skipped:,} programs were left out, of problems that are not in {options.problems}")
    if summary["engine_errors"]:
        print(
            f"gradebox: {summary['engine_errors']:,} submissions have the verdict ENGINE_ERROR",
            file=sys.stderr,
        )
