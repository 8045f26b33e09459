"""Problems of contests: APPS and LiveCodeBench."""

import base64
import binascii
import json
import pickletools
import zlib
from typing import Any

from gradebox_command.problem_rows import FieldError
from gradebox_trainer.published import Imported, Row, solution, text

_MOST_BYTES = 1 << 30
_PICKLED_TEXT = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}
_PICKLED_TEXT_VALUES = {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}


def apps(row: Row) -> Imported:
    """problem_id, question, input_output and solutions (JSON in strings), starter_code, difficulty."""
    number = row.get("problem_id", row.get("id"))
    id = f"APPS/{number}" if isinstance(number, int) else text(row, "problem_id")
    cases = json_text(row, "input_output", {})
    if not isinstance(cases, dict) or not cases.get("inputs"):
        raise FieldError("input_output", "empty: there is nothing to grade with")
    inputs, outputs, name = cases["inputs"], cases.get("outputs"), cases.get("fn_name")
    if not isinstance(outputs, list) or not isinstance(inputs, list) or len(outputs) != len(inputs):
        raise FieldError("input_output", "inputs and outputs must be lists of the same length")
    problem: dict[str, Any] = {"id": id, "prompt": text(row, "question")}
    if name:
        problem["entry_point"] = name
        problem["tests"] = [
            {"call": {"args": args if isinstance(args, list) else [args]}, "expected": expected}
            for args, expected in zip(inputs, unwrapped(outputs), strict=True)
        ]
    else:
        problem["tests"] = [_stdio(given, expected) for given, expected in zip(inputs, outputs, strict=True)]
    difficulty, starter = row.get("difficulty"), row.get("starter_code")
    problem["meta"] = {"difficulty": str(difficulty or ""), "starter_code": str(starter or "")}
    solutions = json_text(row, "solutions", [])
    return Imported(problem, solution(id, "solutions", *filter(_is_text, solutions)))


def unwrapped(outputs: list[Any]) -> list[Any]:
    """Expected values of calls: where all of them are lists of one item, the items are meant (APPS writes them so)."""
    if all(isinstance(output, list) and len(output) == 1 for output in outputs):
        return [output[0] for output in outputs]
    return outputs


def livecodebench(row: Row) -> Imported:
    """question_id, question_content, starter_code, public_test_cases, private_test_cases, metadata (JSON in strings).

    Private test cases are JSON, or base64 of zlib of a pickle of that JSON: see unpickled_text.
    """
    id, metadata = text(row, "question_id"), json_text(row, "metadata", {})
    name = metadata.get("func_name") if isinstance(metadata, dict) else None
    cases = [*json_text(row, "public_test_cases", []), *_private(text(row, "private_test_cases", default=""))]
    tests = [_livecodebench_test(case) for case in cases]
    if not tests:
        raise FieldError("public_test_cases", "empty: there is nothing to grade with")
    problem: dict[str, Any] = {"id": id, "prompt": text(row, "question_content"), "tests": tests}
    if name:
        problem["entry_point"] = name
    kept = ("question_title", "platform", "difficulty", "contest_date", "starter_code")
    problem["meta"] = {field: str(row.get(field) or "") for field in kept}
    return Imported(problem)


def _livecodebench_test(case: Any) -> dict[str, Any]:
    if not isinstance(case, dict) or not {"input", "output", "testtype"} <= case.keys():
        raise FieldError("public_test_cases", "a test case needs input, output and testtype")
    if case["testtype"] == "stdin":
        return _stdio(case["input"], case["output"])
    if case["testtype"] != "functional":
        raise FieldError("public_test_cases", f"a testtype that is not known: {case['testtype']!r}")
    try:
        args = [json.loads(line) for line in str(case["input"]).split("\n") if line.strip()]
        return {"call": {"args": args}, "expected": json.loads(case["output"])}
    except ValueError as error:
        raise FieldError("public_test_cases", f"a functional test case that is not JSON: {error}") from None


def _stdio(given: Any, expected: Any) -> dict[str, str]:
    return {"stdin": _lines(given), "expected_stdout": _lines(expected)}


def _lines(value: Any) -> str:
    """APPS has texts, and sometimes lists of lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def json_text(row: Row, name: str, default: Any) -> Any:
    """A field with JSON in a string; `default` where it is empty. Raises FieldError."""
    value = row.get(name)
    if value is None or value == "":
        return default
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise FieldError(name, f"not JSON: {error}") from None


def _private(value: str) -> Any:
    if not value:
        return []
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(value, validate=True), _MOST_BYTES)
        if unpacker.unconsumed_tail:
            raise FieldError("private_test_cases", f"more than {_MOST_BYTES:,} bytes")
        return json.loads(unpickled_text(data))
    except (binascii.Error, zlib.error, ValueError) as error:
        raise FieldError("private_test_cases", f"neither JSON nor what LiveCodeBench packs: {error}") from None


def unpickled_text(data: bytes) -> str:
    """The text that a pickle of one string holds. Nothing is unpickled: its instructions are read, none is carried out.

    Raises:
        ValueError: the pickle is damaged, or holds anything else than one string.
    """
    found: list[str] = []
    for instruction, value, _ in pickletools.genops(data):
        if instruction.name in _PICKLED_TEXT_VALUES and isinstance(value, str):
            found.append(value)
        elif instruction.name not in _PICKLED_TEXT:
            raise ValueError(f"a pickle with {instruction.name}, which no text needs: it is not read")
    if len(found) != 1:
        raise ValueError(f"a pickle of {len(found)} texts, not of one")
    return found[0]
