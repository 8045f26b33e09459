"""Standard output against what was expected.

Outputs come from hostile programs: any bytes, megabytes of them. Every checker takes time linear in
its input, and bytes that are no UTF-8 never match anything but themselves.
"""

import re
from collections.abc import Iterator
from itertools import zip_longest

from gradebox_engine.judge.suite import Checker
from gradebox_engine.judge.text import brief, shorten

# A number in decimal notation, as C's printf and Python's print write it. Python's float() takes more
# ("1_000", "infinity", digits of other scripts), which no reference solution prints.
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|nan)", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(rb"[+-]?[0-9]+")
_LONGEST_NUMBER = 400
_SPACE = b" \t\r\x0b\x0c"


def check_stdout(checker: Checker, expected: str, actual: bytes) -> tuple[bool, str]:
    """Whether `actual` is right, and a short message where it is not.

    `expected` is text in which surrogates stand for bytes that are no UTF-8. Raises ValueError for a
    checker that is none of "lines", "exact", "tokens", "float", "unordered"; a special judge is a program, which is
    not run here.
    """
    wanted = _bytes(expected)
    if checker.kind == "exact":
        return (True, "") if wanted == actual else (False, _first_difference(wanted, actual))
    if checker.kind == "lines":
        return _check_lines(wanted, actual)
    if checker.kind == "unordered":
        return _check_lines(*(b"\n".join(sorted(_lines(data))) for data in (wanted, actual)))
    if checker.kind == "tokens":
        return _check_tokens(wanted, actual)
    if checker.kind == "float":
        return _check_floats(wanted, actual, checker.rel_tol, checker.abs_tol)
    raise ValueError(f"no such checker: {checker.kind}")


def _bytes(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _lines(data: bytes) -> list[bytes]:
    """Lines without trailing white space and without trailing empty lines."""
    return [line.rstrip(_SPACE) for line in data.rstrip(_SPACE + b"\n").split(b"\n")]


def _check_lines(wanted: bytes, actual: bytes) -> tuple[bool, str]:
    if wanted == actual:
        return True, ""
    w, a = _lines(wanted), _lines(actual)
    if w == a:
        return True, ""
    for number, (x, y) in enumerate(zip_longest(w, a), 1):
        if x != y:
            if y is None:
                return False, f"the output ends before line {number} of {len(w)}"
            if x is None:
                return False, f"line {number} of the output is one too many: {_show(y)}"
            if y == b"" and len(a) == 1:
                return False, "the output is empty"
            return False, shorten(f"line {number}: expected {_show(x)}, got {_show(y)}")
    return True, ""


def _first_difference(wanted: bytes, actual: bytes) -> str:
    common = min(len(wanted), len(actual))
    low, high = 0, common  # the length of the common prefix, by halving: slices compare at C speed
    while low < high:
        middle = (low + high + 1) // 2
        if wanted[low:middle] == actual[low:middle]:
            low = middle
        else:
            high = middle - 1
    if low == common:
        return f"expected {len(wanted)} bytes, got {len(actual)}: the first {common} are the same"
    at = max(0, low - 10)
    return f"byte {low}: expected {_show(wanted[at : at + 60])}, got {_show(actual[at : at + 60])}"


def _check_tokens(wanted: bytes, actual: bytes) -> tuple[bool, str]:
    w, a = wanted.split(), actual.split()
    if w == a:
        return True, ""
    for number, (x, y) in enumerate(zip_longest(w, a), 1):
        if x != y:
            return False, _token_message(number, x, y, len(w), len(a))
    return True, ""


def _check_floats(wanted: bytes, actual: bytes, rel_tol: float, abs_tol: float) -> tuple[bool, str]:
    w, a = wanted.split(), actual.split()
    if len(w) != len(a):
        number = min(len(w), len(a)) + 1
        pairs: Iterator[tuple[bytes | None, bytes | None]] = zip_longest(w, a)
        for at, (x, y) in enumerate(pairs, 1):
            if x is None or y is None or not _close(x, y, rel_tol, abs_tol):
                number = at
                break
        return False, _token_message(number, _at(w, number), _at(a, number), len(w), len(a))
    for number, (x, y) in enumerate(zip(w, a, strict=True), 1):
        if not _close(x, y, rel_tol, abs_tol):
            return False, _token_message(number, x, y, len(w), len(a))
    return True, ""


def _at(tokens: list[bytes], number: int) -> bytes | None:
    return tokens[number - 1] if number <= len(tokens) else None


def _close(wanted: bytes, actual: bytes, rel_tol: float, abs_tol: float) -> bool:
    """Whether two tokens are equal, or numbers at most max(abs_tol, rel_tol * |wanted|) apart."""
    if wanted == actual:
        return True
    if max(len(wanted), len(actual)) > _LONGEST_NUMBER:
        return False
    if not _NUMBER.fullmatch(wanted) or not _NUMBER.fullmatch(actual):
        return False
    if rel_tol == abs_tol == 0 and _INTEGER.fullmatch(wanted) and _INTEGER.fullmatch(actual):
        return int(wanted) == int(actual)  # exact where floats would round
    w, a = float(wanted), float(actual)
    if w != w or a != a:
        return w != w and a != a
    return w == a or abs(w - a) <= max(abs_tol, rel_tol * abs(w)) < float("inf")


def _token_message(number: int, x: bytes | None, y: bytes | None, wanted: int, actual: int) -> str:
    if y is None:
        return f"the output has {actual} tokens, {wanted} were expected"
    if x is None:
        return shorten(f"the output has {actual} tokens, {wanted} were expected; the first extra one is {_show(y)}")
    return shorten(f"token {number}: expected {_show(x)}, got {_show(y)}")


def _show(data: bytes) -> str:
    return brief(data[:200].decode("utf-8", "replace"))
