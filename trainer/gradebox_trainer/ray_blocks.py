"""The work for a cluster, in a file on the driver's node: blocks of programs, each with the problems that it needs.

A block is JSON: `{"stop_early": …, "problems": {id: row}, "units": [[id, [program…], [key in hexadecimal…]]…]}`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradebox
from gradebox_command.grading import Suites, Unit

MOST_PROGRAMS = 256
_MOST_BYTES = 16 << 20


class Blocks:
    """A file of blocks by number."""

    def __init__(self, path: Path, ends: list[int]) -> None:
        self._path = path
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends)

    def read(self, number: int) -> bytes:
        """One block, as it was written."""
        start = self._ends[number - 1] if number else 0
        with self._path.open("rb") as file:
            file.seek(start)
            return file.read(self._ends[number] - start)


def write_blocks(path: Path, units: Iterator[Unit], suites: Suites, block_programs: int) -> Blocks:
    """Writes all units, with about `block_programs` programs in a block."""
    ends: list[int] = []
    with path.open("wb") as file:
        for block in _cut(units, suites, block_programs):
            file.write(json.dumps(block).encode())
            ends.append(file.tell())
    return Blocks(path, ends)


def _cut(units: Iterator[Unit], suites: Suites, block_programs: int) -> Iterator[dict[str, Any]]:
    problems: dict[str, Any] = {}
    block: list[Any] = []
    programs = size = 0
    for unit in units:
        if unit.id not in problems:
            problems[unit.id] = suites.row(unit.id)
            size += len(str(problems[unit.id]))
        block.append([unit.id, unit.programs, [key.hex() for key in unit.keys]])
        programs += len(unit.programs)
        size += sum(map(len, unit.programs))
        if programs >= block_programs or size >= _MOST_BYTES:
            yield {"stop_early": suites.stop_early, "problems": problems, "units": block}
            problems, block, programs, size = {}, [], 0, 0
    if block:
        yield {"stop_early": suites.stop_early, "problems": problems, "units": block}


def read_block(data: bytes) -> tuple[bool, Iterator[gradebox.GradeItem]]:
    """(stop early, items), each item with its Unit as its key."""
    block = json.loads(data)
    problems = {id: gradebox.Problem.from_dict(row) for id, row in block["problems"].items()}
    units = (Unit(id, tuple(programs), tuple(map(bytes.fromhex, keys))) for id, programs, keys in block["units"])
    return block["stop_early"], (gradebox.GradeItem(problems[unit.id], unit.programs, key=unit) for unit in units)
