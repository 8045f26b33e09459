"""Which special methods a class has: what a proxy for its instances must have too, and no more.

Python looks special methods up on the type, so `callable(x)`, `isinstance(x, Iterable)` and "object is not
iterable" come out right only when the proxy's type has exactly the special methods of the real one.
"""

from __future__ import annotations

import builtins

from gradebox_inside.describe import _namespace, mro

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ARITHMETIC = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor".split()
BINARY = frozenset(f"__{prefix}{name}__" for name in _ARITHMETIC for prefix in ("", "r", "i"))
ORDER = ("__lt__", "__le__", "__gt__", "__ge__")
# They turn an object into plain data; on the result of arithmetic with a plain operand they would be a verdict.
CONVERSIONS = frozenset(
    "__bool__ __int__ __float__ __complex__ __index__ __round__ __trunc__ __floor__ __ceil__ __abs__ __neg__"
    " __pos__ __invert__ __str__ __repr__ __format__ __len__".split()
)
ALWAYS = ("__str__", "__repr__", "__format__", "__dir__")
NAMES = (
    *"__call__ __len__ __iter__ __next__ __reversed__ __getitem__ __setitem__ __delitem__ __contains__".split(),
    *"__bytes__ __enter__ __exit__ __aenter__ __aexit__ __aiter__ __anext__ __await__ __fspath__".split(),
    *"__length_hint__ __copy__ __deepcopy__".split(),
    *sorted(CONVERSIONS),
    "__dir__",
    *sorted(BINARY),
)
COMPARED = ("__eq__", "__hash__", *ORDER)
KNOWN = frozenset(NAMES + COMPARED)

_MISSING: Any = object()
_IMMUTABLE = (int, float, complex, str, bytes, tuple, frozenset)
_cache: dict[type, tuple[str, ...]] = {}
_CACHED = 1024


def _first(bases: tuple[type, ...], name: str) -> tuple[Any, type | None]:
    for cls in bases:
        found = _namespace(cls).get(name, _MISSING)
        if found is not _MISSING:
            return found, cls
    return None, None


def specials_of(kind: type) -> tuple[str, ...]:
    """The names among KNOWN that instances of the class answer by code of their own class.

    `object`'s own methods do not count, nor do those that come from an immutable plain base: the proxy has its
    content. A class that made its instances unhashable has "unhashable" among the names.
    """
    found = _cache.get(kind)
    if found is not None:
        return found
    bases = mro(kind)
    names = []
    plain = any(base in bases for base in _IMMUTABLE)
    for name in NAMES + COMPARED:
        value, owner = _first(bases, name)
        if owner is object or owner is None:
            if name in ALWAYS and not plain:
                names.append(name)
        elif value is None:
            if name == "__hash__":
                names.append("unhashable")
        elif owner not in _IMMUTABLE:
            names.append(name)
    if len(_cache) >= _CACHED:
        _cache.clear()
    _cache[kind] = tuple(names)
    return _cache[kind]
