"""Standard output against what was expected."""

import time

import pytest

from gradebox_engine.judge.compare import check_stdout
from gradebox_engine.judge.suite import Checker

LINES = Checker()
EXACT = Checker("exact")
TOKENS = Checker("tokens")
FLOAT = Checker("float", rel_tol=1e-6, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("checker", "expected", "actual", "passes"),
    [
        (LINES, "1\n2\n", b"1\n2\n", True),
        (LINES, "1\n2", b"1  \n2\t\r\n\n\n", True),
        (LINES, "1\n2", b"1\n\n2", False),
        (LINES, "1\n2", b" 1\n2", False),
        (LINES, "1\n2", b"1", False),
        (LINES, "1\n2", b"1\n2\n3", False),
        (LINES, "", b"", True),
        (LINES, "", b"\n \n", True),
        (LINES, "1", b"", False),
        (LINES, "é", "é".encode(), True),
        (LINES, "é", b"\xe9", False),
        (LINES, "\udce9", b"\xe9", True),
        (LINES, "\ud800", b"\xed\xa0\x80", True),
        (EXACT, "1\n", b"1\n", True),
        (EXACT, "1\n", b"1", False),
        (EXACT, "", b"", True),
        (TOKENS, "1 2\n3", b" 1\n2 3  ", True),
        (TOKENS, "1 2 3", b"1 23", False),
        (TOKENS, "1 2", b"1 2 3", False),
        (FLOAT, "1.0 abc", b"1.0000001 abc", True),
        (FLOAT, "1.0", b"1.1", False),
        (FLOAT, "1.0 abc", b"1.0 abd", False),
        (FLOAT, "1.0", b"1.0 2", False),
        (FLOAT, "nan inf -inf", b"NaN Infinity -inf", False),
        (FLOAT, "nan inf -inf", b"NaN INF -inf", True),
        (FLOAT, "inf", b"-inf", False),
        (FLOAT, "1", b"inf", False),
        (FLOAT, "1000", b"1_000", False),
        (FLOAT, "0", b"1e-10", True),
        (FLOAT, "1e400", b"1e500", True),
        (Checker("float"), "1.50", b"1.5", True),
        (Checker("float"), "9007199254740993", b"9007199254740992", False),
    ],
)
def test_checkers(checker: Checker, expected: str, actual: bytes, passes: bool) -> None:
    found, message = check_stdout(checker, expected, actual)
    assert found is passes
    assert (message == "") is passes
    assert len(message) <= 300
    message.encode()


def test_a_special_judge_is_not_run_here() -> None:
    with pytest.raises(ValueError, match="judge"):
        check_stdout(Checker("judge", source="print(1)"), "", b"")


def test_messages() -> None:
    assert check_stdout(LINES, "1\n2\n", b"1\n3\n") == (False, "line 2: expected '2', got '3'")
    assert check_stdout(TOKENS, "a b", b"a c") == (False, "token 2: expected 'b', got 'c'")
    assert check_stdout(LINES, "1\n2\n", b"1\n") == (False, "the output ends before line 2 of 2")
    assert "0123456789" * 100 not in check_stdout(LINES, "0123456789" * 100, b"x")[1]
    assert "byte 3" in check_stdout(EXACT, "abcd", b"abce")[1]


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("lines", b"1\n"),
        ("lines", b" "),
        ("exact", b"\xff"),
        ("tokens", b"\xff\xfe "),
        ("float", b"1.5 "),
        ("float", b"9" * 1000),
    ],
)
def test_megabytes_cost_little(kind: str, unit: bytes) -> None:
    actual = unit * (5_000_000 // len(unit))
    expected = actual.decode("utf-8", "surrogateescape")[:-1] + "x"
    start = time.process_time()
    assert not check_stdout(Checker(kind, 1e-6, 1e-6), expected, actual)[0]
    assert time.process_time() - start < 6


def test_lines_in_any_order() -> None:
    checker = Checker("unordered")
    assert check_stdout(checker, "b\na\na\n", b"a \nb\na\n\n") == (True, "")
    right, message = check_stdout(checker, "a\nb", b"a\nb\nb")
    assert not right and message
    assert not check_stdout(checker, "a b", b"b a")[0]
