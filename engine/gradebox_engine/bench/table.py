"""A benchmark's result for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gradebox_engine.bench.measure import ROUNDS
from gradebox_engine.bench.result import BenchResult, Line
from gradebox_engine.bench.ways import cores

_MET = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}


def render(result: BenchResult) -> RenderableType:
    """The table, with a section a row; below it what is left out, and what repeats each row."""
    table = Table(title=f"{cores()} cores, medians of {ROUNDS} interleaved rounds", title_justify="left")
    table.add_column("")
    for name in ("cost", "per second", "ratio", "target", "met"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in result.rows:
        table.add_section()
        table.add_row(f"[bold]{row.title}[/]", f"{row.cost} / {row.unit}")
        for line in row.lines:
            table.add_row(*_cells(line), style="cyan" if line.own else "")
    notes = ["ratio: gradebox's cost in that way's, where it does not say what of"]
    if result.counted_by:
        notes.append(f"CPU ms: of all processes, client included, by {result.counted_by}")
    for row in result.rows:
        notes += [f"left out of {row.name}: {line.title}: {line.left_out}" for line in row.lines if line.left_out]
    commands = [row.command for row in result.rows]
    return Group(table, *(Text(note) for note in notes), Text("to repeat a row:"), *(Text(c) for c in commands))


def _cells(line: Line) -> list[str]:
    cost = "-" if line.cost_ms is None else f"{line.cost_ms:.2f}"
    rate = "" if line.rate is None else f"{line.rate:,.0f}"
    cells = [f"  {line.title}", cost, rate]
    if line.comparison is not None:
        cells += [line.comparison.words(), line.comparison.target_words(), _MET[line.comparison.met]]
    return cells
