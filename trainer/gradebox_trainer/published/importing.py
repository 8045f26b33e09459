"""`gradebox import`: published rows, from files, folders or saved data sets, to a problems file and a programs file."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradebox_command.errors import DONE, BadArgument, InputError
from gradebox_command.problem_rows import FieldError
from gradebox_command.rows import read_rows
from gradebox_command.terminal import progress_bar
from gradebox_command.writing import PARQUET_SUFFIXES, RowsFile
from gradebox_trainer.published import Imported, detect, readers


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    published: Path
    output: Path
    programs: Path | None
    format: str | None
    as_json: bool


def run(options: Options) -> int:
    """Writes both files and returns the exit status. Raises CommandError, InputError."""
    known = readers()
    if options.format is not None and options.format not in known:
        raise BadArgument(f"--format must be one of {', '.join(known)}, is {options.format!r}")
    for path in filter(None, (options.output, options.programs)):
        if path.suffix in PARQUET_SUFFIXES:
            raise BadArgument(f"{path}: tests of several kinds do not fit into Parquet's columns; write .jsonl.gz")
    counts = {"rows": 0, "tests": 0, "programs": 0}
    formats: dict[str, int] = {}
    with ExitStack() as files:
        output = files.enter_context(RowsFile(options.output))
        programs = files.enter_context(RowsFile(options.programs)) if options.programs else None
        advance = files.enter_context(progress_bar(None, what="importing"))
        for line, row in published_rows(options.published):
            name, imported = _read(options, line, row)
            formats[name] = formats.get(name, 0) + 1
            output.write([imported.row])
            counts["rows"] += 1
            counts["tests"] += len(imported.row.get("tests", ()))
            counts["programs"] += sum(len(each["programs"]) for each in imported.programs)
            if programs is not None:
                programs.write(imported.programs)
            advance(1)
        if not counts["rows"]:
            raise InputError(options.published, None, "", "there are no rows in it")
    if options.as_json:
        print(json.dumps({"output": str(options.output), "formats": formats, **counts}))
    else:
        there = "" if options.programs else " (left out: --programs FILE takes them)" if counts["programs"] else ""
        names = ", ".join(formats)
        print(
            f"{options.output}: {counts['rows']:,} rows of {names}, {counts['tests']:,} tests, "
            f"{counts['programs']:,} programs{there}"
        )
    return DONE


def _read(options: Options, line: int, row: Mapping[str, Any]) -> tuple[str, Imported]:
    try:
        name = options.format or detect(row)
        return name, readers()[name][1](row)
    except FieldError as error:
        raise InputError(options.published, line, error.field, error.problem) from None


def published_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a file, of a folder of files, of APPS's folders, or of what `datasets` saved to disk."""
    if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
        from gradebox_trainer.hub import saved_rows

        yield from saved_rows(path)
    elif path.is_dir() and (folders := sorted(each.parent for each in path.rglob("question.txt"))):
        yield from enumerate(map(_apps_folder, folders), start=1)
    else:
        yield from read_rows(path)


def _apps_folder(folder: Path) -> dict[str, Any]:
    """APPS's own release: a folder for each problem."""

    def read(name: str) -> str:
        file = folder / name
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    try:
        names = {name: read(f"{name}.json") for name in ("input_output", "solutions")}
        metadata = json.loads(read("metadata.json") or "{}")
        return {
            "problem_id": int(folder.name) if folder.name.isdigit() else folder.name,
            "question": read("question.txt"),
            "starter_code": read("starter_code.py"),
            "difficulty": metadata.get("difficulty"),
            **names,
        }
    except (OSError, ValueError) as error:
        raise InputError(folder, None, "", str(error)) from None
