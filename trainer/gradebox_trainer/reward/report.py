"""The report of a reward model on held-out problems: one HTML page that needs nothing else."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradebox_trainer.reward import diagnosis, plots
from gradebox_trainer.reward.encode import EncodedGroup
from gradebox_trainer.transformer.scoring import Scores

_WORST = 10
_MOST_POINTS = 4000
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: left; }
figure { display: inline-block; margin: 0 1rem 1rem 0; } figcaption { color: #555; max-width: 34rem; }
pre { background: #f6f6f6; padding: .6rem; overflow: auto; max-height: 24rem; font-size: 13px; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
"""


def write(
    path: Path,
    figures: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
    groups: Sequence[EncodedGroup],
    scores: Sequence[Scores],
    tokenizer: Any,
) -> None:
    """Writes the page.

    Args:
        figures: the run's final figures.
        metrics: the rows of its metrics file.
        groups, scores: the held-out problems, and what the model says of each one's programs.
        tokenizer: for the text of the worst pairs.
    """
    held_out = figures["validation"]
    found = diagnosis.reliability(groups, scores)
    bias = diagnosis.length_bias(groups, scores)
    rows = {
        "held-out problems": f"{held_out['problems']:,}",
        "their pairs": f"{held_out['pairs']:,}",
        "pair accuracy": f"{held_out['accuracy']:.3f}",
        "mean over problems": f"{held_out['problem_accuracy']:.3f} "
        f"(95 % interval {held_out['low']:.3f} to {held_out['high']:.3f}, bootstrap over problems)",
        "loss": f"{held_out['loss']:.3f} (a coin: 0.693)",
        "expected calibration error": f"{found.error:.3f}",
        "correlation of score and length within problems": f"{bias.correlation:+.3f}",
        "accuracy where the better program is shorter, longer": f"{bias.shorter_better:.3f}, {bias.longer_better:.3f}",
        "trained on": f"{figures['pairs']:,} pairs of {figures['problems']:,} problems, {figures['steps']:,} steps",
        "weights": f"{figures['parameters']:,}",
    }
    parts = [
        _table(rows),
        "<h2>Training</h2>",
        _figure(plots.curves(metrics, "accuracy", "pair accuracy"), "Pair accuracy."),
        _figure(plots.curves(metrics, "loss", "loss"), "Bradley-Terry loss; 0.693 is a coin."),
        _figure(plots.curves(metrics, "margin", "margin"), "Mean score gap of better and worse."),
        "<h2>Held-out problems</h2>",
        _figure(plots.reliability(found), "Reliability: what the score gap promises, and what it keeps."),
        *_by_pass_rate(groups, scores),
        _figure(plots.by_length(*_thinned(groups, scores)), "Length bias: none is a level cloud."),
        "<h2>Worst pairs</h2>",
        *(_pair(groups[worst.group], worst, tokenizer) for worst in diagnosis.worst_pairs(groups, scores, _WORST)),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Reward model</title>'
        f"<style>{_STYLE}</style></head><body><h1>Reward model</h1>{''.join(parts)}</body></html>\n"
    )
    path.write_text(page, encoding="utf-8", errors="backslashreplace")


def _by_pass_rate(groups: Sequence[EncodedGroup], scores: Sequence[Scores]) -> list[str]:
    rates = [rate for group in groups for rate in group.pass_rates]
    if not rates or any(rate is None for rate in rates):
        return []
    figure = plots.by_pass_rate(np.array(rates, np.float64), diagnosis.centred(scores))
    return [_figure(figure, "Scores by pass rate, in tenths.")]


def _thinned(groups: Sequence[EncodedGroup], scores: Sequence[Scores]) -> tuple[diagnosis.Floats, diagnosis.Floats]:
    """Lengths and scores of at most so many programs as a browser draws at ease, evenly taken."""
    lengths, centred = diagnosis.centred(diagnosis.lengths(groups)), diagnosis.centred(scores)
    step = -(-len(centred) // _MOST_POINTS)
    return lengths[::step], centred[::step]


def _pair(group: EncodedGroup, worst: diagnosis.WorstPair, tokenizer: Any) -> str:
    def text(tokens: Any) -> str:
        return html.escape(tokenizer.decode(tokens.tolist(), skip_special_tokens=True))

    sides = []
    for words, places in (("better", group.better), ("worse", group.worse)):
        place = int(places[worst.pair])
        rate = group.pass_rates[place] if group.pass_rates else None
        passed = f", pass rate {rate:.2f}" if rate is not None else ""
        sides.append(f"<div><b>{words}{passed}</b><pre>{text(group.tree.branches[place])}</pre></div>")
    return (
        f"<h3>{html.escape(group.id[:100])}: off by {-worst.gap:.2f}</h3><details><summary>prompt</summary>"
        f'<pre>{text(group.tree.prompt)}</pre></details><div class="two">{"".join(sides)}</div>'
    )


def _table(rows: Mapping[str, str]) -> str:
    cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows.items())
    return f"<table>{''.join(cells)}</table>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"
