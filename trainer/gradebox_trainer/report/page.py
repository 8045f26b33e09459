"""The page: facts and charts into HTML. Whatever comes from labels, problems and programs is hostile text: the template
escapes it, and a content security policy lets no script run and nothing be fetched, should anything slip through.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from gradebox_trainer.pairing import Rule
from gradebox_trainer.report import charts
from gradebox_trainer.report.facts import NO_GENERATOR, RATE_BINS, Example, Facts, Flaky

MOST_FLAKY_ROWS = 50
_MOST_CHARACTERS = 6000
_VERDICTS = tuple(charts.VERDICT_COLOURS)


@dataclass(frozen=True, slots=True)
class Texts:
    """What an example's program and problem say; None where the files were not given."""

    prompt: str | None = None
    program: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Everything that the page shows.

    Attributes:
        texts: by (problem's id, program's SHA-256), of the examples.
        flaky: rows that a second grading labelled otherwise, and how many; None where there was none.
        agreement: what `gradebox agreement` wrote, if given.
        manifest: that of a folder of labels, else empty.
    """

    title: str
    facts: Facts
    rule: Rule
    texts: Mapping[tuple[str, str], Texts]
    flaky: tuple[Sequence[Flaky], int] | None
    agreement: Mapping[str, Any] | None
    manifest: Mapping[str, Any]


def render(page: Page) -> str:
    """The page as HTML, the same for the same facts."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(number=_number, part=_part, seconds=_seconds, rate=_rate, short=_short)
    facts = page.facts
    names = sorted(facts.verdicts, key=lambda name: (-facts.verdicts[name].total(), name))
    pairs, with_pairs = facts.pairs(page.rule)
    html: str = environment.get_template("page.html.jinja").render(
        page=page,
        facts=facts,
        rule=page.rule,
        verdicts=_counted(_totals(facts)),
        seals=_counted(facts.seals),
        generators=_generators(facts, names),
        items=_items(facts),
        pairs=pairs,
        problems_with_pairs=with_pairs,
        cpu={part: facts.cpu_quantile(part) for part in (0.5, 0.9, 0.99)},
        charts=_charts(facts, names),
        examples=[(verdict, facts.shown().get(verdict, [])) for verdict in _VERDICTS if verdict in facts.examples],
        describe=_describe,
        most_flaky=MOST_FLAKY_ROWS,
    )
    return html


def _totals(facts: Facts) -> Mapping[str, int]:
    totals = dict.fromkeys(_VERDICTS, 0)
    for counts in facts.verdicts.values():
        for verdict, count in counts.items():
            totals[verdict] = totals.get(verdict, 0) + count
    return totals


def _counted(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    total = sum(counts.values()) or 1
    return [(name, count, count / total) for name, count in counts.items() if count]


def _generators(facts: Facts, names: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        rates = facts.rates.get(name)
        total = facts.verdicts[name].total()
        middles = np.linspace(0, 1, RATE_BINS)
        rows.append(
            {
                "name": name,
                "labels": total,
                "passed": facts.verdicts[name]["PASSED"] / total,
                "mean": None if rates is None else float((rates * middles).sum() / rates.sum()),
            }
        )
    return rows


def _items(facts: Facts) -> dict[str, Any]:
    """Numbers over tests that at least two distinct programs were graded on."""
    found = [items.discrimination() for items in facts.items.values() if items.n > 1]
    share = np.concatenate([share for share, _ in found]) if found else np.zeros(0)
    correlation = np.concatenate([correlation for _, correlation in found]) if found else np.zeros(0)
    return {
        "tests": len(share),
        "all_pass": int((share == 1).sum()),
        "none_pass": int((share == 0).sum()),
        "against": int((correlation < 0).sum()),
        "median": float(np.nanmedian(correlation)) if np.isfinite(correlation).any() else None,
        "share": share,
        "correlation": correlation,
    }


def _charts(facts: Facts, names: Sequence[str]) -> dict[str, Markup | None]:
    """SVG of our own making, in which every text is escaped by matplotlib."""
    named = [name for name in names if name != NO_GENERATOR][: charts.MOST_GENERATORS]
    items = _items(facts)
    rows = [("all", dict(_totals(facts))), *((name, dict(facts.verdicts[name])) for name in named)]
    made = {
        "rates": charts.pass_rates(facts),
        "generators": charts.pass_rates_by_generator(facts, named) if named else None,
        "verdicts": charts.shares(rows, charts.VERDICT_COLOURS),
        "seals": charts.shares([("tests", dict(facts.seals))], charts.SEAL_COLOURS),
        "items": charts.discrimination(items["share"], items["correlation"]) if items["tests"] else None,
        "cpu": charts.cpu_times(facts),
    }
    return {name: None if svg is None else Markup(_with_own_ids(svg, name)) for name, svg in made.items()}


def _with_own_ids(svg: str, name: str) -> str:
    """Two charts may have the same mark, under the same id: each gets its chart's name."""
    return re.sub(r'(id="|#)([pmh][0-9a-f]{10})\b', rf"\1{name}-\2", svg)


def _describe(example: Example) -> str:
    """What the first test says that did not pass."""
    tests = example.label["tests"]
    for place, test in enumerate(tests):
        if test["verdict"] != "PASSED":
            message = test.get("message") or "no message"
            return f"test {place} of {len(tests)}: {test['verdict']}: {message}"
    return f"all {len(tests)} tests passed"


def _number(value: int) -> str:
    return f"{value:,}"


def _part(value: float) -> str:
    return f"{value:.1%}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:,.3g} s" if value < 1000 else f"{value:,.0f} s"


def _rate(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}\n… {len(text):,} characters in all"
