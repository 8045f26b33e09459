"""Limits: what is valid, what is clamped."""

import math
from typing import Any

import pytest

from gradebox_engine.limits import Ceilings, InvalidLimit, Limits, resolve


def test_defaults() -> None:
    limits = resolve({}, Ceilings())
    assert limits == Limits()
    assert (limits.cpu_time_s, limits.wall_time_s, limits.memory_bytes) == (5.0, 30.0, 1 << 30)
    assert (limits.output_bytes, limits.processes, limits.disk_bytes) == (1 << 20, 1, 64 << 20)


def test_the_wall_limit_follows_the_cpu_limit_unless_given() -> None:
    assert resolve({"cpu_time_s": 2.0}, Ceilings()).wall_time_s == 18.0
    assert resolve({"cpu_time_s": 2.0, "wall_time_s": 3.0}, Ceilings()).wall_time_s == 3.0


def test_ceilings_win() -> None:
    ceilings = Ceilings(cpu_time_s=10.0, wall_time_s=20.0, memory_bytes=1 << 29, processes=2)
    limits = resolve({"cpu_time_s": 1e9, "processes": 5}, ceilings)
    assert (limits.cpu_time_s, limits.wall_time_s) == (10.0, 20.0)
    assert (limits.memory_bytes, limits.processes) == (1 << 29, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cpu_time_s", 0.0),
        ("cpu_time_s", -1.0),
        ("wall_time_s", math.nan),
        ("wall_time_s", math.inf),
        ("memory_bytes", 1000),
        ("output_bytes", 0),
        ("processes", 0),
        ("disk_bytes", 1),
        ("cpu_seconds", 1.0),
    ],
)
def test_what_makes_no_sense_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidLimit) as caught:
        resolve({name: value}, Ceilings())
    assert caught.value.field == name
