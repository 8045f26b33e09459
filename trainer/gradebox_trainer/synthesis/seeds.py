"""The seeds file: functions from which problems are made, with or without the instruction that they follow."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradebox_command.errors import InputError
from gradebox_command.rows import json_kind, read_rows

_CODE = ("code", "content", "response", "output", "solution")
_INSTRUCTION = ("instruction", "problem", "prompt")


@dataclass(frozen=True, slots=True)
class Seed:
    """A piece of code. `entry_point` is the name that its exercise should keep, where the seed says one."""

    id: str
    code: str
    instruction: str | None
    entry_point: str | None
    sha256: str


def read_seeds(path: Path) -> Iterator[Seed]:
    """The rows of a seeds file: `code` (or `content`, `response`, `output`, `solution`), `instruction` (or `problem`,
    `prompt`)?, `entry_point`?, `id`? (else the code's SHA-256).

    Raises:
        InputError: a field is missing or wrong, or an id comes twice.
    """
    lines: dict[str, int] = {}
    for line, row in read_rows(path):
        field = next((name for name in _CODE if row.get(name) is not None), None)
        if field is None:
            raise InputError(path, line, "code", "missing")
        code = _text(path, line, row, field)
        if not code.strip():
            raise InputError(path, line, field, "empty")
        sha256 = hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
        id = _text(path, line, row, "id") if row.get("id") is not None else f"seed/{sha256[:16]}"
        if row.get("id") is not None and id in lines:
            raise InputError(path, line, "id", f"{id!r} is already the id of line {lines[id]}")
        lines[id] = line
        named = next((name for name in _INSTRUCTION if row.get(name) is not None), None)
        instruction = _text(path, line, row, named) if named else None
        entry_point = _text(path, line, row, "entry_point") if row.get("entry_point") is not None else None
        yield Seed(id, code, instruction, entry_point, sha256)


def _text(path: Path, line: int, row: Mapping[str, Any], field: str) -> str:
    value = row[field]
    if not isinstance(value, str):
        raise InputError(path, line, field, f"must be a string, is {json_kind(value)}")
    return value
