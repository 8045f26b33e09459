"""The figures of a reward model's report, as SVG text. What they show is computed in `diagnosis`."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from gradebox_trainer.reward.diagnosis import Floats, Reliability

_SIZE = (5.2, 3.2)


def curves(rows: Sequence[Mapping[str, Any]], name: str, label: str) -> str:
    """A figure over the steps: of the training batches, and of the held-out problems."""

    def draw(axis: Axes) -> None:
        for key, words, style in ((name, "training", "-"), (f"eval/{name}", "held-out problems", "o-")):
            points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
            if points:
                axis.plot(*zip(*points, strict=True), style, markersize=3, linewidth=1, label=words)
        axis.set(xlabel="step", ylabel=label)
        axis.legend(fontsize="small")

    return _svg(draw)


def reliability(found: Reliability) -> str:
    """How often the higher score is right, for each size of the gap, and how often the loss's model says it is."""

    def draw(axis: Axes) -> None:
        axis.plot([0.5, 1], [0.5, 1], ":", color="0.5", label="calibrated")
        axis.plot(found.said, found.right, "o-", label="held-out pairs")
        axis.set(xlabel="sigmoid of the score gap", ylabel="share where the higher score is better", ylim=(0, 1.02))
        axis.legend(fontsize="small")

    return _svg(draw)


def by_pass_rate(pass_rates: Floats, scores: Floats) -> str:
    """Scores (less their problem's mean) by pass rate, in tenths."""

    def draw(axis: Axes) -> None:
        tenths = [min(9, int(rate * 10)) for rate in pass_rates]
        present = sorted(set(tenths))
        boxes = [[s for s, t in zip(scores, tenths, strict=True) if t == tenth] for tenth in present]
        axis.boxplot(boxes, positions=present, widths=0.7, showfliers=False)
        axis.set(xlabel="pass rate", ylabel="score less the problem's mean", xlim=(-0.6, 9.6))
        axis.set_xticks(range(10), [f"{tenth / 10:.1f}" for tenth in range(10)])

    return _svg(draw)


def by_length(lengths: Floats, scores: Floats) -> str:
    """Scores against lengths, both less their problem's mean."""

    def draw(axis: Axes) -> None:
        axis.plot(lengths, scores, ".", markersize=2, alpha=0.4)
        axis.set(xlabel="tokens less the problem's mean", ylabel="score less the problem's mean")

    return _svg(draw)


def _svg(draw: Any) -> str:
    figure, axis = pyplot.subplots(figsize=_SIZE)
    draw(axis)
    figure.tight_layout()
    text = io.StringIO()
    with pyplot.rc_context({"svg.hashsalt": "gradebox"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]
