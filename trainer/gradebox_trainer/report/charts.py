"""The page's charts, as SVG text that stands in the page itself: no script, no file, the page's own text colour."""

import io
import re
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from gradebox_trainer.report.facts import RATE_BINS, Facts, cpu_edges

_INK = "#010203"  # becomes the page's text colour
_GRID = "#8884"
VERDICT_COLOURS = {
    "PASSED": "#2f9e6e",
    "WRONG_ANSWER": "#d9534f",
    "RUNTIME_ERROR": "#e08a3c",
    "COMPILE_ERROR": "#b07aa1",
    "TIME_LIMIT": "#4e79a7",
    "MEMORY_LIMIT": "#59a5b5",
    "OUTPUT_LIMIT": "#8c9eb0",
    "SKIPPED": "#a9a9a9",
    "ENGINE_ERROR": "#4a4a4a",
}
SEAL_COLOURS = {"SEALED": "#2f9e6e", "COMPARED": "#d8b13f", "IN_PROCESS": "#d9534f", "none": "#a9a9a9"}
_BLUE = "#4e79a7"
MOST_GENERATORS = 12

_SETTINGS: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "gradebox",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "legend.frameon": False,
}


@contextmanager
def _figure(found: list[str], width: float, height: float, *, rows: int = 1, columns: int = 1, **settings: Any) -> Any:
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **settings)
        yield axes
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        found.append(_for_page(text.getvalue()))


def _for_page(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style .*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="(?!p[0-9a-f]{10}|m[0-9a-f]{10}|h[0-9a-f]{10})[^"]*"', "", svg)  # what is referred to has a hash
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    return svg.replace(_INK, "currentColor")


def pass_rates(facts: Facts) -> str:
    """A histogram of all pass rates."""
    found: list[str] = []
    with _figure(found, 7.2, 2.6) as axes:
        axis = axes[0][0]
        heights = sum(facts.rates.values()) if facts.rates else np.zeros(RATE_BINS)
        axis.bar(np.linspace(0, 1, RATE_BINS), heights, width=0.042, color=_rate_colours())
        axis.set(xlabel="pass rate", ylabel="submissions", xlim=(-0.03, 1.03))
        axis.grid(axis="y")
    return found[0]


def pass_rates_by_generator(facts: Facts, names: Sequence[str]) -> str:
    """A small histogram for each generator, in its own scale."""
    found: list[str] = []
    columns = 3
    rows = -(-len(names) // columns)
    with _figure(found, 7.2, 1.35 * rows + 0.3, rows=rows, columns=columns, sharex=True) as axes:
        for place, axis in enumerate(axes.flat):
            if place >= len(names):
                axis.set_visible(False)
                continue
            heights = facts.rates.get(names[place], np.zeros(RATE_BINS))
            axis.bar(np.linspace(0, 1, RATE_BINS), heights, width=0.046, color=_rate_colours())
            axis.set_title(_literal(names[place], 30), loc="left", fontsize=8.5)
            axis.tick_params(labelsize=7.5)
            axis.yaxis.get_major_locator().set_params(nbins=3, integer=True)
            axis.set_xlim(-0.04, 1.04)
    return found[0]


def _rate_colours() -> list[str]:
    return ["#d9534f", *[_BLUE] * (RATE_BINS - 2), "#2f9e6e"]


def _literal(text: str, most: int) -> str:
    """A name, at most so many characters of it."""
    text = "".join(c if c.isprintable() else "?" for c in text)  # lone surrogates, line ends
    return text if len(text) <= most else text[: most - 1] + "…"


def shares(rows: Sequence[tuple[str, dict[str, int]]], colours: dict[str, str]) -> str:
    """Stacked bars, one a row, of shares that add up to 1."""
    found: list[str] = []
    kinds = [kind for kind in colours if any(counts.get(kind) for _, counts in rows)]
    with _figure(found, 7.2, 0.26 * len(rows) + 0.72) as axes:
        axis = axes[0][0]
        left = np.zeros(len(rows))
        totals = np.array([max(1, sum(counts.values())) for _, counts in rows], float)
        for kind in kinds:
            widths = np.array([counts.get(kind, 0) for _, counts in rows]) / totals
            axis.barh(range(len(rows)), widths, left=left, color=colours[kind], label=kind, height=0.72)
            left += widths
        axis.set_yticks(range(len(rows)), [_literal(name, 36) for name, _ in rows], fontsize=8.5)
        axis.invert_yaxis()
        axis.set(xlim=(0, 1))
        axis.xaxis.set_major_formatter(lambda value, place: f"{value:.0%}")
        axis.grid(axis="x")
        axis.figure.legend(loc="outside lower center", ncols=min(5, len(kinds)), fontsize=8.5)
    return found[0]


def discrimination(share: Any, correlation: Any) -> str:
    """How many programs pass a test; how well passing it goes with passing the others."""
    found: list[str] = []
    with _figure(found, 7.2, 2.5, columns=2) as axes:
        left, right = axes[0]
        left.hist(share, bins=np.linspace(-0.025, 1.025, RATE_BINS + 1), color=_BLUE, rwidth=0.9)
        left.set(xlabel="share of programs that pass a test", ylabel="tests")
        right.hist(correlation[~np.isnan(correlation)], bins=np.linspace(-1, 1, 41), color=_BLUE, rwidth=0.9)
        right.set(xlabel="correlation with the other tests")
        for axis in (left, right):
            axis.grid(axis="y")
    return found[0]


def cpu_times(facts: Facts) -> str:
    """CPU time of a submission, all its tests together, on a logarithmic axis."""
    found: list[str] = []
    with _figure(found, 7.2, 2.4) as axes:
        axis = axes[0][0]
        edges = np.array(cpu_edges())
        axis.bar(edges[:-1], facts.cpu, width=np.diff(edges) * 0.92, align="edge", color=_BLUE)
        axis.set(xscale="log", xlabel="CPU time of a submission", ylabel="submissions")
        axis.xaxis.set_major_formatter(lambda value, place: f"{value:g} s" if value >= 1 else f"{value * 1000:g} ms")
        used = np.flatnonzero(facts.cpu)
        if len(used):
            axis.set_xlim(edges[used[0]] / 1.3, edges[used[-1] + 1] * 1.3)
        axis.grid(axis="y")
    return found[0]
