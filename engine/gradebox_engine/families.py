"""Metrics as plain data, so that those of several processes can be sent, added up and shown as one engine's."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

SHARED = frozenset({"gradebox_cache_disk_bytes"})  # gauges of what all fronts have together; the others add up

type Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: its samples by (name, labels)."""

    name: str
    text: str
    type: str
    samples: list[tuple[str, Labels, float]]


def families_of(registry: CollectorRegistry) -> list[Family]:
    """All metrics of a registry as they are now."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [
                (sample.name, tuple(sorted(sample.labels.items())), float(sample.value))
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ],
        )
        for metric in registry.collect()
    ]


def lasting(families: Iterable[Family]) -> list[Family]:
    """What is still true of a process that is gone: what it has counted, but none of its gauges."""
    return [family for family in families if family.type != "gauge"]


def merged(several: Iterable[Iterable[Family]]) -> list[Family]:
    """The metrics of several processes as those of one."""
    texts: dict[str, tuple[str, str]] = {}
    samples: dict[str, dict[tuple[str, Labels], float]] = {}
    for families in several:
        for family in families:
            texts.setdefault(family.name, (family.text, family.type))
            values = samples.setdefault(family.name, {})
            for name, labels, value in family.samples:
                key = (name, labels)
                if family.name in SHARED:
                    values[key] = max(value, values.get(key, value))
                else:
                    values[key] = values.get(key, 0.0) + value
    return [
        Family(name, *texts[name], [(sample, labels, value) for (sample, labels), value in values.items()])
        for name, values in samples.items()
    ]


def total(families: Iterable[Family], sample: str, **where: str) -> float:
    """The sum of a sample's values, of those with these labels."""
    return sum(by(families, sample, **where).values())


def by(families: Iterable[Family], sample: str, *labels: str, **where: str) -> dict[tuple[str, ...], float]:
    """A sample's values added up by the values of some labels."""
    sums: dict[tuple[str, ...], float] = {}
    for family in families:
        if not sample.startswith(family.name):
            continue
        for name, pairs, value in family.samples:
            if name != sample:
                continue
            known = dict(pairs)
            if all(known.get(label) == wanted for label, wanted in where.items()):
                key = tuple(known.get(label, "") for label in labels)
                sums[key] = sums.get(key, 0.0) + value
    return sums


class _Shown(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            metric = Metric(family.name, family.text, family.type)
            for name, labels, value in family.samples:
                metric.add_sample(name, dict(labels), value)
            yield metric


def exposition(families: Iterable[Family]) -> bytes:
    """The metrics in Prometheus's text format."""
    shown: Any = _Shown(families)  # a registry that has nothing else
    return generate_latest(shown)
