"""How well labels by one set of tests agree with labels of the same programs by another. Pure, but for reading.

The paper's claim is that synthesised tests are good enough; this measures it, for each generator and for all. Labels
are matched by problem and by the program's SHA-256, so the two files may have other orders and other subsets.

`agreement.json`: `{"labels", "reference": file names, "tests": what made the labels, "overall": row, "generators":
{name: row}}`, a row being
- `programs`, `problems`: how many were in both files, with a pass rate in both;
- `pearson`, `spearman`: correlation of the pass rates; null where one of them does not vary;
- `all_passed`: share of the programs on which "passed every test" is the same;
- `kappa`: Cohen's kappa of that; null where both always say the same one thing;
- `false_passed`, `false_failed`: how many passed the labels' tests but not the reference's, and the reverse;
- `pass_rate`, `reference_pass_rate`: means.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradebox_command.errors import InputError
from gradebox_command.files import generator_of
from gradebox_command.rows import read_rows


@dataclass(frozen=True, slots=True)
class Pair:
    """One program with its pass rate by both sets of tests."""

    problem: str
    rate: float
    reference: float


def row(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The numbers for some programs. All null, and 0 programs, for none."""
    rates = [pair.rate for pair in pairs]
    references = [pair.reference for pair in pairs]
    passed = [rate == 1 for rate in rates]
    truly = [rate == 1 for rate in references]
    same = sum(a == b for a, b in zip(passed, truly, strict=True))
    return {
        "programs": len(pairs),
        "problems": len({pair.problem for pair in pairs}),
        "pearson": _correlation(rates, references, "linear"),
        "spearman": _correlation(rates, references, "ranked"),
        "all_passed": round(same / len(pairs), 4) if pairs else None,
        "kappa": _kappa(passed, truly),
        "false_passed": sum(a and not b for a, b in zip(passed, truly, strict=True)),
        "false_failed": sum(b and not a for a, b in zip(passed, truly, strict=True)),
        "pass_rate": round(statistics.fmean(rates), 4) if pairs else None,
        "reference_pass_rate": round(statistics.fmean(references), 4) if pairs else None,
    }


def _correlation(xs: Sequence[float], ys: Sequence[float], method: str) -> float | None:
    if len(set(xs)) < 2 or len(set(ys)) < 2:
        return None
    return round(statistics.correlation(xs, ys, method=method), 4)  # type: ignore[arg-type]


def _kappa(xs: Sequence[bool], ys: Sequence[bool]) -> float | None:
    if not xs:
        return None
    n = len(xs)
    observed = sum(x == y for x, y in zip(xs, ys, strict=True)) / n
    px, py = sum(xs) / n, sum(ys) / n
    chance = px * py + (1 - px) * (1 - py)
    return round((observed - chance) / (1 - chance), 4) if chance < 1 else None


def measure(labels: Path, reference: Path, programs: Path, *, leave_out: Iterable[str] = ()) -> dict[str, Any]:
    """Compares two labels files.

    Args:
        programs: the programs file that the labels are of; it says who wrote which program.
        leave_out: generators whose programs do not count, whoever else wrote the same; such as the strong model,
            whose programs chose the tests and pass them all.

    Raises:
        InputError: a row is not one of its file.
    """
    references = {key: rate for key, rate in _rates(reference)}
    generators = _generators(programs)
    rated: list[tuple[str, tuple[str, str], float | None]] = []
    for place, (key, rate) in enumerate(_rates(labels)):
        if place >= len(generators):
            raise InputError(labels, place + 1, "", f"more labels than programs in {programs}")
        generator, id = generators[place]
        if id != key[0]:
            raise InputError(labels, place + 1, "id", f"not that of program {place + 1} in {programs}")
        rated.append((generator, key, rate))
    left_out = set(leave_out)
    passed_over = {key for generator, key, _ in rated if generator in left_out}
    found: dict[str, list[Pair]] = {}
    for generator, key, rate in rated:
        known = references.get(key)
        if key not in passed_over and rate is not None and known is not None:
            found.setdefault(generator, []).append(Pair(key[0], rate, known))
    return {
        "labels": labels.name,
        "reference": reference.name,
        "left_out": sorted(left_out),
        "overall": row([pair for pairs in found.values() for pair in pairs]),
        "generators": {name: row(found[name]) for name in sorted(found)},
    }


def _rates(path: Path) -> Iterable[tuple[tuple[str, str], float | None]]:
    """((problem, program's SHA-256), pass rate) of each label."""
    for line, label in read_rows(path):
        try:
            yield (label["id"], label["program_sha256"]), label.get("pass_rate")
        except KeyError as missing:
            raise InputError(path, line, str(missing.args[0]), "missing: not a label") from None


def _generators(path: Path) -> list[tuple[str, str]]:
    """(generator, problem) of each program, in order."""
    return [(generator_of(row) or "unnamed", row["id"]) for _, row in read_rows(path) for _ in row["programs"]]
