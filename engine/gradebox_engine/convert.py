"""Suites and limits of the wire contract ↔ those of the judge.

Everything that can be wrong with a suite is found here, so that what reaches a worker is well
formed: `InvalidSuite` names the field by its path, such as `suite.tests[3].stdio.checker.kind`.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gradebox_engine.images.image import PYTHON
from gradebox_engine.images.names import is_file_name
from gradebox_engine.judge.suite import (
    CallTest,
    Checker,
    CodeTest,
    Seal,
    StdioTest,
    Suite,
    UnittestTest,
)
from gradebox_engine.limits import LIMIT_NAMES, Ceilings, InvalidLimit, Limits, resolve
from gradebox_proto.v1 import grading_pb2 as wire

MAX_TESTS = 100_000
MAX_CALL_BYTES = 16 << 20  # JSON of one call test; parsed, it is some 20 times larger
MAX_FILES = 256  # of one run
CHECKER_KINDS = ("lines", "exact", "tokens", "float", "unordered", "judge", "interactive")


class InvalidSuite(ValueError):
    """A request that cannot be graded; `field` is the path of what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def limits_from_wire(
    message: wire.Limits, ceilings: Ceilings, field: str = "limits", defaults: Mapping[str, Any] | None = None
) -> Limits:
    """The limits in effect for what a request asks; raises InvalidSuite below `field`.

    defaults: of the image, for what the request leaves open, where the engine's own are not meant.
    """
    asked = {name: getattr(message, name) for name in LIMIT_NAMES if message.HasField(name)}
    try:
        return resolve({**(defaults or {}), **asked}, ceilings)
    except InvalidLimit as error:
        raise InvalidSuite(f"{field}.{error.field}", error.message) from None


def limits_to_wire(limits: Limits | Ceilings) -> wire.Limits:
    """All the limits, none left to a default."""
    message = wire.Limits()
    for name in LIMIT_NAMES:
        if hasattr(limits, name):
            setattr(message, name, getattr(limits, name))
    return message


def suite_from_wire(message: wire.Suite, ceilings: Ceilings, defaults: Mapping[str, Any] | None = None) -> Suite:
    """The judge's view of a suite, limits clamped; raises InvalidSuite. defaults: see `limits_from_wire`."""
    if not message.tests:
        raise InvalidSuite("suite.tests", "there are none, so there is nothing to grade")
    if len(message.tests) > MAX_TESTS:
        raise InvalidSuite("suite.tests", f"{len(message.tests)} are more than {MAX_TESTS}")
    if message.min_seal not in wire.Seal.values():
        raise InvalidSuite("suite.min_seal", f"there is no seal {message.min_seal}")
    entry_point = message.entry_point or None
    if (message.language or PYTHON) != PYTHON:
        _check_kinds(message)
    return Suite(
        tests=tuple(_test(t, f"suite.tests[{i}]", entry_point) for i, t in enumerate(message.tests)),
        entry_point=entry_point,
        test_setup=_text(message.test_setup, "suite.test_setup"),
        language=message.language or "python",
        image=message.image or None,
        limits=limits_from_wire(message.limits, ceilings, "suite.limits", defaults),
        min_seal=Seal(message.min_seal),
    )


def _check_kinds(message: wire.Suite) -> None:
    """In other languages than Python a test is a run of the whole program. Raises InvalidSuite."""
    for index, test in enumerate(message.tests):
        if (kind := test.WhichOneof("kind")) in ("call", "unittest"):
            text = f"tests of this kind are for python, not {message.language}: use stdin, or text for the program"
            raise InvalidSuite(f"suite.tests[{index}].{kind}", text)


def check_files(files: Sequence[wire.File], fetch: Sequence[str], limits: Limits) -> None:
    """Files of a run: their names lead into its folder, and there is room for them. Raises InvalidSuite."""
    for name, many in (("files", files), ("fetch_files", fetch)):
        if len(many) > MAX_FILES:
            raise InvalidSuite(name, f"{len(many)} are more than {MAX_FILES}")
    names: set[str] = set()
    for index, file in enumerate(files):
        field = f"files[{index}].name"
        _check_file_name(file.name, field)
        if file.name in names or any(file.name.startswith(f"{other}/") for other in names):
            raise InvalidSuite(field, f"{file.name!r} is there already, or below another file")
        names.add(file.name)
    size = sum(len(file.content) for file in files)
    if size > limits.disk_bytes:
        raise InvalidSuite("files", f"{size} bytes are more than limits.disk_bytes, {limits.disk_bytes}")
    for index, name in enumerate(fetch):
        _check_file_name(name, f"fetch_files[{index}]")


def _check_file_name(name: str, field: str) -> None:
    if not is_file_name(name):
        text = "must be relative, without '..', and of letters, digits and ._-+$ with / between folders"
        raise InvalidSuite(field, f"{name[:80]!r} {text}")


def normalised(message: wire.Suite, limits: Limits, image: str) -> bytes:
    """The bytes of a suite as workers get it: limits and image in effect, nothing left open.

    Equal suites give equal bytes.
    """
    full = wire.Suite()
    full.CopyFrom(message)
    full.limits.CopyFrom(limits_to_wire(limits))
    full.image = image
    full.language = message.language or "python"
    return full.SerializeToString(deterministic=True)


def suite_key(suite: bytes) -> bytes:
    """The SHA-256 by which front and workers name a normalised suite."""
    return hashlib.sha256(suite).digest()


def _text(data: bytes, field: str) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise InvalidSuite(field, f"not UTF-8: {error.reason} at byte {error.start}") from None


def _test(message: wire.Test, field: str, entry_point: str | None) -> CodeTest | StdioTest | CallTest | UnittestTest:
    match message.WhichOneof("kind"):
        case "code":
            return CodeTest(_code(message.code, f"{field}.code"))
        case "unittest":
            return UnittestTest(_code(message.unittest, f"{field}.unittest"))
        case "stdio":
            return StdioTest(
                stdin=_text(message.stdio.stdin, f"{field}.stdio.stdin"),
                expected_stdout=_text(message.stdio.expected_stdout, f"{field}.stdio.expected_stdout"),
                checker=_checker(message.stdio.checker, f"{field}.stdio.checker"),
            )
        case "call":
            if entry_point is None:
                raise InvalidSuite("suite.entry_point", f"missing, and {field} calls it")
            return _call(message.call, f"{field}.call")
        case _:
            raise InvalidSuite(field, "has no code, stdio, call or unittest")


def _code(data: bytes, field: str) -> str:
    text = _text(data, field)
    if not text.strip():
        raise InvalidSuite(field, "is empty: every program would pass it")
    return text


def _checker(message: wire.Checker, field: str) -> Checker:
    kind = message.kind or "lines"
    if kind not in CHECKER_KINDS:
        raise InvalidSuite(f"{field}.kind", f"{kind!r} is none of {', '.join(CHECKER_KINDS)}")
    for name in ("rel_tol", "abs_tol"):
        value = getattr(message, name)
        if not (math.isfinite(value) and value >= 0):
            raise InvalidSuite(f"{field}.{name}", f"must be a number of at least 0, not {value!r}")
    if kind in ("judge", "interactive") and not message.source:
        raise InvalidSuite(f"{field}.source", "missing: a judge needs its program")
    return Checker(kind=kind, rel_tol=message.rel_tol, abs_tol=message.abs_tol, source=message.source)


def _call(message: wire.Call, field: str) -> CallTest:
    args = _json(message.args_json or "[]", f"{field}.args_json")
    kwargs = _json(message.kwargs_json or "{}", f"{field}.kwargs_json")
    if not isinstance(args, list):
        raise InvalidSuite(f"{field}.args_json", "must be a JSON list")
    if not isinstance(kwargs, dict):
        raise InvalidSuite(f"{field}.kwargs_json", "must be a JSON object")
    if not message.expected_json:
        raise InvalidSuite(f"{field}.expected_json", "missing")
    expected = _json(message.expected_json, f"{field}.expected_json")
    return CallTest(args=tuple(args), kwargs=kwargs, expected=expected)


def _json(text: str, field: str) -> Any:
    if len(text) > MAX_CALL_BYTES:
        raise InvalidSuite(field, f"{len(text)} characters are more than {MAX_CALL_BYTES}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidSuite(field, f"not JSON: {error}") from None
    except RecursionError:
        raise InvalidSuite(field, "nested too deep") from None
