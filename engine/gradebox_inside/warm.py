"""Makes the fork server cheap to fork: what a fresh child spends goes mostly into pages that it has to copy or to map.

- `train` runs a program of ours through the code that every child runs: CPython adapts its instructions and fills its
  caches as code runs, by writing where the code is, and what is adapted before the fork is shared after it.
- `immortal` makes what is there uncounted, so that reading it writes nothing.
- `compact` fills the holes of the heap: what a child allocates then stands together on few pages of its own, instead
  of copying an old page for each hole. Pages that hold nothing else are given back: a fork copies an entry for
  every page, and the end of a process drops one.
- `share_code`, see `mappings`, does the like for the code.

None of it changes what a child does. What the allocators or the kernel do differently elsewhere costs the gain.
"""

from __future__ import annotations

import _socket
import ctypes
import gc
import os
import sys

from gradebox_inside import program
from gradebox_inside.frames import Channel
from gradebox_inside.immortal import immortalise
from gradebox_inside.mappings import mappings, share_code
from gradebox_inside.orders import pack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ROUNDS = 8
_SOURCE = b'''
from collections import Counter, defaultdict
from typing import List
import math


class Stack:
    """Last in, first out."""

    def __init__(self, items=()):
        self.items = list(items)

    def push(self, item):
        self.items.append(item)
        return self


def f(numbers: List[int], limit=3, *rest, **named):
    """Groups numbers."""
    groups, total = defaultdict(list), 0.0
    for index, number in enumerate(sorted(numbers, reverse=True)):
        if number <= limit and index % 2 == 0 or not rest:
            groups[number % 3].append(number)
        elif number is None:
            continue
        else:
            total += math.sqrt(abs(number))
    try:
        first = numbers[0]
    except IndexError:
        first = None
    while total > 100:
        total /= 2
    return {key: tuple(value) for key, value in groups.items()}, [first, total], len(Counter(numbers))


def g(text):
    words = [word.strip().lower() for word in text.split(" ") if word]
    return "-".join(words), f"{len(words)}: {text!r:>10}", text[::-1], {word[0] for word in words}


def h(n):
    return n if n < 2 else h(n - 1) + h(n - 2)
'''
_ARGUMENTS: tuple[tuple[str, list[Any]], ...] = (
    ("f", [[3, 1, 2, 9, 4]]), ("f", [[]]), ("f", [[5, 5], 4, 1]), ("g", ["A few Words"]), ("g", [""]), ("h", [6]),
    ("h", [None]), ("Stack", [(1, 2)]), ("absent", [1.5, True, None]),
)  # fmt: skip

_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_MADV_DONTNEED = 4
_SMALL_BYTES = 512  # the largest that Python's own allocator serves, in steps of 16
_MOST_BYTES = 4 << 20  # of holes of one size
_LARGE_BYTES = (65536, 32768, 16384, 8192, 4096, 2048, 1024, 800, 700, 600, 528)


def train() -> None:
    """Lets this process serve a program of ours, and forgets it."""
    trees: list[Any] = [
        ("call", ("name", name), [("const", value) for value in values], {}) for name, values in _ARGUMENTS
    ]
    orders = (
        ("load", b"def f(:\n", {"name": "program", "with_typing": False}),
        ("load", _SOURCE, {"name": "program", "with_typing": False}),
        ("calls", 0, trees, [{"consume": False}] * len(trees)),
    )
    limit, arguments = sys.getrecursionlimit(), sys.argv
    for _ in range(_ROUNDS):
        ours, theirs = _socket.socketpair()
        channel = Channel(ours, 0)
        for order in orders:
            channel.send(pack(order))
        ours.shutdown(_socket.SHUT_WR)
        program.serve(theirs, None)
        ours.close()
        theirs.close()
        sys.modules.pop("program", None)
        sys.setrecursionlimit(limit)
    sys.argv = arguments


def settle() -> None:
    """Everything that children share is loaded: makes it what they share, for good. Switches the collector off."""
    share_code()
    gc.collect()
    immortalise()
    compact()
    # Frozen, the collector never writes to these objects' headers in a child, so their pages stay shared.
    gc.freeze()
    gc.disable()


def compact() -> None:
    """Fills the holes of both allocators, for good, and gives back the pages that hold nothing else."""
    known = [(each.start, each.end) for each in mappings() if "w" in each.rights and not each.path.startswith("/")]
    spans: list[tuple[int, int]] = []
    for size in range(_SMALL_BYTES, 0, -16):  # the largest first: it takes the pools that are free
        start = end = 0
        for number in range(_MOST_BYTES // size):
            block = _small_object(size, number)
            # It is never freed, and nothing leads to it: neither the collector nor a program ever looks.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(block))
            address = id(block)
            if not any(first <= address < last for first, last in known):
                break  # from fresh memory: there are no more holes
            if address != end:
                if end - start > _PAGE_BYTES:
                    spans.append((start, end))
                start = end = address
            end += size
        if end - start > _PAGE_BYTES:
            spans.append((start, end))
    for start, end in spans + _fill_large():
        _give_back(start, end)


def _small_object(size: int, number: int) -> Any:
    """An object of a size class of Python's allocator, with no references."""
    if size == 16:
        return object()
    return number + 0.5 if size == 32 else bytes(size - b"".__sizeof__())


class _MallocInfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def _fill_large() -> list[tuple[int, int]]:
    """Takes the holes of glibc's heap (elsewhere nothing), and says where they are."""
    library = ctypes.PyDLL(None)
    try:
        info, malloc, free, sbrk = library.mallinfo2, library.malloc, library.free, library.sbrk
    except AttributeError:
        return []
    info.restype, malloc.restype, sbrk.restype = _MallocInfo, ctypes.c_void_p, ctypes.c_void_p
    filled = []
    for size in _LARGE_BYTES:
        for _ in range(_MOST_BYTES // size):
            address = malloc(ctypes.c_size_t(size))
            if not address:
                break
            if address + size + 64 >= sbrk(ctypes.c_ssize_t(0)) - info().keepcost:  # the end of the heap: no hole
                free(ctypes.c_void_p(address))
                break
            filled.append((address, address + size))
    library.malloc_trim(ctypes.c_size_t(0))  # what lies free at the end of the heap is fresh memory again
    return filled


def _give_back(start: int, end: int) -> None:
    """Lets the kernel take the pages that lie within this span of memory."""
    first, last = -(-start // _PAGE_BYTES) * _PAGE_BYTES, end // _PAGE_BYTES * _PAGE_BYTES
    if first < last:
        ctypes.PyDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)
