"""`gradebox report`: gathers what the page shows and writes it."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradebox_command.errors import DONE, BadArgument, InputError
from gradebox_command.grading import program_sha256
from gradebox_command.manifest import MANIFEST, read_manifest
from gradebox_command.rows import read_rows
from gradebox_command.writing import write_text
from gradebox_trainer.inputs import named_inputs
from gradebox_trainer.labelled import prompt_of
from gradebox_trainer.pairing import Rule
from gradebox_trainer.report.facts import Facts, Flaky, flaky_rows, gather
from gradebox_trainer.report.page import MOST_FLAKY_ROWS, Page, Texts, render


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    labels: Path
    output: Path
    problems: Path | None
    programs: Path | None
    again: Path | None
    agreement: Path | None
    title: str | None
    rule: Rule
    as_json: bool


def report(options: Options) -> int:
    """Writes the page and returns the exit status. Raises CommandError, InputError."""
    if options.output.is_dir():
        raise BadArgument(f"{options.output} is a folder: name the page, such as {options.output / 'report.html'}")
    agreement = _agreement(options.agreement) if options.agreement else None
    facts = gather(options.labels)
    flaky = _flaky(options.labels, options.again) if options.again else None
    has_manifest = options.labels.is_dir() and (options.labels / MANIFEST).exists()
    page = Page(
        title=options.title or options.labels.name,
        facts=facts,
        rule=options.rule,
        texts=_texts(options, facts),
        flaky=flaky,
        agreement=agreement,
        manifest=read_manifest(options.labels) if has_manifest else {},
    )
    write_text(options.output, render(page))
    pairs, with_pairs = facts.pairs(options.rule)
    if options.as_json:
        counts = {"labels": facts.labels, "tests": facts.tests, "problems": len(facts.programs), "pairs": pairs}
        found = {"problems_with_pairs": with_pairs, "flaky": None if flaky is None else flaky[1]}
        print(json.dumps({"report": str(options.output), **counts, **found}))
    else:
        print(f"{options.output}: {facts.labels:,} labels of {len(facts.programs):,} problems")
    return DONE


def _flaky(labels: Path, again: Path) -> tuple[list[Flaky], int]:
    rows = flaky_rows(labels, again)
    first = list(itertools.islice(rows, MOST_FLAKY_ROWS))
    return first, len(first) + sum(1 for _ in rows)


def _agreement(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        rows = [found["overall"], *found["generators"].values()]
        if all(isinstance(row["programs"], int) for row in rows):
            agreement: dict[str, Any] = found
            return agreement
    except OSError as error:
        raise InputError(path, None, "", error.strerror or str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise InputError(path, None, "", "not what `gradebox agreement` writes")


def _texts(options: Options, facts: Facts) -> dict[tuple[str, str], Texts]:
    """The texts of the examples, where the files are named or known."""
    try:
        problems, programs = named_inputs(options.labels, options.problems, options.programs)
    except BadArgument:
        if options.problems or options.programs:
            raise
        return {}
    if not (options.problems or options.programs) and not (problems.exists() and programs.exists()):
        return {}  # the inputs have moved since
    wanted = {(example.id, example.sha256) for shown in facts.shown().values() for example in shown}
    ids = {id for id, _ in wanted}
    prompts = {row["id"]: prompt_of(row) for _, row in read_rows(problems) if row.get("id") in ids}
    found = {}
    for _, row in read_rows(programs):
        if row.get("id") in ids:
            for program in row.get("programs") or ():
                key = row["id"], program_sha256(program)
                if key in wanted:
                    found[key] = Texts(prompts.get(row["id"]), program)
    return found
