"""A benchmark's result as a picture: a panel of bars for each row. Needs matplotlib (the extra `bench`)."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from gradebox_engine.bench.result import BenchResult, Line, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUFFIXES = (".svg", ".png")
_OWN, _OTHER, _TEXT, _QUIET = "#1f6f8b", "#c3c8cc", "#22272b", "#6b737a"
_MET = {True: "#2e7d32", False: "#b23c17", None: _QUIET}
_TITLE_PT, _TEXT_PT = 10, 8.5
# Inches: the picture's width, a bar, what a panel has above its bars and below them.
_WIDTH_IN, _BAR_IN, _HEAD_IN, _FOOT_IN = 8.6, 0.25, 0.32, 0.2
_EDGE, _LEFT, _RIGHT = 0.012, 0.375, 0.988  # shares of the width: its edge, and where the bars' panel is
_ROOM = 2.0  # how much wider than its longest bar a panel is: figures and ratios stand there


def missing(file: Path) -> str:
    """Why no picture can be drawn into this file; empty when one can."""
    if file.suffix not in _SUFFIXES:
        return f"must end in {' or '.join(_SUFFIXES)}"
    if importlib.util.find_spec("matplotlib") is None:
        return "matplotlib is not installed: pip install 'gradebox[bench]'"
    if not file.absolute().parent.is_dir():
        return "no such folder"
    return ""


def draw(result: BenchResult, file: Path) -> None:
    """Writes the picture, SVG or PNG by the file's name; what is left out is not in it. Raises OSError."""
    from matplotlib.figure import Figure

    panels = [(row, lines) for row in result.rows if (lines := [line for line in row.lines if not line.left_out])]
    height_in = sum(_HEAD_IN + _BAR_IN * len(lines) + _FOOT_IN for _, lines in panels) or _BAR_IN
    figure = Figure(figsize=(_WIDTH_IN, height_in))
    y_in = height_in
    for row, lines in panels:
        y_in -= _HEAD_IN
        for x, words, size, weight, side in (
            (_EDGE, row.title, _TITLE_PT, "bold", "left"),
            (_LEFT, f"{row.unit}s / s" if row.by_rate else f"{row.cost} / {row.unit}", _TEXT_PT, "normal", "left"),
            (_RIGHT, "gradebox costs" if _has_ratios(lines) else "", _TEXT_PT, "normal", "right"),
        ):
            color = _TEXT if weight == "bold" else _QUIET
            figure.text(x, (y_in + 0.07) / height_in, words, size=size, weight=weight, ha=side, color=color)
        bars_in = _BAR_IN * len(lines)
        y_in -= bars_in
        _bars(figure.add_axes((_LEFT, y_in / height_in, _RIGHT - _LEFT, bars_in / height_in)), row, lines)
        y_in -= _FOOT_IN
    figure.savefig(file, dpi=150, facecolor="white")


def _has_ratios(lines: list[Line]) -> bool:
    """Whether the panel's comparisons are gradebox's cost in a way's, and do not say what they are."""
    return any(line.comparison is not None and not line.own and "%" not in line.comparison.form for line in lines)


def _bars(axes: "Axes", row: Row, lines: list[Line]) -> None:
    values = [(line.rate if row.by_rate else line.cost_ms) or 0.0 for line in lines]
    places = list(range(len(lines)))
    axes.barh(places, values, height=0.74, color=[_OWN if line.own else _OTHER for line in lines])
    axes.set_xlim(0, _ROOM * max(values))
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(places, [line.title for line in lines])
    axes.tick_params(axis="y", length=0, labelsize=_TEXT_PT, labelcolor=_TEXT)
    axes.xaxis.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    for place, line, value in zip(places, lines, values, strict=True):
        words = f"{value:,.0f}" if row.by_rate else f"{value:.2f}"
        axes.annotate(
            words, (value, place), (4, 0), textcoords="offset points", va="center", size=_TEXT_PT, color=_TEXT
        )
        if line.comparison is not None:
            words, target = line.comparison.words(), line.comparison.target_words()
            words += f", target {target}" if target else ""
            color = _MET[line.comparison.met]
            where = ("axes fraction", "data")
            axes.annotate(words, (1, place), xycoords=where, ha="right", va="center", size=_TEXT_PT, color=color)
