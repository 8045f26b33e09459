"""Which problems are worth training on: AceCoder's hard subset, from the pass rates of sampled programs."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median, pstdev

from gradebox_command.errors import DONE, InputError
from gradebox_command.problem_rows import FieldError, problem_id
from gradebox_command.rows import json_kind, read_rows
from gradebox_command.writing import write_rows


def hard_subset(pass_rates: Mapping[str, Sequence[float]]) -> list[str]:
    """The ids, in their order, of the problems with the lower mean pass rate (at most the median of the means), and of
    these those with the larger spread (standard deviation at least their median).

    Problems without a pass rate are left out of both medians.
    """
    means = {id: fmean(rates) for id, rates in pass_rates.items() if rates}
    if not means:
        return []
    middle = median(means.values())
    spreads = {id: pstdev(pass_rates[id]) for id, mean in means.items() if mean <= middle}
    least = median(spreads.values())
    return [id for id, spread in spreads.items() if spread >= least]


def select_hard(problems: Path, labels: Path, output: Path, *, as_json: bool) -> int:
    """Writes the rows of the problems that are kept, as they stand, and returns the exit status.

    Raises:
        InputError: a row of a file is wrong, or no problem has a label.
        CommandError: the output cannot be written.
    """
    rates = _pass_rates(labels)
    rows = {}
    for line, row in read_rows(problems):
        try:
            rows[problem_id(row)] = row
        except FieldError as error:
            raise InputError(problems, line, error.field, error.problem) from None
    labelled = {id: rates[id] for id in rows if rates.get(id)}
    if not labelled:
        raise InputError(labels, None, "id", f"no label is of a problem in {problems}")
    kept = hard_subset(labelled)
    write_rows(output, (rows[id] for id in kept))
    counts = {"output": str(output), "problems": len(rows), "labelled": len(labelled), "kept": len(kept)}
    if as_json:
        print(json.dumps(counts))
    else:
        print(f"{output}: {len(kept):,} of {len(rows):,} problems ({len(labelled):,} have labels)")
    return DONE


def _pass_rates(labels: Path) -> dict[str, list[float]]:
    """By problem; labels without a pass rate (the engine's fault) are passed over."""
    rates: dict[str, list[float]] = {}
    for line, row in read_rows(labels):
        try:
            id = problem_id(row)
        except FieldError as error:
            raise InputError(labels, line, error.field, error.problem) from None
        rate = row.get("pass_rate")
        if rate is None:
            continue
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate):
            raise InputError(labels, line, "pass_rate", f"must be a number, is {json_kind(rate)}")
        rates.setdefault(id, []).append(float(rate))
    return rates
