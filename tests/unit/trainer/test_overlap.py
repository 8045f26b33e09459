"""Near-duplicates, and overlap with evaluation suites."""

import json
from pathlib import Path

import pytest

pytest.importorskip("datasketch")

from gradebox_command.errors import InputError
from gradebox_trainer.synthesis.overlap import Evaluations, NearDuplicates

QUESTION = (
    "Write a function that takes a list of whole numbers and returns the longest run of numbers that rise strictly, "
    "as a list; of several runs of equal length the first one counts, and an empty list gives an empty list."
)


def test_nearly_the_same_question_is_found_and_another_one_is_not() -> None:
    near = NearDuplicates()

    assert near.add("a", QUESTION) is None
    assert near.add("b", QUESTION.replace("whole numbers", "integers")) == "a"
    assert near.add("c", QUESTION.upper().replace(",", " ,")) == "a"
    assert near.add("d", "Write a function that tells whether a text reads the same backwards, letters alone.") is None
    assert near.add("e", "f") is None
    assert near.add("f", "F.") == "e"


def test_the_threshold_is_a_jaccard_index_that_is_checked_exactly() -> None:
    words = [f"w{n}" for n in range(104)]  # 100 shingles of five
    changed = [*words[:-20], *(f"v{n}" for n in range(20))]  # 80 of them stay: 80 / 120
    strict, loose = NearDuplicates(0.68), NearDuplicates(0.65)
    for near in (strict, loose):
        near.add("a", " ".join(words))

    assert strict.add("b", " ".join(changed)) is None
    assert loose.add("b", " ".join(changed)) == "a"


def evaluation(path: Path, *rows: dict[str, str]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_ten_words_in_a_row_are_an_overlap_and_nine_are_not(tmp_path: Path) -> None:
    words = QUESTION.split()
    suite = evaluation(tmp_path / "suite.jsonl", {"task_id": "suite/1", "prompt": " ".join(words[:20])})
    known = Evaluations([suite])

    assert known.overlap("It begins. " + " ".join(words[3:13]).upper() + "! It ends.") == "suite/1"
    assert known.overlap(" ".join(words[3:12]) + " and then something else altogether, quite different") is None


def test_solutions_and_short_texts_count_too(tmp_path: Path) -> None:
    solution = "def add(first, second):\n    total = first + second\n    total = total * 1\n    return total\n"
    suite = evaluation(
        tmp_path / "suite.jsonl",
        {"id": "suite/1", "question": "Add two numbers, please.", "canonical_solution": solution},
        {"id": "suite/2", "text": "Remove the last odd number."},
    )
    known = Evaluations([suite])

    assert known.overlap("nothing", f"import math\n{solution}") == "suite/1"
    assert known.overlap("Please remove the last odd number from a list that is given to you as text.") == "suite/2"
    assert known.overlap("add two numbers") is None


def test_a_row_without_a_text_is_an_error_with_its_line(tmp_path: Path) -> None:
    suite = evaluation(tmp_path / "suite.jsonl", {"question": "What is it?"}, {"id": "x"})

    with pytest.raises(InputError, match=r"suite\.jsonl:2: an evaluation problem needs a text"):
        Evaluations([suite])
