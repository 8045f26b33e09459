"""A model's answer to the synthesis prompt, read strictly: a JSON object, bare or fenced; or a task and its tests.

1. The whole answer is one JSON object with exactly `question`, `entry_point` and `tests`, as the prompt asks, or the
   answer has exactly one fenced block and that is such an object.
2. The second form is for models that write prose and code whatever they are asked: a question, then one last fenced
   block of Python, in which asserts are the tests. The entry point is the function that most of the asserts call, and
   the question must name it. An assert that was cut off or is no Python does not spoil those around it.

Anything else is no answer; nothing is guessed.
"""

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gradebox_trainer.python_text import parse_python

SCHEMA = {
    "type": "object",
    "properties": {
        "question": {"type": "string"},
        "entry_point": {"type": "string"},
        "tests": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["question", "entry_point", "tests"],
    "additionalProperties": False,
}
"""What an answer follows, for servers that hold a model to a schema."""

_FENCE = re.compile(r"^```[ \t]*(\w*)[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)


class Unreadable(Exception):
    """Why an answer cannot be used: one of a few words that can be counted."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """What an answer says, before its tests are looked at."""

    question: str
    entry_point: str
    tests: tuple[str, ...]


def read_answer(text: str, *, cut_off: bool = False) -> Exercise:
    """Reads an answer. `cut_off`: it ended because it was long.

    Raises:
        Unreadable: it has none of the forms, or a field is wrong.
    """
    text = text.strip()
    blocks = list(_FENCE.finditer(text))
    if text.startswith("{"):
        return _from_json(text, cut_off)
    if len(blocks) == 1 and blocks[0][1] in ("", "json") and blocks[0][2].lstrip().startswith("{"):
        return _from_json(blocks[0][2], cut_off)
    if blocks and blocks[-1][1] in ("python", "py") and not text[blocks[-1].end() :].strip():
        return _from_code(text[: blocks[-1].start()].strip(), blocks[-1][2])
    raise Unreadable("cut off" if cut_off else "neither JSON nor a question with a block of tests")


def _from_json(text: str, cut_off: bool) -> Exercise:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise Unreadable("cut off" if cut_off else "not JSON") from None
    if not isinstance(value, dict) or set(value) != {"question", "entry_point", "tests"}:
        raise Unreadable("other fields than asked for")
    question, entry_point, tests = value["question"], value["entry_point"], value["tests"]
    if not isinstance(question, str) or not isinstance(entry_point, str) or not isinstance(tests, list):
        raise Unreadable("a field of another type than asked for")
    if not all(isinstance(test, str) for test in tests):
        raise Unreadable("a test that is no string")
    return _exercise(question, entry_point, tuple(tests))


def _from_code(question: str, code: str) -> Exercise:
    tests = _asserts(code)
    called = Counter(match[1] for test in tests if (match := re.match(r"assert\s+\(?\s*(?:not\s+)?(\w+)\s*\(", test)))
    named = [(name, count) for name, count in called.most_common() if re.search(rf"\b{name}\b", question)]
    if not named:
        raise Unreadable("no assert calls a function that the question names")
    return _exercise(question, named[0][0], tuple(tests))


def _exercise(question: str, entry_point: str, tests: tuple[str, ...]) -> Exercise:
    if not question.strip():
        raise Unreadable("no question")
    if not entry_point.isidentifier():
        raise Unreadable("the entry point is no name")
    if not re.search(rf"\b{entry_point}\b", question):
        raise Unreadable("the question does not name the entry point")
    return Exercise(question.strip(), entry_point, tests)


def _asserts(code: str) -> list[str]:
    """The asserts of a block, in order: those at its left edge, and those of `def test…` functions as pytest has them.

    A block that is no Python as a whole is cut at its left edge.
    """
    module = parse_python(code)
    if module is None:
        parts = re.split(r"^(?=\S)", code, flags=re.MULTILINE)
        return [part.strip() for part in parts if re.match(r"assert\b", part)]
    statements: list[ast.stmt] = []
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef) and statement.name.startswith("test"):
            statements += statement.body
        else:
            statements.append(statement)
    segments = (ast.get_source_segment(code, node) for node in statements if isinstance(node, ast.Assert))
    return [segment for segment in segments if segment is not None]
