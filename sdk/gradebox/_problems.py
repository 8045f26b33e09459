"""Problems, tests and limits as callers write them, checked and turned into wire messages.

The engine checks again and knows more (ceilings, images); what is found here is what a type or a
name says, and what the wire cannot carry.
"""

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

from gradebox._errors import InvalidRequest
from gradebox._words import Seal
from gradebox_proto.v1 import grading_pb2 as wire

type Program = str | bytes
type Test = "str | Mapping[str, Any] | CodeTest | StdioTest | CallTest | UnittestTest"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one test case may use; None is the engine's default. Seconds and bytes."""

    cpu_time_s: float | None = None
    wall_time_s: float | None = None
    memory_bytes: int | None = None
    output_bytes: int | None = None
    processes: int | None = None
    disk_bytes: int | None = None
    isolate: bool | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], field: str = "limits") -> Self:
        """From a mapping as in a problems file. Raises InvalidRequest."""
        if unknown := sorted(set(map(str, values)) - set(_LIMITS)):
            known = ", ".join(_LIMITS)
            raise InvalidRequest(f"no such limit; there are {known}", f"{field}.{unknown[0]}")
        return cls(**values)

    @classmethod
    def from_wire(cls, message: wire.Limits) -> Self:
        """From a message; what it does not say stays None."""
        return cls(**{n: getattr(message, n) for n in _LIMITS if message.HasField(n)})

    def to_wire(self, field: str = "limits") -> wire.Limits:
        """As a message. Raises InvalidRequest where a value is of the wrong kind or size."""
        message = wire.Limits()
        for name in _LIMITS:
            value = getattr(self, name)
            if value is not None:
                _check_limit(f"{field}.{name}", name, value)
                setattr(message, name, value)
        return message


_LIMITS = tuple(field.name for field in fields(Limits))


@dataclass(frozen=True, slots=True)
class CodeTest:
    """Python beside which the program's names can be used; usually one assert.

    In other languages: text that is appended to the program; passed when the whole ends with status 0.
    """

    source: str


@dataclass(frozen=True, slots=True)
class Checker:
    """How standard output is compared: `lines`, `exact`, `tokens`, `float`, `unordered`, `judge` or `interactive`.

    `unordered` is `lines` in any order. `rel_tol` and `abs_tol` are for `float`. `source` is a judge program, in
    Python: a `judge` gets JSON with stdin, stdout and expected_stdout on its standard input, and files of its folder,
    input.txt, answer.txt and output.txt; an `interactive` one gets the first two, and talks with the program: it reads
    what the program writes, and the other way round. Both say by exit status 0 (or 42) that the program is right, by 1
    (or 2, 43) that it is wrong, with a message in a first line of standard output or, where that goes to the program,
    of standard error; all else is the judge's own failure, an ENGINE_ERROR.
    """

    kind: str = "lines"
    rel_tol: float = 0.0
    abs_tol: float = 0.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class StdioTest:
    """The whole program, with standard input and the standard output it should give."""

    stdin: str
    expected_stdout: str
    checker: Checker | None = None


@dataclass(frozen=True, slots=True)
class CallTest:
    """A call of the problem's entry point; everything is JSON."""

    args: Sequence[Any]
    expected: Any
    kwargs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class UnittestTest:
    """A test module, of unittest classes or pytest-style functions."""

    source: str


@dataclass(frozen=True)
class Problem:
    """A task: tests, and what they share. The suite it makes is computed once, at first use.

    `tests` are strings, mappings as in a problems file, or typed tests; `limits` a Limits or a
    mapping; `min_seal` the weakest seal that is accepted (a Seal or its name). `test_setup` is Python beside the tests;
    in other languages, text that goes before the program where a test is text that comes after it.
    """

    tests: Sequence[Test]
    id: str = ""
    entry_point: str | None = None
    language: str = "python"
    image: str | None = None
    test_setup: str = ""
    limits: Limits | Mapping[str, Any] | None = None
    min_seal: Seal | str | None = None

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """From a row of a problems file; unknown fields are ignored. Raises InvalidRequest."""
        if "tests" not in row:
            raise InvalidRequest("missing", "tests")
        known = {field.name for field in fields(cls)}
        return cls(**{k: v for k, v in row.items() if k in known and v is not None})

    @cached_property
    def suite(self) -> "Suite":
        """The problem as it is sent. Raises InvalidRequest."""
        message = wire.Suite(
            problem_id=_name(self.id, "id"),
            entry_point=_name(self.entry_point or "", "entry_point"),
            language=_name(self.language, "language"),
            image=_name(self.image or "", "image"),
            test_setup=encode_text(self.test_setup, "test_setup"),
            min_seal=_seal(self.min_seal),
        )
        if isinstance(self.tests, str) or not isinstance(self.tests, Sequence):
            raise InvalidRequest(f"must be a list, not {_kind(self.tests)}", "tests")
        if not self.tests:
            raise InvalidRequest("there are none, so there is nothing to grade", "tests")
        for index, test in enumerate(self.tests):
            _add_test(message.tests.add(), test, f"tests[{index}]")
        limits = self.limits
        if isinstance(limits, Mapping):
            limits = Limits.from_dict(limits)
        if limits is not None:
            if not isinstance(limits, Limits):
                raise InvalidRequest(f"must be a mapping, not {_kind(limits)}", "limits")
            message.limits.CopyFrom(limits.to_wire())
        data = message.SerializeToString(deterministic=True)
        return Suite(self.id, len(self.tests), data, hashlib.sha256(data).digest())


@dataclass(frozen=True, slots=True)
class Suite:
    """A problem as it is sent: serialized, with the SHA-256 that names it afterwards."""

    problem_id: str
    tests: int
    data: bytes
    sha256: bytes


@dataclass(frozen=True, slots=True)
class GradeItem:
    """Programs for one problem, in bulk grading. `key` comes back with the results."""

    problem: Problem
    programs: Sequence[Program]
    key: Hashable = None


def encode_text(text: Program, field: str) -> bytes:
    """UTF-8 in which lone surrogates survive. Raises InvalidRequest for what is no text."""
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass")
    if isinstance(text, bytes):
        return text
    raise InvalidRequest(f"must be a string, not {_kind(text)}", field)


def encode_files(files: Mapping[str, Program] | None, fetch: Sequence[str]) -> tuple[list[wire.File], list[str]]:
    """Files of a run, and the names of those that are wanted back. Raises InvalidRequest."""
    if files is not None and not isinstance(files, Mapping):
        raise InvalidRequest(f"must be a mapping of names to contents, not {_kind(files)}", "files")
    if isinstance(fetch, str | bytes) or not isinstance(fetch, Sequence):
        raise InvalidRequest(f"must be a list of names, not {_kind(fetch)}", "fetch")
    given = [
        wire.File(name=_name(name, "files"), content=encode_text(content, f"files[{name!r}]"))
        for name, content in (files or {}).items()
    ]
    return given, [_name(name, f"fetch[{index}]") for index, name in enumerate(fetch)]


def encode_programs(programs: Sequence[Program], field: str = "programs") -> list[bytes]:
    """The programs as bytes. Raises InvalidRequest."""
    if isinstance(programs, str | bytes) or not isinstance(programs, Sequence):
        raise InvalidRequest(f"must be a list of programs, not {_kind(programs)}", field)
    return [encode_text(program, f"{field}[{i}]") for i, program in enumerate(programs)]


def _kind(value: Any) -> str:
    return "a string" if isinstance(value, str | bytes) else type(value).__name__


def _name(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"must be a string, not {_kind(value)}", field)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidRequest("holds a lone surrogate", field)
    return value


def _seal(value: Seal | str | None) -> Any:
    if value is None:
        return wire.SEAL_UNSPECIFIED
    name = value.name if isinstance(value, Seal) else str(value).upper()
    if name not in Seal.__members__:
        raise InvalidRequest(f"{value!r} is none of {', '.join(Seal.__members__)}", "min_seal")
    return wire.Seal.Value(name)


def _check_limit(field: str, name: str, value: Any) -> None:
    times = name.endswith("_s")
    if name == "isolate":
        if not isinstance(value, bool):
            raise InvalidRequest(f"must be true or false, not {value!r}", field)
        return
    if isinstance(value, bool) or not isinstance(value, (int, float) if times else int):
        what = "a number" if times else "a whole number"
        raise InvalidRequest(f"must be {what}, not {value!r}", field)
    if not 0 < value < (1 << 32 if name == "processes" else 1 << 63):
        raise InvalidRequest(f"must be a positive number in range, not {value!r}", field)


def _add_test(message: wire.Test, test: Any, field: str) -> None:
    if isinstance(test, Mapping):
        test = _typed(test, field)
    match test:
        case str() | bytes():
            message.code = encode_text(test, field)
        case CodeTest():
            message.code = encode_text(test.source, f"{field}.source")
        case UnittestTest():
            message.unittest = encode_text(test.source, f"{field}.unittest")
        case StdioTest():
            stdio = message.stdio
            stdio.stdin = encode_text(test.stdin, f"{field}.stdin")
            stdio.expected_stdout = encode_text(test.expected_stdout, f"{field}.expected_stdout")
            if test.checker is not None:
                _add_checker(stdio.checker, test.checker, f"{field}.checker")
        case CallTest():
            message.call.args_json = _json(list(test.args), f"{field}.call.args")
            message.call.kwargs_json = _json(dict(test.kwargs or {}), f"{field}.call.kwargs")
            message.call.expected_json = _json(test.expected, f"{field}.expected")
        case _:
            raise InvalidRequest(f"must be a string, a mapping or a test, not {_kind(test)}", field)


def _typed(test: Mapping[str, Any], field: str) -> StdioTest | CallTest | UnittestTest:
    """A mapping as in a problems file; a value of None counts as absent."""
    given = {key: value for key, value in test.items() if value is not None}
    if "unittest" in given:
        return UnittestTest(given["unittest"])
    if "call" in given:
        call = given["call"]
        if not isinstance(call, Mapping):
            raise InvalidRequest(f"must be a mapping, not {_kind(call)}", f"{field}.call")
        if "expected" not in test:
            raise InvalidRequest("missing", f"{field}.expected")
        args, kwargs = call.get("args"), call.get("kwargs")
        if args is not None and not isinstance(args, list | tuple):
            raise InvalidRequest(f"must be a list, not {_kind(args)}", f"{field}.call.args")
        if kwargs is not None and not isinstance(kwargs, Mapping):
            raise InvalidRequest(f"must be a mapping, not {_kind(kwargs)}", f"{field}.call.kwargs")
        return CallTest(args or (), test["expected"], kwargs)
    if "stdin" in given or "expected_stdout" in given:
        for key in ("stdin", "expected_stdout"):
            if key not in given:
                raise InvalidRequest("missing", f"{field}.{key}")
        return StdioTest(given["stdin"], given["expected_stdout"], given.get("checker"))
    raise InvalidRequest("has none of stdin, call and unittest", field)


def _add_checker(message: wire.Checker, checker: Any, field: str) -> None:
    if isinstance(checker, Mapping):
        known = {f.name for f in fields(Checker)}
        if unknown := sorted(set(map(str, checker)) - known):
            raise InvalidRequest("unknown", f"{field}.{unknown[0]}")
        checker = Checker(**{key: value for key, value in checker.items() if value is not None})
    if not isinstance(checker, Checker):
        raise InvalidRequest(f"must be a mapping, not {_kind(checker)}", field)
    message.kind = _name(checker.kind, f"{field}.kind")
    message.source = _name(checker.source, f"{field}.source")
    for name in ("rel_tol", "abs_tol"):
        value = getattr(checker, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidRequest(f"must be a number, not {value!r}", f"{field}.{name}")
        setattr(message, name, value)


def _json(value: Any, field: str) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"not JSON: {error}", field) from None
