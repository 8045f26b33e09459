"""`gradebox demo`: the shipped sample on an embedded engine, beside what it should come to."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from rich.table import Table

from gradebox_command.errors import DONE, FAILED
from gradebox_command.files import Problems, Programs
from gradebox_command.session import Engines, Labels, grade_units, open_client, to_units
from gradebox_command.tally import Tally
from gradebox_command.terminal import console, progress_bar

_WORDS = {
    "PASSED": ("passed", "green"),
    "WRONG_ANSWER": ("wrong", "yellow"),
    "RUNTIME_ERROR": ("error", "yellow"),
    "COMPILE_ERROR": ("compile", "yellow"),
    "TIME_LIMIT": ("time", "magenta"),
    "MEMORY_LIMIT": ("memory", "magenta"),
    "OUTPUT_LIMIT": ("output", "magenta"),
    "SKIPPED": ("skipped", "dim"),
    "ENGINE_ERROR": ("ENGINE", "bold red"),
}


def demo_sample(*, workers: int | None, as_json: bool) -> int:
    """Grades the shipped sample; FAILED when a verdict is not the one that the sample expects."""
    with (
        resources.as_file(resources.files("gradebox_engine") / "samples") as folder,
        Problems(folder / "problems.jsonl") as problems,
    ):
        rows = {row.line: row for row in Programs(folder / "programs.jsonl", problems)}
        total = sum(len(row.programs) for row in rows.values())
        labels: Labels = []
        with open_client(Engines(workers=workers)) as client:
            tally = Tally()
            with progress_bar(total) as advance:
                for unit, graded in grade_units(client, to_units(rows.values()), problems):
                    meta = rows[unit.line].row["meta"]
                    for label in graded:
                        label["kind"] = meta["kind"][label["program_index"]]
                        label["expect"] = meta["expect"][label["program_index"]]
                    labels += graded
                    tally.add(graded)
                    advance(len(graded))
    unexpected = [label for label in labels if not as_expected(label, label["expect"])]
    if as_json:
        summary = {**tally.summary(), "unexpected": len(unexpected), "labels": labels}
        print(json.dumps(summary, indent=1))
    else:
        _show(labels, tally, unexpected)
    return FAILED if unexpected else DONE


def as_expected(label: Mapping[str, Any], expect: Mapping[str, Any]) -> bool:
    """Whether a label is what a sample's `{"verdict", "pass_rate"?}` says of it."""
    wanted = expect["verdict"]
    if wanted == "not_passed":
        return label["verdict"] not in ("PASSED", "ENGINE_ERROR")
    if label["verdict"] not in wanted.split("|"):
        return False
    rate = expect.get("pass_rate")
    return rate is None or (label["pass_rate"] is not None and abs(label["pass_rate"] - rate) < 1e-5)


def _cell(label: Mapping[str, Any]) -> str:
    word, style = _WORDS[label["verdict"]]
    rate = label["pass_rate"]
    return f"[{style}]{word}[/] {rate:.2f}" if rate is not None else f"[{style}]{word}[/]"


def _show(labels: Labels, tally: Tally, unexpected: Labels) -> None:
    kinds = list(dict.fromkeys(label["kind"] for label in labels))
    by_problem: dict[str, dict[str, list[str]]] = {}
    for label in labels:
        by_problem.setdefault(label["id"], {}).setdefault(label["kind"], []).append(_cell(label))
    table = Table(title="verdict and pass rate of every program", header_style="bold")
    table.add_column("problem", no_wrap=True)
    for kind in kinds:
        table.add_column(kind)
    for id, cells in by_problem.items():
        table.add_row(id, *("\n".join(cells.get(kind, [])) for kind in kinds))
    out = console()
    out.print(table)
    out.print(_by_kind(labels, kinds))
    out.print(tally.words(), markup=False)
    good = len(labels) - len(unexpected)
    out.print(f"{good} of {len(labels)} verdicts are what the sample expects")
    for label in unexpected:
        out.print(
            f"{label['id']}, program {label['program_index']} ({label['kind']}): "
            f"{label['verdict']} {label['pass_rate']}, expected {label['expect']}",
            style="red",
            markup=False,
        )


def _by_kind(labels: Labels, kinds: Sequence[str]) -> Table:
    table = Table(header_style="bold")
    for column in ("programs", "number", "mean pass rate", "verdicts"):
        table.add_column(column)
    for kind in kinds:
        those = [label for label in labels if label["kind"] == kind]
        rates = [label["pass_rate"] for label in those if label["pass_rate"] is not None]
        verdicts = Counter(label["verdict"] for label in those)
        table.add_row(
            kind,
            str(len(those)),
            f"{sum(rates) / len(rates):.2f}" if rates else "",
            ", ".join(f"{count} {name}" for name, count in verdicts.most_common()),
        )
    return table
