"""Which two programs of a problem make a preference pair: the rule of AceCoder (arXiv 2502.01718), and a choice of k.

A pair is a chosen and a rejected program of one problem: the chosen one's pass rate is at least `min_chosen`, it is
above the other's by at least `min_gap`, and the rejected one's is above `rejected_above`, so that it does something
right. The paper's own numbers are the defaults.

Where this departs from the paper and its code:

- gaps are compared with a tolerance of 1e-9, since 0.95 - 0.55 is below 0.4 in floating point;
- the same program twice (but for comments, blank lines and white space at line ends) counts once, and counts not at
  all where its copies were labelled differently: what flickers teaches nothing;
- a problem gives at most `max_pairs`, balanced over its generators and its programs, not all that there are;
- programs of different generators may meet, unless `same_generator` (the authors' code pairs within one).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_TOLERANCE = 1e-9
_COMMENT_OR_BLANK = re.compile(r"[ \t]*(#.*)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """The settings of pairing. Rates are from 0 to 1; `max_pairs` is for one problem, 0 means all."""

    min_chosen: float = 0.8
    min_gap: float = 0.4
    rejected_above: float = 0.0
    max_pairs: int = 16
    same_generator: bool = False
    seed: int = 0

    def allows(self, chosen: float, rejected: float) -> bool:
        """Whether two pass rates make a pair."""
        return (
            chosen >= self.min_chosen - _TOLERANCE
            and chosen - rejected >= self.min_gap - _TOLERANCE
            and rejected > self.rejected_above
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A program of a problem with its label. `sha256` is that of the program as it was graded, hexadecimal."""

    program: str
    sha256: str
    pass_rate: float
    generator: str


def same_text(program: str) -> str:
    """What two copies of a program have in common: its lines without comments of their own, blanks and ends.

    No parser touches the program: it is hostile.
    """
    lines = (line.rstrip() for line in program.splitlines())
    return "\n".join(line for line in lines if not _COMMENT_OR_BLANK.fullmatch(line))


def distinct(candidates: Iterable[Candidate]) -> tuple[list[Candidate], int, int]:
    """One of each program, the first. Returns (programs, copies left out, programs whose copies disagree)."""
    kept: dict[str, Candidate] = {}
    rates: dict[str, set[float]] = {}
    total = 0
    for candidate in candidates:
        total += 1
        text = same_text(candidate.program)
        kept.setdefault(text, candidate)
        rates.setdefault(text, set()).add(candidate.pass_rate)
    agreed = [candidate for text, candidate in kept.items() if len(rates[text]) == 1]
    return agreed, total - len(kept), len(kept) - len(agreed)


class Pairing:
    """Makes the pairs of problem after problem, and evens out over all of them how often a generator appears."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._appearances: Counter[tuple[str, str]] = Counter()  # (side, generator)

    def pairs(self, problem_id: str, candidates: Sequence[Candidate]) -> list[tuple[Candidate, Candidate]]:
        """(chosen, rejected) pairs of distinct programs; the same for the same candidates in any order.

        One pair after the other is taken, of the generators, then of the programs, that this problem has used least.
        """
        rule = self._rule
        chance = {
            candidate.sha256: hashlib.blake2b(f"{rule.seed}\0{problem_id}\0{candidate.sha256}".encode()).digest()
            for candidate in candidates
        }
        better = [candidate for candidate in candidates if candidate.pass_rate >= rule.min_chosen - _TOLERANCE]
        used: Counter[tuple[str, str]] = Counter()  # (side, generator or program), in this problem
        taken: set[tuple[str, str]] = set()

        def weight(side: str, candidate: Candidate) -> tuple[int, int, int, bytes]:
            generator = side, candidate.generator
            return (
                used[generator],
                self._appearances[generator],
                used[side, candidate.sha256],
                chance[candidate.sha256],
            )

        def partners(chosen: Candidate) -> list[Candidate]:
            return [
                other
                for other in candidates
                if rule.allows(chosen.pass_rate, other.pass_rate)
                and (chosen.sha256, other.sha256) not in taken
                and (not rule.same_generator or chosen.generator == other.generator)
            ]

        pairs: list[tuple[Candidate, Candidate]] = []
        while better and (not rule.max_pairs or len(pairs) < rule.max_pairs):
            chosen = min(better, key=lambda candidate: weight("chosen", candidate))
            others = partners(chosen)
            if not others:
                better.remove(chosen)
                continue
            rejected = min(others, key=lambda candidate: weight("rejected", candidate))
            pairs.append((chosen, rejected))
            taken.add((chosen.sha256, rejected.sha256))
            for side, candidate in (("chosen", chosen), ("rejected", rejected)):
                used[side, candidate.generator] += 1
                used[side, candidate.sha256] += 1
                self._appearances[side, candidate.generator] += 1
        return pairs


def is_validation(prompt: str, part: float, seed: int) -> bool:
    """Whether a problem belongs to the validation split: by its prompt, so that copies of it are on one side.

    It depends on nothing else: a problem stays where it is when others come. `part` is from 0 to 1.
    """
    words = " ".join(prompt.split()).lower()
    digest = hashlib.blake2b(f"{seed}\0{words}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) < part * 2**64
