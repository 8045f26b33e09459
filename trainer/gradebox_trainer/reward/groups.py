"""Question groups: a prompt, its distinct programs, and all pairs of them. Pure functions."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """Places in the group's programs, and how often the pair came."""

    better: int
    worse: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Group:
    """One question.

    Attributes:
        id: of the problem; its prompt where the data has no ids.
        programs: distinct.
        pass_rates: of each program; None where the data does not say.
    """

    id: str
    prompt: str
    programs: tuple[str, ...]
    pairs: tuple[Pair, ...]
    pass_rates: tuple[float | None, ...]


class GroupBuilder:
    """Collects one question's pairs and programs."""

    def __init__(self, id: str, prompt: str) -> None:
        self.id = id
        self.prompt = prompt
        self._places: dict[str, int] = {}
        self._pass_rates: list[float | None] = []
        self._weights: dict[tuple[int, int], float] = {}

    def program(self, text: str, pass_rate: float | None) -> int:
        """The place of a program; a pass rate that is known stays."""
        place = self._places.setdefault(text, len(self._places))
        if place == len(self._pass_rates):
            self._pass_rates.append(pass_rate)
        elif self._pass_rates[place] is None:
            self._pass_rates[place] = pass_rate
        return place

    def pair(self, better: int, worse: int) -> None:
        """One more of this pair."""
        self._weights[better, worse] = self._weights.get((better, worse), 0.0) + 1.0

    def apply_rule(self, *, better_at_least: float, gap_at_least: float, worse_above: float) -> None:
        """Adds every pair whose pass rates keep the rule (see `settings.PairRule`)."""
        known = [(place, rate) for place, rate in enumerate(self._pass_rates) if rate is not None]
        for better, high in known:
            if high >= better_at_least:
                for worse, low in known:
                    # 1e-9: 0.8 - 0.4 is a gap of 0.4 to whoever wrote the rule
                    if low > worse_above and high - low >= gap_at_least - 1e-9 and better != worse:
                        self.pair(better, worse)

    def build(self) -> Group:
        """The group, without programs that are in no pair."""
        used = sorted({place for pair in self._weights for place in pair})
        renumber = {place: number for number, place in enumerate(used)}
        programs = list(self._places)
        return Group(
            self.id,
            self.prompt,
            tuple(programs[place] for place in used),
            tuple(Pair(renumber[b], renumber[w], weight) for (b, w), weight in self._weights.items()),
            tuple(self._pass_rates[place] for place in used),
        )


def split_by_problem(groups: Sequence[Group], share: float, number: int = 0) -> tuple[list[Group], list[Group]]:
    """(training, validation): each problem is on one side, by a hash of its id, whatever else is in the data.

    number: of the split; each has validation problems of its own.

    At least one of each where there are two groups and `share` is not 0.
    """
    if share == 0 or len(groups) < 2:
        return list(groups), []
    salt = f"{number}:".encode() if number else b""
    order = sorted(groups, key=lambda group: hashlib.sha256(salt + group.id.encode("utf-8", "surrogatepass")).digest())
    held_out = {group.id for group in order[: min(len(groups) - 1, max(1, round(share * len(groups))))]}
    return [g for g in groups if g.id not in held_out], [g for g in groups if g.id in held_out]


def total_pairs(groups: Iterable[Group]) -> int:
    """Distinct pairs."""
    return sum(len(group.pairs) for group in groups)
