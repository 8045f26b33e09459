"""Makes what the fork server holds immortal (PEP 683), so that its children share the memory instead of copying it.

Counting a reference writes into the object, and a write after a fork copies a page: most of what a fresh child spends
goes there. Objects with CPython's immortal count are not counted, as None and True are not. What is made immortal is
never freed, which is right for a process that lives as long as its jail and for children that end without clean-up.
"""

from __future__ import annotations

import ctypes
import gc
import sys

# 64-bit CPython 3.12 and 3.13: immortal are the objects whose low 32 bits of the count are all ones.
_IMMORTAL_COUNT = 0xFFFFFFFF
_KNOWN_VERSIONS = ((3, 12), (3, 13))


def _is_known() -> bool:
    """Whether this interpreter counts references the way that is known here; the count of None shows it."""
    if sys.version_info[:2] not in _KNOWN_VERSIONS or sys.implementation.name != "cpython":
        return False
    return ctypes.c_uint32.from_address(id(None)).value == _IMMORTAL_COUNT


def immortalise() -> int:
    """Makes all objects that can be reached from the collector immortal. Returns how many; 0: not known how."""
    if not _is_known():
        return 0
    count = ctypes.c_uint32.from_address
    todo = gc.get_objects()
    own = id(todo)
    made = 0
    while todo:
        item = todo.pop()
        number = id(item)
        # The mark itself says what was seen: a table of what was would leave holes all over the memory.
        if count(number).value != _IMMORTAL_COUNT and number != own:
            count(number).value = _IMMORTAL_COUNT
            made += 1
            todo.extend(gc.get_referents(item))
    return made
