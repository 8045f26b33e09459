"""Dataset cards: README.md with the head that the Hub and `datasets` read, and where the data come from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradebox_command.errors import one_line

if TYPE_CHECKING:
    import pyarrow as pa

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says.

    Attributes:
        splits: name to (file in the folder, number of rows).
        manifest: that of the folder of labels, else empty: engines, images, limits, counts.
    """

    name: str
    license: str
    what: str
    columns: "pa.Schema"
    splits: Mapping[str, tuple[Path, int]]
    counts: Mapping[str, Any]
    manifest: Mapping[str, Any]
    rule: Mapping[str, Any] | None = None


def card(made: Card) -> str:
    """The text of README.md."""
    rows = sum(count for _, count in made.splits.values())
    size = next((name for most, name in _SIZES if rows < most), "n>1M")
    head = [
        "---",
        f"license: {one_line(made.license)}",
        "language:",
        "- en",
        "tags:",
        "- code",
        "- gradebox",
        f"pretty_name: {_quoted(made.name)}",
        "size_categories:",
        f"- {size}",
        "configs:",
        "- config_name: default",
        "  data_files:",
    ]
    for split, (file, _) in made.splits.items():
        head += [f"  - split: {split}", f"    path: {file}"]
    return "\n".join([*head, "---", "", *_body(made)]) + "\n"


def _quoted(text: str) -> str:
    """A scalar of YAML: JSON's strings are some."""
    import json

    return json.dumps(text)


def _body(made: Card) -> list[str]:
    lines = [f"# {one_line(made.name)}", "", made.what, ""]
    lines += [
        "| split | rows |",
        "|---|---|",
        *(f"| {name} | {rows:,} |" for name, (_, rows) in made.splits.items()),
        "",
    ]
    lines += ["| column | type |", "|---|---|", *(f"| {field.name} | {field.type} |" for field in made.columns), ""]
    lines += ["## Counts", "", "| | |", "|---|---|"]
    lines += [f"| {name.replace('_', ' ')} | {_value(value)} |" for name, value in made.counts.items()]
    if made.rule:
        lines += ["", "## Rule", "", "| setting | value |", "|---|---|"]
        lines += [f"| {name} | {_value(value)} |" for name, value in made.rule.items()]
    lines += ["", "## How the labels were made", ""]
    if not made.manifest:
        lines.append("By gradebox; the labels were one file, which says in each row which engine graded it.")
        return lines
    lines += ["| engine | image | labels | protections |", "|---|---|---|---|"]
    for engine in made.manifest.get("engines", []):
        protections = ", ".join(engine.get("protections", []))
        lines.append(
            f"| gradebox {engine['version']} | {engine['image']} | {engine['submissions']:,} | {protections} |"
        )
    settings = made.manifest.get("settings", {})
    if limits := settings.get("default_limits"):
        lines += ["", "Limits of a test case, where its problem names no others:", "", "| limit | value |", "|---|---|"]
        lines += [f"| {name} | {_value(value)} |" for name, value in limits.items()]
    lines += ["", "| setting | value |", "|---|---|"]
    lines += [f"| {name} | {_value(settings.get(name))} |" for name in ("min_seal", "stop_early")]
    counts = made.manifest.get("counts", {})
    for name in ("verdicts", "seals", "generators"):
        if counts.get(name):
            lines += ["", f"| {name} | count |", "|---|---|"]
            lines += [f"| {_cell(each)} | {count:,} |" for each, count in counts[name].items()]
    return lines


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "any"}[value]
    return f"{value:,}" if isinstance(value, int) else _cell(str(value))


def _cell(text: str) -> str:
    """A cell of a table: no line end, no bar, no markup (names of generators are not ours)."""
    return one_line(text, 200).replace("|", "\\|").replace("<", "&lt;")
