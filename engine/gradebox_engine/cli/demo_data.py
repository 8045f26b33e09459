"""`gradebox demo --data`: every problems file of a folder with every file of programs that fits it.

`DIR/problems/*.jsonl.gz` are graded with those of `DIR/samples/*.jsonl.gz` that have programs for
their ids, and with the solutions in the problems themselves (`canonical_solution`,
`buggy_solution`). Problems in other languages than the engine's, or that need modules which its
image has not got, are left out.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from gradebox_command.errors import DONE, FAILED, CommandError, InputError
from gradebox_command.files import Problems, ProgramsRow
from gradebox_command.rows import read_rows
from gradebox_command.session import Engines, grade_units, open_client, to_units
from gradebox_command.tally import Tally
from gradebox_command.terminal import console, progress_bar
from gradebox_engine.cli.problem_rows import check_problem

_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
_SOLUTIONS = ("canonical_solution", "buggy_solution")


@dataclass(frozen=True, slots=True)
class Match:
    """Programs for the problems of one file, from one source."""

    source: str
    rows: list[ProgramsRow]
    available: int

    @property
    def submissions(self) -> int:
        return sum(len(row.programs) for row in self.rows)


def demo_data(folder: Path, *, limit: int, workers: int | None, as_json: bool) -> int:
    """Grades at most `limit` programs a pair of files, spread evenly over them, on a problem's first tests.

    With 0, all programs on all tests.
    """
    problem_files = _files(folder / "problems")
    sample_files = _files(folder / "samples")
    if not problem_files:
        raise InputError(folder / "problems", None, "", f"no {' or '.join(_SUFFIXES)} file in it")
    found = []
    with open_client(Engines(workers=workers)) as client:
        languages = {name for image in client.info().images for name in image.languages}
        overall = Tally()
        for file in problem_files:
            with Problems(file, keep=lambda row: _gradable(row, languages), check=check_problem) as problems:
                for match in _matches(file, problems, sample_files, limit):
                    tally = Tally()
                    with progress_bar(match.submissions) as advance:
                        for _, labels in grade_units(client, to_units(match.rows), problems, brief=limit > 0):
                            tally.add(labels)
                            overall.add(labels)
                            advance(len(labels))
                    found.append((_stem(file), match, tally, tally.summary()))
    if not found:
        raise CommandError(f"{folder}: no programs for any of its problems")
    if as_json:
        rows = [
            {"problems": name, "programs": match.source, "available": match.available, **numbers}
            for name, match, _, numbers in found
        ]
        print(json.dumps({"files": rows, "total": overall.summary()}, indent=1))
    else:
        _show(found, overall)
    return FAILED if overall.verdicts["ENGINE_ERROR"] else DONE


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(_SUFFIXES))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(folder, None, "", error.strerror or str(error)) from None


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _gradable(row: dict[str, Any], languages: set[str]) -> bool:
    language = row.get("language") or row.get("lang") or "python"
    return language in languages and not row.get("needs")


def _matches(file: Path, problems: Problems, sample_files: list[Path], limit: int) -> Iterator[Match]:
    solutions = _solutions(file, problems)
    if solutions:
        yield _bounded("its own solutions", solutions, limit)
    for samples in sample_files:
        rows = [
            ProgramsRow(line, row["id"], row["programs"], {})
            for line, row in read_rows(samples)
            if row.get("id", "") in problems and isinstance(row.get("programs"), list)
        ]
        if rows:
            yield _bounded(_stem(samples), rows, limit)


def _solutions(file: Path, problems: Problems) -> list[ProgramsRow]:
    rows = []
    for line, row in read_rows(file):
        if row.get("id", "") not in problems:
            continue
        programs = []
        for field in _SOLUTIONS:
            solution = row.get(field)
            if isinstance(solution, str) and solution.strip():
                # The body of a function goes on where the prompt ends.
                body = solution.startswith((" ", "\t"))
                programs.append((row.get("prompt") or "") + solution if body else solution)
        if programs:
            rows.append(ProgramsRow(line, row["id"], programs, {}))
    return rows


def _bounded(source: str, rows: list[ProgramsRow], limit: int) -> Match:
    """Every n-th program, so that at most `limit` are left, the same ones every time."""
    available = sum(len(row.programs) for row in rows)
    step = -(-available // limit) if limit else 1
    kept, number = [], 0
    for row in rows:
        programs = [p for i, p in enumerate(row.programs, start=number) if i % step == 0]
        number += len(row.programs)
        if programs:
            kept.append(ProgramsRow(row.line, row.id, programs, {}))
    return Match(source, kept, available)


def _show(found: list[tuple[str, Match, Tally, dict[str, Any]]], overall: Tally) -> None:
    table = Table(header_style="bold")
    for column in ("problems", "programs", "verdicts"):
        table.add_column(column)
    for column in ("graded", "of", "passed", "mean pass rate", "sealed", "tests/s"):
        table.add_column(column, justify="right")
    for name, match, tally, numbers in found:
        rate = numbers["mean_pass_rate"]
        verdicts = tally.verdicts.most_common()
        table.add_row(
            name,
            match.source,
            ", ".join(f"{count} {verdict.lower()}" for verdict, count in verdicts),
            f"{tally.submissions:,}",
            f"{match.available:,}",
            f"{tally.verdicts['PASSED'] / tally.submissions:.1%}",
            "" if rate is None else f"{rate:.3f}",
            f"{tally.seals['SEALED'] / tally.tests:.1%}" if tally.tests else "",
            f"{numbers['tests_per_s']:,.0f}",
        )
    out = console()
    out.print(table)
    out.print(overall.words(), markup=False)
