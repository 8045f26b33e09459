"""What the codec speaks about besides bytes: budgets, errors, handles, and the fixed tables of types.

Both sides of the boundary import this module. It is loaded by the warm fork server, so it imports nothing
that a bare interpreter has not loaded already.
"""

from __future__ import annotations

import builtins
import sys

# Functions made below this line look builtins up in a private copy: programs patch `builtins.len` and the like.
globals()["__builtins__"] = vars(builtins).copy()

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final


class CodecError(Exception):
    """The bytes are not a value in this codec's form, or are made to hurt whoever decodes them."""


class NotPlain(CodecError):
    """The value is not plain data and the caller gave no way to stand in for it."""


class OverBudget(Exception):
    """The value has more nodes, depth or bytes than the budget allows."""


class Budget:
    """How large a value may be: `nodes` counts elements, `depth` nested containers, `bytes` the encoded size."""

    __slots__ = ("bytes", "depth", "nodes")

    def __init__(self, nodes: int = 1_000_000, depth: int = 128, bytes: int = 16 << 20) -> None:
        self.nodes = nodes
        self.depth = depth
        self.bytes = bytes

    def __repr__(self) -> str:
        return f"Budget(nodes={self.nodes}, depth={self.depth}, bytes={self.bytes})"


# Elements of a packed list are cheap: four of them count as one node.
PACKED_SHIFT: Final = 2
# Whoever decodes a Fraction brings it to lowest terms, and divides to know the length of a range, at quadratic cost:
# larger parts do not travel.
EXACT_BITS: Final = 1 << 14
# Values of the standard library's types take more memory and time than builtin ones.
LIBRARY_NODES: Final = 2
PATH_NODES: Final = 4
DEQUE_NODES: Final = 8  # an empty one takes 760 bytes
NAMEDTUPLES_A_MESSAGE: Final = 64
PATH_CHARS: Final = 4096  # PATH_MAX


class _NoBase:
    """The type of NO_BASE."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_BASE"


NO_BASE: Final = _NoBase()

# Bits of `Opaque.flags`.
ITERABLE: Final = 1
CALLABLE: Final = 2
SIZED: Final = 4
CLASS: Final = 8
EXCEPTION: Final = 16
ITERATOR: Final = 32
MODULE: Final = 64
AWAITABLE: Final = 128
RECEIVERS: Final = 256  # the handle is one that the receiver gave out: the object is at home there


class Opaque:
    """Stands for a value that is not plain data and stays in the process that made it.

    `handle` names it there (-1: it cannot be asked for). `type_name` is its class's name. `truth` is its truth
    value where no code of the program decides that, else None. `base` is the content of an instance of a
    subclass of a plain type, read through the plain type's own methods, else NO_BASE. `extra` is plain data
    that says more about classes and exceptions. Compares by identity, on purpose.
    """

    __slots__ = ("base", "extra", "flags", "handle", "truth", "type_name")

    def __init__(
        self,
        handle: int,
        type_name: str,
        truth: bool | None = None,
        base: Any = NO_BASE,
        flags: int = 0,
        extra: Any = None,
    ) -> None:
        self.handle = handle
        self.type_name = type_name
        self.truth = truth
        self.base = base
        self.flags = flags
        self.extra = extra

    @property
    def iterable(self) -> bool:
        return bool(self.flags & ITERABLE)

    @property
    def callable(self) -> bool:
        return bool(self.flags & CALLABLE)

    def __repr__(self) -> str:
        return f"<Opaque {self.type_name} #{self.handle}>"


def _exception_names() -> list[str]:
    return [n for n, v in vars(builtins).items() if isinstance(v, type) and issubclass(v, BaseException)]


BUILTIN_TYPES: Final[dict[str, type]] = {
    name: getattr(builtins, name)
    for name in [
        *"bool bytearray bytes classmethod complex dict enumerate filter float frozenset int list map".split(),
        *"memoryview object property range reversed set slice staticmethod str super tuple type zip".split(),
        *_exception_names(),
    ]
} | {
    "NoneType": type(None),
    "ellipsis": type(...),
    "function": type(_exception_names),
    "builtin_function_or_method": type(len),
    "generator": type(_ for _ in ()),
    "module": type(sys),
    "dict_keys": type({}.keys()),
    "dict_values": type({}.values()),
    "dict_items": type({}.items()),
}
# Types of the standard library that travel by name; looked up only where their module is loaded already.
LIBRARY_TYPES: Final[frozenset[tuple[str, str]]] = frozenset(
    (module, name)
    for module, names in {
        "array": "array",
        "collections": "deque Counter OrderedDict defaultdict ChainMap UserDict UserList UserString",
        "datetime": "datetime date time timedelta timezone",
        "decimal": "Decimal InvalidOperation DivisionByZero",
        "fractions": "Fraction",
        "uuid": "UUID",
        "json.decoder": "JSONDecodeError",
        "pathlib": "Path PosixPath PurePath PurePosixPath",
        "re": "Pattern Match error",
        "subprocess": "CalledProcessError TimeoutExpired",
        "queue": "Queue Full",
        "_queue": "Empty",
        "zipfile": "BadZipFile",
        "configparser": "ConfigParser Error NoSectionError NoOptionError",
        "binascii": "Error",
        "_csv": "Error",
    }.items()
    for name in names.split()
)
BUILTIN_TYPE_NAMES: Final[dict[type, str]] = {
    t: n for n, t in BUILTIN_TYPES.items() if n not in ("EnvironmentError", "IOError")
}


def library_type(module: str, name: str) -> type | None:
    """The class that a loaded module of the standard library has under this name, else None."""
    found = sys.modules.get(module)
    value = getattr(found, name, None) if found is not None else None
    return value if isinstance(value, type) else None


_type_module: Callable[[type], Any] = vars(type)["__module__"].__get__
_type_name: Callable[[type], str] = vars(type)["__name__"].__get__


def type_key(cls: type) -> tuple[str, str]:
    """(module, name) as the class object itself says; a metaclass has no part in it. May lie: never a proof."""
    try:
        module = _type_module(cls)
    except AttributeError:
        module = ""
    return (module if type(module) is str else "", str(_type_name(cls)))
