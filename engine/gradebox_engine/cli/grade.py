"""`gradebox grade`: a problems file and a programs file to a labels file."""

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import gradebox
from gradebox_command.errors import DONE, INTERRUPTED, BadArgument, InputError
from gradebox_command.files import Problems, count_programs, read_programs
from gradebox_command.labels import LabelsFile
from gradebox_command.session import Engines, grade_units, open_client, to_units
from gradebox_command.tally import Tally
from gradebox_command.terminal import progress_bar
from gradebox_engine.cli.problem_rows import check_problem


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    problems: Path
    programs: Path
    output: Path
    engines: Engines
    resume: bool
    min_seal: str | None
    stop_early: bool
    as_json: bool


def grade(options: Options) -> int:
    """Grades everything and returns the exit status.

    Raises:
        CommandError, InputError: see errors; what is written stays.
    """
    if options.min_seal is not None and options.min_seal.upper() not in gradebox.Seal.__members__:
        names = ", ".join(name.lower() for name in gradebox.Seal.__members__)
        raise BadArgument(f"--min-seal must be one of {names}, is {options.min_seal!r}")
    if options.output in (options.problems, options.programs):
        raise BadArgument(f"{options.output} is an input, too: labels would overwrite it")
    signal.signal(signal.SIGTERM, _interrupt)
    with Problems(options.problems, check=check_problem) as problems:
        total = count_programs(options.programs, problems)
        with LabelsFile(options.output, resume=options.resume) as labels:
            resumed = _check_written(labels, options, problems) if options.resume else 0
            tally = Tally()
            try:
                if total is None or resumed < total:
                    _grade_rest(options, problems, labels, tally, resumed, total)
                labels.finish()
            except KeyboardInterrupt:
                written = f"{resumed + tally.submissions:,}"
                of = f" of {total:,}" if total is not None else ""
                print(
                    f"gradebox: interrupted: {written}{of} labels are in {labels.work}; "
                    "the same command with --resume goes on",
                    file=sys.stderr,
                )
                return INTERRUPTED
    _report(options, tally, resumed)
    return DONE


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _grade_rest(
    options: Options,
    problems: Problems,
    labels: LabelsFile,
    tally: Tally,
    resumed: int,
    total: int | None,
) -> None:
    units = to_units(read_programs(options.programs, problems), skip=resumed)
    with (
        open_client(options.engines) as client,
        progress_bar(total, resumed) as advance,
    ):
        graded = grade_units(client, units, problems, min_seal=options.min_seal, stop_early=options.stop_early)
        for _, rows in graded:
            labels.append(rows)
            tally.add(rows)
            advance(len(rows))


def _check_written(labels: LabelsFile, options: Options, problems: Problems) -> int:
    """How many labels are there. Raises InputError where they are not those of the input."""
    submissions: Iterator[tuple[str, int, str]] = (
        (row.id, index, program)
        for row in read_programs(options.programs, problems)
        for index, program in enumerate(row.programs)
    )
    count = 0
    for written in labels.written():
        count += 1
        id, index, program = next(submissions, ("", -1, ""))
        digest = sha256(program.encode("utf-8", "surrogatepass")).hexdigest()
        for field, found, expected in (
            ("id", written.id, id),
            ("program_index", written.program_index, index),
            ("program_sha256", written.program_sha256, digest),
        ):
            if index == -1 or found != expected:
                raise InputError(
                    labels.work,
                    written.line,
                    field,
                    f"not that of program {count} in {options.programs}: --resume goes on with the same input only",
                )
    return count


def _report(options: Options, tally: Tally, resumed: int) -> None:
    summary = tally.summary()
    if options.as_json:
        print(json.dumps({"labels": str(options.output), "resumed": resumed, **summary}))
    else:
        there = f" ({resumed:,} were there already)" if resumed else ""
        print(f"{options.output}: {tally.words()}{there}")
    if summary["engine_errors"]:
        print(
            f"gradebox: {summary['engine_errors']:,} submissions have the verdict ENGINE_ERROR",
            file=sys.stderr,
        )
