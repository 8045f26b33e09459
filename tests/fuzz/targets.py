"""What must hold for any bytes at all; the tests run it on hypothesis's inputs, the fuzzers on atheris's.

Each takes bytes and raises AssertionError where the supervisor's side would be hurt or deceived.
"""

import time
from typing import Any, Final

from tests.fuzz.seeds import VALUES

from gradebox_engine.jail.channel import INCOMING, MAX_FRAME_BYTES
from gradebox_engine.judge.evaluate import Decision, Undecided, decide, describe, leaves_early, raised_decision
from gradebox_engine.judge.evidence import Evidence, said_by_process
from gradebox_engine.judge.fast import FastTest
from gradebox_engine.judge.plan import plan
from gradebox_engine.judge.suite import CallTest, CodeTest, Suite, Verdict
from gradebox_engine.judge.text import MAX_MESSAGE_CHARS
from gradebox_engine.worker.outcome import load_fault, whole_test_fault
from gradebox_engine.worker.session import Answer
from gradebox_inside import codec
from gradebox_inside.calls import VALUE_AT, answer_head, split_answer
from gradebox_inside.frames import FrameReader
from gradebox_inside.memo import Memo

# Inputs of a few kilobytes: nothing honest takes a hundredth of this, quadratic work takes much more.
SLOW_S: Final = 5.0

# Each is true of the constant in it and of few other answers; none passes on an answer that does not have the value.
ASSERTS: Final = (
    "assert f(1) == 123456789",
    "assert f(1) == [1, 2, 'zz']",
    "assert f(1) == {'a': (1, 2.5)}",
    "assert sorted(f(1)) == [3, 5, 123456789]",
    "assert set(f(1)) == {'qq', 123456789}",
    "assert f(1)['key'] == 123456789",
    "assert {987654321: 123456789}[f(1)] == 123456789",
    "assert abs(f(1) - 123456.75) < 1e-6",
    "assert len(f(1)) == 123456789",
    "assert sum(f(1)) == 123456789",
    "assert str(f(1)) == '123456789!'",
    "assert list(map(str, f(1))) == ['123456789']",
    "assert f(1) + f(2) == 'never this text'",
    "assert -f(1) == 123456789",
    "assert f(1).count('zz') == 123456789",
    "assert f(1) // 2 == 123456789",
    "assert 123456789 in f(1)",
    "assert max(f(1)) == 123456789.5",
    "assert f(1) > 123456789",
    "assert tuple(f(1)) == ('never', 1)",
)


def _plans() -> list[FastTest]:
    made = plan(Suite(tests=tuple(map(CodeTest, ASSERTS)), entry_point="f"))
    calls = plan(Suite(tests=(CallTest((1,), {}, [123456789, {"a": None}]),), entry_point="f"))
    tests = [test for test in (*made.tests, *calls.tests) if isinstance(test, FastTest)]
    assert len(tests) == len(ASSERTS) + 1, "an assert is not on the fast path any more"
    return tests


PLANS: Final = _plans()
_SECRETS: Final = (123456789, "zz", 2.5, 5, "qq", 123456.75, "123456789!", "never this text", "never", 123456789.5)


def check_decode(data: bytes) -> None:
    """Any bytes decode or are refused; what decodes can be written again, and then is what it was."""
    started_s = time.thread_time()
    try:
        value = codec.decode(data, budget=INCOMING)
    except (codec.CodecError, codec.OverBudget):
        value = None
    assert time.thread_time() - started_s < SLOW_S
    if value is not None:
        _check_stable(value)
    for small in (codec.Budget(nodes=8, depth=3, bytes=200), codec.Budget(nodes=200, depth=20, bytes=4000)):
        try:
            codec.decode(data, budget=small)
        except (codec.CodecError, codec.OverBudget):
            continue
        assert len(data) <= small.bytes
    try:
        codec.decode(data, budget=INCOMING, memo=Memo(0), opaque=lambda stand_in: stand_in.handle)
    except (codec.CodecError, codec.OverBudget):
        pass


def _check_stable(value: Any) -> None:
    try:
        once = codec.encode(value, budget=INCOMING)
    except codec.OverBudget:  # written by another than `encode`: it pays for more than it must
        return
    except codec.NotPlain:
        return
    twice = codec.encode(codec.decode(once, budget=INCOMING), budget=INCOMING)
    assert once == twice or codec.has_nan(value)


def check_frames(data: bytes, cuts: bytes) -> None:
    """However a stream is cut, the same frames come; too long a one is refused at once; little is kept."""
    limit = 300
    whole, refused = _read(data, [len(data)], limit)
    pieces, refused_pieces = _read(data, [1 + cut for cut in cuts] or [1], limit)
    assert refused == refused_pieces
    # In a piece that has a bad length in it, the frames before that are lost with it.
    assert whole == pieces[: len(whole)] if refused else whole == pieces
    reader = FrameReader(limit)
    for at in range(0, len(data), 64):
        try:
            reader.feed(data[at : at + 64])
        except codec.CodecError:
            break
        assert reader.pending <= limit + 4 + 64


def _read(data: bytes, sizes: list[int], limit: int) -> tuple[list[bytes], bool]:
    reader = FrameReader(limit)
    found: list[bytes] = []
    at = turn = 0
    while at < len(data):
        size = max(1, sizes[turn % len(sizes)])
        try:
            found += reader.feed(data[at : at + size])
        except codec.CodecError:
            return found, True
        at, turn = at + size, turn + 1
    return found, False


def check_answer(payload: bytes) -> None:
    """An answer is read without an exception, and its parts are what its bytes say."""
    parts = split_answer(payload)
    if parts is not None:
        index, cpu_us, wall_us, value = parts
        assert answer_head(index, cpu_us, wall_us) + value == payload
        assert len(payload) > VALUE_AT
    answer = Answer(payload)
    assert type(answer.index) is int
    assert 0 <= answer.cpu_time_s <= 1e6
    assert 0 <= answer.wall_time_s <= 1e6
    check_judge([answer.outcome()])


def check_judge(outcomes: list[Any]) -> None:
    """Whatever outcomes a program's process sends: no exception, no long work, and no PASSED without the value."""
    started_s = time.thread_time()
    for test in PLANS:
        found = decide(test, outcomes * len(test.trees) if len(outcomes) == 1 else outcomes)
        assert isinstance(found, Decision | Undecided)
        if isinstance(found, Decision):
            _check_message(found.message)
            if found.verdict is Verdict.PASSED:
                assert _holds_secret(outcomes), (test, outcomes)
    assert time.thread_time() - started_s < SLOW_S


def _holds_secret(value: Any) -> bool:
    """Whether one of the values that the tests want is anywhere in it."""
    stack = [value]
    while stack:
        v = stack.pop()
        if isinstance(v, dict):
            stack += [*v.keys(), *v.values()]
        elif isinstance(v, codec.Opaque):
            stack.append(v.base)
        elif isinstance(v, range):
            if v.start != v.stop:
                return True  # not looked into: it may hold any int
        elif isinstance(v, str):
            if any(type(s) is str and s in v for s in _SECRETS) or "123456789" in v:
                return True
        elif isinstance(v, bytes | bytearray):
            return True
        elif hasattr(v, "__iter__") and not isinstance(v, type):
            stack.extend(v)
        elif any(type(v) is type(s) and v == s for s in _SECRETS) or type(v) not in (int, float, str, bool, type(None)):
            return True  # exact numbers and the like: not looked into
        elif type(v) in (int, float) and abs(v) > 123456:
            return True
    return False


def _has_long_range(value: Any) -> bool:
    stack = [value]
    while stack:
        v = stack.pop()
        if isinstance(v, range):
            if v[2000:]:
                return True
        elif isinstance(v, dict):
            stack += [*v.keys(), *v.values()]
        elif isinstance(v, codec.Opaque):
            stack += [v.base, v.extra]
        elif isinstance(v, slice):
            stack += [v.start, v.stop, v.step]
        elif hasattr(v, "__iter__") and not isinstance(v, type | str | bytes | bytearray):
            stack.extend(v)
    return False


def _check_message(text: str) -> None:
    assert len(text) <= MAX_MESSAGE_CHARS
    text.encode()  # it travels as UTF-8


def check_report(value: Any) -> None:
    """The reports that a process makes of exceptions and whole tests, whatever is in them."""
    _check_message(describe(value))
    _check_message(raised_decision(value).message)
    assert raised_decision(value).verdict is not Verdict.PASSED
    assert type(leaves_early(value)) is bool
    assert said_by_process(value) <= {Evidence.SWALLOWED_EXCEPTION, Evidence.PATCHED_BUILTINS}
    for kind in ("compile", "raised", value):
        fault = load_fault(kind, value)
        assert fault.verdict in (Verdict.COMPILE_ERROR, Verdict.RUNTIME_ERROR, Verdict.MEMORY_LIMIT)
        _check_message(fault.message)
    for kind in ("code", "unittest"):
        found = whole_test_fault(value, kind)
        if found is None:
            assert type(value) is dict and value["outcome"] == "passed"
            assert kind == "code" or value["ran"] > 0
        else:
            assert found.verdict is not Verdict.PASSED
            _check_message(found.message)


def check_message(data: bytes) -> None:
    """Everything that the worker makes of a message of a program's process."""
    try:
        value = codec.decode(data, budget=INCOMING)
    except (codec.CodecError, codec.OverBudget):
        check_answer(data)
        return
    if b"r" in data and _has_long_range(value):
        return  # the judge's budget bounds it, at a second for a test: too long for a fuzzer
    check_answer(data)
    check_judge([value])
    check_judge([("value", value)])
    check_judge([("raised", value)])
    check_judge([("value", value), ("value", VALUES[len(data) % len(VALUES)])])
    check_report(value)
    check_report({"type": value, "mro": value, "message": value, "line": value, "outcome": value, "ran": value})
    check_report({"outcome": "passed", "ran": value})
    check_report({"outcome": "raised", "info": value})


assert MAX_FRAME_BYTES == INCOMING.bytes
