"""Reading a model's answer to the synthesis prompt."""

import json

import pytest

from gradebox_trainer.synthesis.answer import Exercise, Unreadable, read_answer

GOOD = {"question": "Write f(x), which doubles x.", "entry_point": "f", "tests": ["assert f(1) == 2"]}
TEXT = json.dumps(GOOD)
EXERCISE = Exercise(str(GOOD["question"]), "f", ("assert f(1) == 2",))


@pytest.mark.parametrize(
    "text", [TEXT, f"  {TEXT}\n", f"```json\n{TEXT}\n```", f"Here it is:\n```\n{TEXT}\n```\nEnjoy!"]
)
def test_json_bare_or_fenced(text: str) -> None:
    assert read_answer(text) == EXERCISE


def test_a_question_with_a_block_of_tests() -> None:
    text = (
        "Write f(x), which doubles x, beside g.\n\n```python\nimport os\n# doubles\nassert f(1) == 2\n\n"
        "def test_more():\n    assert f(2) == 4, 'two'\n    x = 3\n    assert f(x) == 6\n\nassert g(1) == 1\n```"
    )

    exercise = read_answer(text)

    assert exercise.entry_point == "f"
    assert exercise.question == "Write f(x), which doubles x, beside g."
    assert exercise.tests == ("assert f(1) == 2", "assert f(2) == 4, 'two'", "assert f(x) == 6", "assert g(1) == 1")


def test_a_test_that_was_cut_off_does_not_spoil_the_others() -> None:
    exercise = read_answer("Write f.\n```python\nassert f(1) == [\n    1]\nassert f(2) == 2\nassert f([1, 2\n```")

    assert exercise.tests == ("assert f(1) == [\n    1]", "assert f(2) == 2", "assert f([1, 2")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither JSON nor a question with a block of tests"),
        ("I cannot.", "neither JSON nor a question with a block of tests"),
        (TEXT[:-5], "not JSON"),
        ("{" * 5000, "not JSON"),
        (TEXT + TEXT, "not JSON"),
        (json.dumps({**GOOD, "more": 1}), "other fields than asked for"),
        (json.dumps([GOOD]), "neither JSON nor a question with a block of tests"),
        (json.dumps({**GOOD, "tests": "assert f(1)"}), "a field of another type than asked for"),
        (json.dumps({**GOOD, "tests": [1]}), "a test that is no string"),
        (json.dumps({**GOOD, "question": " "}), "no question"),
        (json.dumps({**GOOD, "entry_point": "f(x)"}), "the entry point is no name"),
        (json.dumps({**GOOD, "entry_point": "g"}), "the question does not name the entry point"),
        (f"```json\n{TEXT}\n```\n```json\n{TEXT}\n```", "neither JSON nor a question with a block of tests"),
        ("Write f.\n```python\nprint(1)\n```", "no assert calls a function that the question names"),
        ("Write f.\n```python\nassert g(1)\n```", "no assert calls a function that the question names"),
        ("Write f.\n```python\nassert f(1)\n```\nand so on", "neither JSON nor a question with a block of tests"),
    ],
)
def test_nothing_is_guessed(text: str, why: str) -> None:
    with pytest.raises(Unreadable) as unreadable:
        read_answer(text)

    assert str(unreadable.value) == why


def test_an_answer_that_was_too_long_is_said_to_be_cut_off() -> None:
    with pytest.raises(Unreadable, match="cut off"):
        read_answer(TEXT[:-5], cut_off=True)
