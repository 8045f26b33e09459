"""Makes the fork server's code cheap to fork: few mappings, and the interpreter's own on huge pages.

A child starts with none of the pages of a file mapped: the kernel maps them again, sixteen at a time, as the child
comes across them, and takes them away at its end, one at a time. And it copies every mapping, of which a library has
five. So what the interpreter's library has of whole huge pages (2 MiB), code and constants, is moved to memory of our
own, of which a fork copies an entry a huge page; and neighbours of one library that differ in nothing but whether they
are code or constants become one mapping.

Constants are executable then. That gives a program nothing: it may make memory of its own executable anyway.
None of this changes what a child does; where the kernel has no huge page to give, nothing is moved.
"""

from __future__ import annotations

import ctypes
import mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HUGE_BYTES = 2 << 20
_MREMAP_MAYMOVE, _MREMAP_FIXED = 1, 2
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_READ_EXECUTE = mmap.PROT_READ | mmap.PROT_EXEC
_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.PyDLL(None)
_libc.mmap.restype = _libc.mremap.restype = ctypes.c_void_p


class Mapping:
    """One line of /proc/self/maps."""

    __slots__ = ("end", "offset", "path", "rights", "start")

    def __init__(self, line: str) -> None:
        span, self.rights, offset, _, _, *path = line.split(None, 5)
        self.start, self.end = (int(each, 16) for each in span.split("-"))
        self.offset = int(offset, 16)
        self.path = path[0].rstrip() if path else ""

    def is_followed_by(self, other: Mapping) -> bool:
        """Whether the other one goes on where this one ends, in memory and in the file."""
        ends = self.path, self.end, self.offset + self.end - self.start
        return ends == (other.path, other.start, other.offset)


def mappings() -> list[Mapping]:
    """Everything that is mapped, in the order of the addresses."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        return [Mapping(line) for line in file]


def share_code() -> None:
    """Moves the interpreter's code to huge pages, and joins the mappings of each library."""
    address = ctypes.cast(ctypes.pythonapi.Py_IncRef, ctypes.c_void_p).value or 0
    for run in _runs(mappings()):
        start, end = run[0].start, run[-1].end
        first, last = -(-start // _HUGE_BYTES) * _HUGE_BYTES, end // _HUGE_BYTES * _HUGE_BYTES
        if first < last and start <= address < end:
            _move_to_huge_pages(first, last - first)
        if len(run) > 1:
            _call("mprotect", start, end - start, _READ_EXECUTE)  # what was moved has these rights already


def _runs(found: list[Mapping]) -> list[list[Mapping]]:
    """Neighbours of one file, as they stand in it: a library's headers, code and constants; only those with code."""
    runs: list[list[Mapping]] = []
    for each in found:
        if not each.path.startswith("/") or each.rights not in ("r--p", "r-xp"):
            continue
        if runs and runs[-1][-1].is_followed_by(each):
            runs[-1].append(each)
        else:
            runs.append([each])
    return [run for run in runs if any("x" in each.rights for each in run)]


def _move_to_huge_pages(start: int, length: int) -> None:
    """Puts a copy on huge pages in the place of what is mapped from `start` on, whole huge pages."""
    taken = _libc.mmap(None, ctypes.c_size_t(length + _HUGE_BYTES), 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if taken == _FAILED:
        return
    copy = -(-taken // _HUGE_BYTES) * _HUGE_BYTES
    _call("madvise", copy, length, _MADV_HUGEPAGE)
    ctypes.memmove(copy, start, length)
    # From now on whatever is not huge is more to copy than the file's pages were; the kernel is asked once more.
    moved = _FAILED
    if _call("madvise", copy, length, _MADV_COLLAPSE) == 0 and _call("mprotect", copy, length, _READ_EXECUTE) == 0:
        size, place = ctypes.c_size_t(length), ctypes.c_void_p(start)
        moved = _libc.mremap(ctypes.c_void_p(copy), size, size, _MREMAP_MAYMOVE | _MREMAP_FIXED, place)
    if moved == _FAILED:
        _call("munmap", copy, length)
    _call("munmap", taken, copy - taken)
    _call("munmap", copy + length, taken + _HUGE_BYTES - copy)


def _call(name: str, address: int, length: int, *more: int) -> Any:
    """A system call on a span of memory; 0 where it worked, or where there was nothing to do."""
    if length == 0:
        return 0
    return getattr(_libc, name)(ctypes.c_void_p(address), ctypes.c_size_t(length), *more)
