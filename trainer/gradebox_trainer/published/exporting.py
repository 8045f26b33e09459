"""`gradebox export`: labelled problems as a data set that can be published: AceCode-87K's columns, with a card."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from gradebox_command.errors import DONE
from gradebox_command.manifest import MANIFEST, read_manifest
from gradebox_command.terminal import progress_bar
from gradebox_command.writing import RowsFile, write_text
from gradebox_trainer.card import Card, card
from gradebox_trainer.inputs import named_inputs
from gradebox_trainer.labelled import Labelled
from gradebox_trainer.published import acecode


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    labels: Path
    output: Path
    problems: Path | None
    programs: Path | None
    name: str | None
    license: str
    as_json: bool


def run(options: Options) -> int:
    """Writes the folder and returns the exit status. Raises CommandError, InputError."""
    problems, programs = named_inputs(options.labels, options.problems, options.programs)
    data = options.output / "data" / "train-00000-of-00001.parquet"
    left_out: list[str] = []
    counts = {"problems": 0, "programs": 0, "tests": 0}
    with (
        Labelled(options.labels, problems, programs) as labelled,
        progress_bar(len(labelled), what="exporting") as advance,
        RowsFile(data, acecode.schema()) as file,
    ):
        for row in acecode.rows(labelled, left_out):
            file.write([row])
            counts["problems"] += 1
            counts["programs"] += len(row["inferences"])
            counts["tests"] += len(row["test_cases"])
            advance(1)
    has_manifest = options.labels.is_dir() and (options.labels / MANIFEST).exists()
    made = Card(
        name=options.name or options.output.name,
        license=options.license,
        what="Coding problems with assert tests, models' programs, and their pass rates (AceCode-87K's columns).",
        columns=acecode.schema(),
        splits={"train": (data.relative_to(options.output), counts["problems"])},
        counts=counts,
        manifest=read_manifest(options.labels) if has_manifest else {},
    )
    write_text(options.output / "README.md", card(made))
    if left_out:
        print(
            f"gradebox: {len(left_out):,} problems left out, since AceCode's columns hold assert tests only: "
            f"{', '.join(left_out[:5])}{' …' if len(left_out) > 5 else ''}",
            file=sys.stderr,
        )
    if options.as_json:
        print(json.dumps({"folder": str(options.output), "left_out": len(left_out), **counts}))
    else:
        print(f"{options.output}: {counts['problems']:,} problems with {counts['programs']:,} programs, and a card")
    return DONE
