"""`gradebox pairs`: reads labels with their programs and prompts, writes the pairs of both splits."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gradebox_command.errors import DONE, BadArgument
from gradebox_command.manifest import MANIFEST, read_manifest
from gradebox_command.rows import SUFFIXES
from gradebox_command.terminal import progress_bar
from gradebox_command.writing import PARQUET_SUFFIXES, RowsFile, write_text
from gradebox_trainer.card import Card, card
from gradebox_trainer.inputs import named_inputs
from gradebox_trainer.labelled import Labelled, LabelledProblem, LabelledProgram
from gradebox_trainer.pair_formats import FORMATS, schema
from gradebox_trainer.pairing import Candidate, Pairing, Rule, distinct, is_validation


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    labels: Path
    problems: Path | None
    programs: Path | None
    output: Path
    format: str
    rule: Rule
    ascii_prompts: bool
    validation: float
    as_json: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A pair of one problem."""

    problem: LabelledProblem
    chosen: Candidate
    rejected: Candidate


def make(options: Options) -> int:
    """Writes the pairs and returns the exit status. Raises CommandError, InputError."""
    if options.format not in FORMATS:
        raise BadArgument(f"--format must be one of {', '.join(FORMATS)}, is {options.format!r}")
    train, validation = _outputs(options.output)
    problems, programs = named_inputs(options.labels, options.problems, options.programs)
    counts: Counter[str] = Counter()
    with Labelled(options.labels, problems, programs) as labelled, ExitStack() as files:
        columns = schema(options.format) if train.suffix in PARQUET_SUFFIXES else None
        writers = [files.enter_context(RowsFile(path, columns)) for path in (train, validation)]
        with progress_bar(len(labelled), what="pairing") as advance:
            for pair in each_pair(labelled, options.rule, counts, ascii_prompts=options.ascii_prompts, advance=advance):
                held_out = is_validation(pair.problem.prompt, options.validation, options.rule.seed)
                writer = writers[held_out]
                row = FORMATS[options.format](
                    writer.rows, pair.problem.id, pair.problem.prompt, pair.chosen, pair.rejected
                )
                writer.write([row])
                counts["validation" if held_out else "train"] += 1
        rows = [writer.rows for writer in writers]
    if train.parent == options.output:
        _write_card(options, counts, {"train": (train, rows[0]), "validation": (validation, rows[1])})
    _report(options, train, validation, counts)
    return DONE


def each_pair(
    labelled: Labelled,
    rule: Rule,
    counts: Counter[str],
    *,
    ascii_prompts: bool = False,
    advance: Any = lambda count: None,
) -> Iterator[Pair]:
    """The pairs of all problems, in their order. `counts` gets what became of labels and problems."""
    pairing = Pairing(rule)
    for problem in labelled:
        counts["problems"] += 1
        counts["labels"] += len(problem.programs)
        advance(1)
        if ascii_prompts and not problem.prompt.isascii():
            counts["problems_not_ascii"] += 1
            continue
        candidates, copies, unsteady = distinct(_candidates(problem, counts))
        counts["copies"] += copies
        counts["copies_that_disagree"] += unsteady
        pairs = pairing.pairs(problem.id, candidates)
        counts["problems_with_pairs"] += bool(pairs)
        for chosen, rejected in pairs:
            counts["pairs"] += 1
            yield Pair(problem, chosen, rejected)


def _candidates(problem: LabelledProblem, counts: Counter[str]) -> Iterator[Candidate]:
    for labelled in problem.programs:
        if (reason := unfit(labelled)) is not None:
            counts[reason] += 1
            continue
        label = labelled.label
        counts["labels_with_skipped_tests"] += any(test.get("verdict") == "SKIPPED" for test in label["tests"])
        yield Candidate(labelled.program, label["program_sha256"], label["pass_rate"], labelled.generator)


def unfit(labelled: LabelledProgram) -> str | None:
    """Why a label is in no pair: its rate is over a part of the tests, or its program is no text. None: it may be."""
    tests = labelled.label["tests"]
    if labelled.label["pass_rate"] is None or any(test.get("verdict") == "ENGINE_ERROR" for test in tests):
        return "labels_with_engine_errors"
    if any("\ud800" <= character <= "\udfff" for character in labelled.program):
        return "programs_not_unicode"
    return None


def _outputs(output: Path) -> tuple[Path, Path]:
    for suffix in SUFFIXES:
        if output.name.endswith(suffix):
            return output, output.with_name(f"{output.name.removesuffix(suffix)}.validation{suffix}")
    if output.suffix and not output.is_dir():
        raise BadArgument(f"{output}: must end with {', '.join(SUFFIXES)}, or be a folder")
    return output / "train.parquet", output / "validation.parquet"


def _write_card(options: Options, counts: Counter[str], splits: dict[str, tuple[Path, int]]) -> None:
    has_manifest = options.labels.is_dir() and (options.labels / MANIFEST).exists()
    made = Card(
        name=options.output.name,
        license="other",
        what="Preference pairs of programs that models wrote, by their pass rates.",
        columns=schema(options.format),
        splits={
            name: (file.relative_to(options.output), rows)
            for name, (file, rows) in splits.items()
            if rows or name == "train"
        },
        counts={key: counts[key] for key in _KEYS},
        manifest=read_manifest(options.labels) if has_manifest else {},
        rule={**asdict(options.rule), "ascii_prompts": options.ascii_prompts, "validation": options.validation},
    )
    write_text(options.output / "README.md", card(made))


def _report(options: Options, train: Path, validation: Path, counts: Counter[str]) -> None:
    if options.as_json:
        keys = (*_KEYS, *sorted(counts.keys() - set(_KEYS)))
        print(json.dumps({"train": str(train), "validation": str(validation), "counts": {k: counts[k] for k in keys}}))
    else:
        print(
            f"{train}: {counts['train']:,} pairs; {validation}: {counts['validation']:,}\n"
            f"{counts['problems_with_pairs']:,} of {counts['problems']:,} problems gave pairs; "
            f"{counts['labels']:,} labels, of which {counts['copies']:,} are copies of a program "
            f"and {counts['labels_with_engine_errors']:,} have an engine error"
        )
    if skipped := counts["labels_with_skipped_tests"]:
        print(
            f"gradebox: {skipped:,} labels have skipped tests, which count as not passed: "
            "their pass rates are no measure of quality (--stop-early, --min-seal)",
            file=sys.stderr,
        )


_KEYS = (
    "pairs",
    "train",
    "validation",
    "problems",
    "problems_with_pairs",
    "labels",
    "labels_with_engine_errors",
    "copies",
    "copies_that_disagree",
)
