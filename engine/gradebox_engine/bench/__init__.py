"""`gradebox bench`: what a grading costs, against other ways to grade, measured in one run."""

from collections.abc import Callable, Sequence
from pathlib import Path

from gradebox_engine.bench import behaviour, rows
from gradebox_engine.bench.measure import BenchError, Progress
from gradebox_engine.bench.result import BenchResult, Row
from gradebox_engine.bench.rows import Options

__all__ = ["ROWS", "BenchError", "BenchResult", "run_bench"]

ROWS: dict[str, Callable[[Options, Progress], Row]] = {
    "asserts": rows.asserts,
    "humaneval": rows.humaneval,
    "numpy": rows.numpy,
    "stdio": rows.stdio,
    "overhead": rows.overhead,
    "scaling": behaviour.scaling,
    "latency": behaviour.latency,
    "long": behaviour.long,
}


def run_bench(
    *,
    only: Sequence[str] = (),
    seconds: float = 5.0,
    gradings: int | None = None,
    data: Path | None = None,
    evalplus_python: Path | None = None,
    long: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> BenchResult:
    """Measures row by row, in each of them every way of grading that this machine has, in interleaved rounds.

    Args:
        only: names of ROWS; none means all of them, `long` only where it is given.
        seconds: how long each way is measured.
        gradings: measure so many programs of each instead.
        data: a folder of published data, for HumanEval's canonical solutions.
        evalplus_python: the interpreter of a virtual environment that has evalplus.
        long: how many submissions the row `long` makes, at least 100.
        progress: is told, in a few words, what is going on.

    Raises:
        BenchError: a way of grading could not start, or did not pass a right program.
        OSError: `data` cannot be read.
    """
    options = Options(seconds, gradings, data, evalplus_python, long)
    names = [name for name in ROWS if name in only] if only else [name for name in ROWS if name != "long" or long]
    return BenchResult(tuple(ROWS[name](options, progress) for name in names))
