"""The rows of the benchmark on how the engine behaves: with more workers, with one submission, over a long run."""

import statistics
from dataclasses import replace
from math import ceil

from gradebox_engine.bench import ways, workload
from gradebox_engine.bench.measure import Bench, Progress, WayFailed, measure
from gradebox_engine.bench.result import Comparison, Line, Row
from gradebox_engine.bench.rows import AMOUNT, Options, left_out, line_of
from gradebox_engine.bench.ways import Way

_TENTHS = 10
_FRACTION = 100
_APART = 1.05


def scaling(options: Options, progress: Progress) -> Row:
    """The rate with two workers and with one."""
    work = replace(workload.sixteen_asserts(), title="two workers")
    one, two = ways.with_workers(1), ways.with_workers(2)
    command = options.command("scaling", *AMOUNT)
    if ways.cores() < 2:
        lines = [left_out(way, "there is one core") for way in (one, two)]
        return Row("scaling", work.title, work.unit, tuple(lines), command)
    found = measure(work, [one, two], seconds=options.seconds, gradings=options.gradings, progress=progress)
    rates = [found.measured[way.name].median_rate for way in (one, two)]
    gain = Comparison(rates[1] / rates[0], "{:.2f} x the rate", target=1.8, at_least=True)
    lines = [line_of(one, found.measured[one.name]), line_of(two, found.measured[two.name], gain)]
    return Row("scaling", work.title, work.unit, tuple(lines), command, counted_by=found.how, by_rate=True)


def latency(options: Options, progress: Progress) -> Row:
    """How long one submission takes when there is nothing else to do: the median, and the 99th percentile."""
    work = replace(workload.sixteen_asserts(), title="one submission on an idle engine", unit="submission")
    way = ways.one_by_one()
    found = measure(work, [way], seconds=options.seconds, gradings=options.gradings, progress=progress)
    rounds = found.measured[way.name].times_ms
    every = [time_ms for times_ms in rounds for time_ms in times_ms]
    median_ms, late_ms = statistics.median(every), percentile(every, 0.99)
    lines = (
        Line(
            "median",
            "median",
            cost_ms=median_ms,
            units=len(every),
            rounds={"cost_ms": [statistics.median(times_ms) for times_ms in rounds]},
            own=True,
        ),
        Line(
            "p99",
            "99th percentile",
            cost_ms=late_ms,
            units=len(every),
            comparison=Comparison(late_ms / median_ms, "{:.2f} x the median", target=5.0),
            rounds={"cost_ms": [percentile(times_ms, 0.99) for times_ms in rounds]},
            own=True,
        ),
    )
    return Row("latency", work.title, work.unit, lines, options.command("latency", *AMOUNT), cost="ms")


def percentile(values: list[float], share: float) -> float:
    """The smallest of the values that is not below `share` of them."""
    return sorted(values)[ceil(share * len(values)) - 1]


def long(options: Options, progress: Progress) -> Row:
    """Whether a submission costs the same at the end of a long run as at its start, and as in a short run."""
    assert options.long is not None
    work = replace(workload.sixteen_asserts(), title=f"{options.long:,} submissions", unit="submission")
    short_units = options.long // _FRACTION
    short = replace(
        ways.gradebox(), name="short", driver="gradebox", title=f"a run of {short_units:,}, before and after"
    )
    again = replace(short, name="short_again")
    whole = replace(short, name="long", title=f"a run of {options.long:,}")
    with Bench(work, [way.name for way in (short, whole, again)]) as bench:
        shorts_ms = _costs_ms(bench, short, [short_units], progress)
        tenths_ms = _costs_ms(bench, whole, [options.long // _TENTHS] * _TENTHS, progress)
        shorts_ms += _costs_ms(bench, again, [short_units], progress)
    short_ms, long_ms = statistics.mean(shorts_ms), statistics.mean(tenths_ms)

    def line(name: str, title: str, costs_ms: list[float], units: int, comparison: Comparison | None = None) -> Line:
        rounds = {"cost_ms": costs_ms}
        return Line(name, title, statistics.mean(costs_ms), None, units, comparison, rounds, own=True)

    tenth = options.long // _TENTHS
    of_first = Comparison(tenths_ms[-1] / tenths_ms[0], "{:.3f} x the first", _APART)
    of_short = Comparison(long_ms / short_ms, "{:.3f} x the short one", _APART)
    lines = (
        line("short", short.title, shorts_ms, 2 * short_units),
        line("long", whole.title, tenths_ms, options.long, of_short),
        line("first_tenth", "its first tenth", tenths_ms[:1], tenth),
        line("last_tenth", "its last tenth", tenths_ms[-1:], tenth, of_first),
    )
    return Row("long", work.title, work.unit, lines, options.command("long", "long"), counted_by=bench.how)


def _costs_ms(bench: Bench, way: Way, parts: list[int], progress: Progress) -> list[float]:
    """CPU milliseconds a submission, part by part, on an engine that is started for them and ended."""
    costs_ms = []
    drivers = bench.start(way)
    try:
        drivers.warm_up(1.0, None)
        for number, submissions in enumerate(parts, start=1):
            progress(f"{way.title}: part {number} of {len(parts)}")
            costs_ms.append(drivers.grade(submissions).cpu_ms_per_unit)
    except WayFailed as error:
        raise WayFailed(f"{way.title}: {error}") from None
    finally:
        drivers.close()
    return costs_ms
