"""`gradebox best-of-n`: labels and scores to curves, a table and a figure."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gradebox_command.errors import DONE, BadArgument, CommandError, InputError
from gradebox_command.rows import json_kind, read_rows
from gradebox_command.terminal import console
from gradebox_trainer.reward.best_of_n import Point, Samples, curve

ALL = "all generators"
Measure = Literal["passed", "pass_rate"]


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    labels: Path
    scores: Path
    greedy: Path | None
    measure: Measure
    output: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """One generator's (or all generators') curve. `greedy`: the mean of its greedy programs, where given."""

    generator: str
    points: list[Point]
    greedy: float | None


def best_of_n(options: Options) -> int:
    """Prints the table, writes table and figure where asked to; returns the exit status.

    Raises:
        InputError: a row is not a label or not a score, or a scored program has no label.
        CommandError: the output cannot be written.
    """
    values = read_values(options.labels, options.measure)
    by_generator = _join(options.scores, options.labels, values)
    greedy = _greedy(options.greedy, options.measure) if options.greedy else None
    curves = [
        Curve(name, curve(problems), greedy if name == ALL else None)
        for name, problems in by_generator.items()
        if max(len(samples.score) for samples in problems) > 1 or name == ALL
    ]
    rows = [{"generator": c.generator, "greedy": c.greedy, "points": [asdict(p) for p in c.points]} for c in curves]
    result = {"measure": options.measure, "curves": rows}
    if options.output is not None:
        try:
            options.output.mkdir(parents=True, exist_ok=True)
            (options.output / "best_of_n.json").write_text(json.dumps(result, indent=1) + "\n")
            draw(curves, options.measure, options.output / "best_of_n.svg")
        except OSError as error:
            raise CommandError(f"{options.output}: {error.strerror}") from None
    if options.as_json:
        print(json.dumps(result))
    else:
        _show(curves, options.measure)
    return DONE


def read_values(labels: Path, measure: Measure) -> dict[tuple[str, str], float | None]:
    """What each labelled program is worth, by (problem id, SHA-256); None where the engine gave no verdict.

    Raises:
        InputError: a row is no label.
    """
    values: dict[tuple[str, str], float | None] = {}
    for line, row in read_rows(labels):
        for field in ("id", "program_sha256", "verdict"):
            if not isinstance(row.get(field), str):
                raise InputError(
                    labels, line, field, "missing: not a label" if field not in row else "must be a string"
                )
        rate = row.get("pass_rate")
        if rate is not None and not isinstance(rate, int | float):
            raise InputError(labels, line, "pass_rate", f"must be a number or null, is {json_kind(rate)}")
        value = None if rate is None else float(row["verdict"] == "PASSED") if measure == "passed" else float(rate)
        values[row["id"], row["program_sha256"]] = value
    return values


def _join(scores: Path, labels: Path, values: Mapping[tuple[str, str], float | None]) -> dict[str, list[Samples]]:
    """Samples of each problem by generator, and of all together."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {ALL: defaultdict(list)}
    for line, row in read_rows(scores):
        id, digest, score = row.get("id"), row.get("program_sha256"), row.get("score")
        if not isinstance(id, str) or not isinstance(digest, str) or "score" not in row:
            raise InputError(scores, line, "score", "missing: not a row of gradebox score")
        if score is not None and not isinstance(score, int | float):
            raise InputError(scores, line, "score", f"must be a number or null, is {json_kind(score)}")
        if (id, digest) not in values:
            raise InputError(scores, line, "program_sha256", f"no label of this program of {id!r} in {labels}")
        value = values[id, digest]
        if value is None:  # ENGINE_ERROR: nobody knows
            continue
        number = -np.inf if score is None else float(score)  # too long to score: never chosen before another
        found[ALL][id].append((value, number))
        if isinstance(generator := row.get("generator"), str):
            found.setdefault(generator, defaultdict(list))[id].append((value, number))
    if not found[ALL]:
        raise BadArgument(f"{scores}: no scored program has a verdict")
    return {
        name: [Samples(*(np.array(side) for side in zip(*rows, strict=True))) for rows in problems.values()]
        for name, problems in found.items()
    }


def _greedy(labels: Path, measure: Measure) -> float:
    known = [value for value in read_values(labels, measure).values() if value is not None]
    if not known:
        raise BadArgument(f"{labels}: no program has a verdict")
    return float(np.mean(known))


def _show(curves: Sequence[Curve], measure: Measure) -> None:
    from rich.table import Table

    table = Table(
        "generator", "n", "problems", "random", "best of n", "95 %", "oracle", "gain", "95 %",
        title=f"best of n by score: {measure}", title_justify="left",
    )  # fmt: skip
    for one in curves:
        for point in one.points:
            table.add_row(
                one.generator if point.n == 1 else "",
                str(point.n),
                f"{point.problems:,}",
                f"{point.random:.3f}",
                f"{point.best:.3f}",
                f"{point.low:.3f}-{point.high:.3f}",
                f"{point.oracle:.3f}",
                f"{point.gain:+.3f}",
                f"{point.gain_low:+.3f} {point.gain_high:+.3f}",
            )
        if one.greedy is not None:
            table.add_row("", "greedy", "", "", f"{one.greedy:.3f}")
    console().print(table)


def draw(curves: Sequence[Curve], measure: Measure, path: Path) -> None:
    """The curves of all generators together and of the first few, each with its random and oracle bounds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown: list[Any] = sorted(curves, key=lambda c: (-len(c.points), c.generator))[:6]
    figure, axes = pyplot.subplots(1, len(shown), figsize=(4 * len(shown), 3.4), squeeze=False, sharey=True)
    for axis, one in zip(axes[0], shown, strict=True):
        n = [point.n for point in one.points]
        axis.plot(n, [point.oracle for point in one.points], "--", color="0.6", label="oracle")
        axis.plot(n, [point.best for point in one.points], "o-", label="reward model")
        axis.fill_between(n, [p.low for p in one.points], [p.high for p in one.points], alpha=0.2)
        axis.plot(n, [point.random for point in one.points], ":", color="0.4", label="random")
        if one.greedy is not None:
            axis.axhline(one.greedy, color="tab:green", linewidth=1, label="greedy")
        axis.set(title=one.generator[:34], xscale="log", xlabel="n", xticks=n, xticklabels=n)
    axes[0][0].set_ylabel("all tests passed" if measure == "passed" else "pass rate")
    axes[0][0].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
