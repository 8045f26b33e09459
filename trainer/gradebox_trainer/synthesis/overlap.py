"""Problems that say nearly the same, and problems that overlap with an evaluation suite.

Near-duplicates: MinHash over the words' 5-grams, then the exact Jaccard index of those that collide; 0.7 and above is
a duplicate. Both numbers are BigCode's for code (Li et al. 2023, "StarCoder: may the source be with you!", 3.4;
Kocetkov et al. 2022, "The Stack", 4.2). Our departure: candidates are verified exactly.

Decontamination: a problem that shares any 10 words in a row with a problem of an evaluation suite is removed, as in
Qwen2.5-Coder (Hui et al. 2024, technical report, "Decontamination": 10-gram word-level overlap). GPT-3 took 13
(Brown et al. 2020, appendix C). An evaluation text shorter than that counts as a whole from five words on.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from datasketch import MinHash, MinHashLSH

from gradebox_command.errors import InputError
from gradebox_command.rows import read_rows

NEAR_DUPLICATE = 0.7
CONTAMINATION_WORDS = 10

_SHINGLE_WORDS = 5
_SHORTEST_TEXT_WORDS = 5
_PERMUTATIONS = 256
_STRICTEST_INDEX = 0.95  # above it there is no way to cut 256 hashes into bands
_TEXTS = ("prompt", "question", "question_content", "instruct_prompt", "complete_prompt", "text", "description")
_SOLUTIONS = ("canonical_solution", "code")
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The words of a text in lower case: what is compared."""
    return _WORD.findall(text.lower())


def _grams(tokens: list[str], n: int) -> Iterator[str]:
    for start in range(len(tokens) - n + 1):
        yield " ".join(tokens[start : start + n])


class NearDuplicates:
    """Texts seen so far. `threshold`: the Jaccard index of the 5-grams from which on two texts are one."""

    def __init__(self, threshold: float = NEAR_DUPLICATE) -> None:
        self._threshold = threshold
        # Candidates are verified, so that one too many costs little, and one too few is a duplicate that stays.
        self._index = MinHashLSH(threshold=min(threshold, _STRICTEST_INDEX), num_perm=_PERMUTATIONS, weights=(0.1, 0.9))
        self._shingles: dict[str, frozenset[int]] = {}

    def add(self, key: str, text: str) -> str | None:
        """The key of the most similar earlier text that is nearly the same; else None, and the text is remembered."""
        tokens = words(text)
        grams = set(_grams(tokens, _SHINGLE_WORDS)) or {" ".join(tokens)}
        sketch = MinHash(num_perm=_PERMUTATIONS)
        sketch.update_batch([gram.encode() for gram in sorted(grams)])
        shingles = frozenset(map(hash, grams))
        similar = [(self._jaccard(other, shingles), other) for other in self._index.query(sketch)]
        best = max((found for found in similar if found[0] >= self._threshold), default=None)
        if best is not None:
            return str(best[1])
        self._index.insert(key, sketch)
        self._shingles[key] = shingles
        return None

    def _jaccard(self, key: str, shingles: frozenset[int]) -> float:
        other = self._shingles[key]
        return len(other & shingles) / len(other | shingles)


class Evaluations:
    """The n-grams of evaluation suites: their questions, and the solutions that come with them."""

    def __init__(self, paths: Iterable[Path], n: int = CONTAMINATION_WORDS) -> None:
        """Reads problem files as published (see `_TEXTS` for the fields).

        Raises:
            InputError: a row has none of the fields.
        """
        self._n = n
        self._grams: dict[str, str] = {}
        self._short: dict[int, dict[str, str]] = {}
        for path in paths:
            for line, row in read_rows(path):
                self._add(path, line, row)

    def _add(self, path: Path, line: int, row: Mapping[str, Any]) -> None:
        name = str(row.get("id") or row.get("task_id") or row.get("question_id") or f"{path.name}:{line}")
        texts = [row[field] for field in (*_TEXTS, *_SOLUTIONS) if isinstance(row.get(field), str)]
        if not any(isinstance(row.get(field), str) for field in _TEXTS):
            raise InputError(path, line, "", f"an evaluation problem needs a text in one of {', '.join(_TEXTS)}")
        for text in texts:
            tokens = words(text)
            if len(tokens) >= self._n:
                for gram in _grams(tokens, self._n):
                    self._grams.setdefault(gram, name)
            elif len(tokens) >= _SHORTEST_TEXT_WORDS:
                self._short.setdefault(len(tokens), {}).setdefault(" ".join(tokens), name)

    def overlap(self, *texts: str) -> str | None:
        """The evaluation problem that one of the texts overlaps with; None for none."""
        for text in texts:
            tokens = words(text)
            for n, known in ((self._n, self._grams), *self._short.items()):
                for gram in _grams(tokens, n):
                    if gram in known:
                        return known[gram]
        return None
