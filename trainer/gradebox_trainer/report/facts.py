"""What the page shows, counted in one pass over the labels. Memory grows with the problems and their tests, not with
the size of a label.
"""

import hashlib
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from gradebox_command.errors import InputError
from gradebox_command.rows import read_rows
from gradebox_trainer.labelled import check_label
from gradebox_trainer.pairing import Rule

RATE_BINS = 21
"""Pass rates are rounded to twentieths, so that 0 and 1 have bins of their own."""

CPU_BINS_PER_DECADE = 10
_CPU_LEAST_S = 1e-5
_CPU_DECADES = 8
EXAMPLES = 2
NO_GENERATOR = "(no generator named)"


@dataclass(slots=True)
class Items:
    """Sums over the labels of one problem, an entry a test: what discrimination needs. Arrays of length tests."""

    n: int
    passed: Any
    score: float  # sum of tests passed, over labels
    squares: float
    with_passed: Any  # sum of tests passed, over the labels that passed this test

    @classmethod
    def empty(cls, tests: int) -> "Items":
        return cls(0, np.zeros(tests), 0.0, 0.0, np.zeros(tests))

    def add(self, passed: Any) -> None:
        score = float(passed.sum())
        self.n += 1
        self.passed += passed
        self.score += score
        self.squares += score * score
        self.with_passed += passed * score

    def discrimination(self) -> tuple[Any, Any]:
        """(share of programs that pass a test, correlation of passing it with the number of the others passed).

        The item-rest correlation of test theory; NaN where all programs or none pass, or where the rest never varies.
        """
        n, share = self.n, self.passed / max(self.n, 1)
        # The rest's score is s - x; x is 0 or 1, so that x * x = x.
        rest_sum = self.score - self.passed
        rest_squares = self.squares - 2 * self.with_passed + self.passed
        covariance = (self.with_passed - self.passed) / n - share * rest_sum / n
        variance = (rest_squares / n - (rest_sum / n) ** 2) * share * (1 - share)
        with np.errstate(invalid="ignore", divide="ignore"):
            return share, np.where(variance > 1e-12, covariance / np.sqrt(np.maximum(variance, 1e-300)), np.nan)


@dataclass(frozen=True, slots=True, order=True)
class Example:
    """A label to show. The least `chance` is kept: the same examples for the same labels, in any order."""

    chance: bytes
    id: str
    sha256: str
    label: Mapping[str, Any] = field(compare=False)


@dataclass(slots=True)
class Facts:
    """Counts over a set of labels."""

    labels: int = 0
    tests: int = 0
    unrated: int = 0
    rates: dict[str, Any] = field(default_factory=dict)  # generator -> array of RATE_BINS
    verdicts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by generator
    test_verdicts: Counter[str] = field(default_factory=Counter)
    seals: Counter[str] = field(default_factory=Counter)
    evidence: Counter[str] = field(default_factory=Counter)
    cpu: Any = field(default_factory=lambda: np.zeros(CPU_BINS_PER_DECADE * _CPU_DECADES, np.int64))
    cpu_time_s: float = 0.0
    items: dict[str, Items] = field(default_factory=dict)
    programs: dict[str, dict[bytes, float]] = field(default_factory=dict)  # problem -> distinct program -> pass rate
    examples: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    @property
    def distinct(self) -> int:
        """Distinct programs that have a pass rate, each counted once a problem."""
        return sum(map(len, self.programs.values()))

    def add(self, label: Mapping[str, Any], generator: str) -> None:
        """Counts one label."""
        tests = label["tests"]
        self.labels += 1
        self.tests += len(tests)
        self.verdicts[generator][label["verdict"]] += 1
        self.evidence.update(label.get("evidence") or ())
        cpu_time_s = 0.0
        for test in tests:
            self.test_verdicts[test["verdict"]] += 1
            self.seals[test.get("seal") or "none"] += 1
            cpu_time_s += test.get("cpu_time_s") or 0.0
        self.cpu_time_s += cpu_time_s
        self.cpu[cpu_bin(cpu_time_s)] += 1
        rate = label["pass_rate"]
        broken = any(test["verdict"] == "ENGINE_ERROR" for test in tests)
        if rate is None:
            self.unrated += 1
        else:
            self.rates.setdefault(generator, np.zeros(RATE_BINS, np.int64))[round(rate * (RATE_BINS - 1))] += 1
        if rate is not None and not broken:
            digest = bytes.fromhex(label["program_sha256"])[:8]
            programs = self.programs.setdefault(label["id"], {})
            if digest not in programs:
                programs[digest] = rate
                self._add_items(label["id"], tests)
        self._keep_example(label)

    def _add_items(self, id: str, tests: list[Mapping[str, Any]]) -> None:
        items = self.items.get(id)
        if items is None:
            items = self.items[id] = Items.empty(len(tests))
        if len(items.passed) == len(tests):
            items.add(np.array([test["verdict"] == "PASSED" for test in tests], float))

    def _keep_example(self, label: Mapping[str, Any]) -> None:
        chance = hashlib.blake2b(f"{label['id']}\0{label['program_sha256']}".encode("utf-8", "replace")).digest()
        kept = self.examples[label["verdict"]]
        if any(example.sha256 == label["program_sha256"] and example.id == label["id"] for _, example in kept):
            return
        entry = (_inverse(chance), Example(chance, label["id"], label["program_sha256"], dict(label)))
        if len(kept) < EXAMPLES:
            heapq.heappush(kept, entry)
        elif entry > kept[0]:
            heapq.heapreplace(kept, entry)

    def shown(self) -> dict[str, list[Example]]:
        """The examples of each verdict."""
        return {verdict: sorted(example for _, example in kept) for verdict, kept in self.examples.items()}

    def pairs(self, rule: Rule) -> tuple[int, int]:
        """(pairs that the rule allows among distinct programs, problems that have one)."""
        total = problems = 0
        for programs in self.programs.values():
            counts = Counter(programs.values())
            found = sum(
                n * m for chosen, n in counts.items() for rejected, m in counts.items() if rule.allows(chosen, rejected)
            )
            total += min(found, rule.max_pairs) if rule.max_pairs else found
            problems += found > 0
        return total, problems

    def cpu_quantile(self, part: float) -> float:
        """CPU seconds of a program that this part of all stays below, to the width of a bin."""
        total = self.cpu.sum()
        place = int(np.searchsorted(np.cumsum(self.cpu), part * total)) if total else 0
        return cpu_edges()[min(place + 1, len(self.cpu))]


def _inverse(chance: bytes) -> bytes:
    return bytes(255 - byte for byte in chance)


def cpu_bin(cpu_time_s: float) -> int:
    """The bin of a time: logarithmic, from 10 microseconds to 1000 seconds."""
    if cpu_time_s <= _CPU_LEAST_S:
        return 0
    place = int(math.log10(cpu_time_s / _CPU_LEAST_S) * CPU_BINS_PER_DECADE)
    return min(place, CPU_BINS_PER_DECADE * _CPU_DECADES - 1)


def cpu_edges() -> list[float]:
    """The edges of the bins, seconds."""
    return [_CPU_LEAST_S * 10 ** (n / CPU_BINS_PER_DECADE) for n in range(CPU_BINS_PER_DECADE * _CPU_DECADES + 1)]


def gather(labels: Path) -> Facts:
    """Reads a set of labels. Raises InputError where a row is not a label, or there is none."""
    facts = Facts()
    for line, label in read_rows(labels):
        if not isinstance(label.get("id"), str):
            raise InputError(labels, line, "id", "must be a string: not a label")
        check_label(labels, line, label)
        facts.add(label, label.get("generator") or NO_GENERATOR)
    if not facts.labels:
        raise InputError(labels, None, "", "there are no labels in it")
    return facts


@dataclass(frozen=True, slots=True)
class Flaky:
    """A label that says something else than the same program's label of another time."""

    id: str
    program_index: int
    verdicts: tuple[str, str]
    pass_rates: tuple[float | None, float | None]
    tests: tuple[int, ...]


def flaky_rows(labels: Path, again: Path) -> Iterator[Flaky]:
    """Compares two sets of labels of the same input, in the same order.

    Raises:
        InputError: they are not of the same programs.
    """
    for (line, one), (_, other) in zip_longest(read_rows(labels), read_rows(again), fillvalue=(0, {})):
        for name in ("id", "program_sha256"):
            if one.get(name) != other.get(name):
                raise InputError(again, line or None, name, f"not that of the same row of {labels}: another input")
        verdicts = tuple([test["verdict"] for test in row["tests"]] for row in (one, other))
        if verdicts[0] != verdicts[1]:
            yield Flaky(
                one["id"],
                one["program_index"],
                (one["verdict"], other["verdict"]),
                (one.get("pass_rate"), other.get("pass_rate")),
                tuple(n for n, (a, b) in enumerate(zip_longest(*verdicts)) if a != b),
            )
