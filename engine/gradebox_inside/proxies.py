"""Proxies: what stands, in one process, for an object that lives in the other one.

A class of the other side becomes a real class here (`RemoteMeta` makes its calls and attributes messages), with
the same bases, so that isinstance(), `type(x) is C`, `except C` and pattern matching are Python's own; its
instances are instances of that class. Everything else is asked for by message. A proxy for an instance of a
subclass of a plain type is an instance of that plain type too and holds a copy of the content.

Who may decide what: equality and order with plain data are decided here, from the content, never by the other
side's `__eq__`. See `Judgement` for the rules that keep an answer from deciding its own test.
"""

from __future__ import annotations

import builtins
import types

from gradebox_inside.specials import BINARY, KNOWN, ORDER
from gradebox_inside.values import NO_BASE

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_get = object.__getattribute__
_set = object.__setattr__
_type_get = type.__getattribute__
# Attributes that are the proxy's own business; all others are the object's.
_OWN = frozenset(
    (
        "__class__",
        "__copy__",
        "__deepcopy__",
        "__del__",
        "__reduce_ex__",
        "__reduce__",
        "__getstate__",
        "__init_subclass__",
    )
)
_OWN_OF_CLASS = frozenset(
    "__class__ __mro__ __name__ __qualname__ __module__ __bases__ __base__ __flags__ __basicsize__ __itemsize__"
    " __dict__ __dictoffset__ __weakrefoffset__ __subclasses__ __instancecheck__ __subclasscheck__ __subclasshook__"
    " __abstractmethods__ mro _gradebox_library _gradebox_specials __reduce_ex__ __reduce__ __getstate__"
    " __copy__ __deepcopy__ __del__ __new__".split()
)
_MUTABLE = (list, dict, set, bytearray)


class State:
    """What a proxy knows: kept in its instance dictionary under one name, out of the object's way."""

    __slots__ = ("base", "cls", "handle", "name", "peer", "tainted")

    def __init__(self, peer: Any, handle: int, base: Any, cls: type | None) -> None:
        self.peer = peer
        self.handle = handle
        self.base = base
        self.cls = cls  # the class to claim where it is a type that both sides have
        self.tainted = False
        self.name = ""


def state_of(proxy: Any) -> State:
    """The state of a proxy for an instance or a function."""
    found: State = _get(proxy, "__dict__")["_gradebox"]
    return found


def is_remote(value: Any) -> bool:
    """Whether the value is a proxy for an instance or a function of the other side."""
    return issubclass(type(value), Remote)


class RemoteMeta(type):
    """The class of proxied classes: attributes and calls of the class are messages."""

    def __new__(meta, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        raise TypeError(f"a test cannot make a subclass of the program's class {bases[0].__name__}")

    def __init__(cls, *arguments: Any, **options: Any) -> None:
        pass

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        peer, handle = class_home(cls)
        return peer.request("call", handle, arguments, named)

    def __getattribute__(cls, name: str) -> Any:
        if name in _OWN_OF_CLASS or name in KNOWN or name == "_gradebox_class":
            return _type_get(cls, name)
        peer, handle = class_home(cls)
        return peer.request("get", handle, name)

    def __setattr__(cls, name: str, value: Any) -> None:
        peer, handle = class_home(cls)
        peer.request("set", handle, name, value)

    def __delattr__(cls, name: str) -> None:
        peer, handle = class_home(cls)
        peer.request("del", handle, name)

    def __instancecheck__(cls, value: Any) -> bool:
        fields = _type_get(cls, "_gradebox_class")[2]
        if fields is not None and isinstance(value, tuple) and type(value).__name__ == cls.__name__:
            return bool(getattr(type(value), "_fields", None) == fields)
        return type.__instancecheck__(cls, value)

    def __iter__(cls) -> Any:
        return _ask_class(cls, "__iter__")

    def __len__(cls) -> Any:
        return _ask_class(cls, "__len__")

    def __getitem__(cls, key: Any) -> Any:
        return _ask_class(cls, "[]", key)

    def __contains__(cls, value: Any) -> Any:
        return _ask_class(cls, "__contains__", value)

    def __bool__(cls) -> bool:
        return True

    def __repr__(cls) -> str:
        return str(_ask_class(cls, "__repr__"))

    def __dir__(cls) -> Any:
        return _ask_class(cls, "__dir__")


def class_home(cls: type) -> tuple[Any, int]:
    """(peer, handle) of a proxied class."""
    found = _type_get(cls, "_gradebox_class")
    return found[0], found[1]


def _ask_class(cls: type, name: str, *arguments: Any) -> Any:
    peer, handle = class_home(cls)
    return peer.request("special", handle, name, arguments)


def _judged(name: str) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        return state_of(self).peer.judgement.compare(self, name, other)

    method.__name__ = name
    return method


class Remote:
    """A proxy for an instance or a function."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        if name in _OWN:
            if name == "__class__":
                state = _get(self, "__dict__").get("_gradebox")
                if state is not None and state.cls is not None:
                    return state.cls
            return _get(self, name)
        state = state_of(self)
        state.peer.judgement.check_attribute(self, name)
        found = state.peer.request("get", state.handle, name)
        if is_remote(found):
            state_of(found).name = name
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        state = state_of(self)
        state.peer.request("set", state.handle, name, value)

    def __delattr__(self, name: str) -> None:
        state = state_of(self)
        state.peer.request("del", state.handle, name)

    def __eq__(self, other: Any) -> Any:
        return state_of(self).peer.judgement.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        equal = state_of(self).peer.judgement.equal(self, other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return _hash(self)

    def __del__(self) -> None:
        state = _get(self, "__dict__").get("_gradebox")
        if state is not None:
            state.peer.released(state.handle)

    def __copy__(self) -> Any:
        state = state_of(self)
        return state.peer.request("copy", state.handle)

    def __deepcopy__(self, memo: Any) -> Any:
        state = state_of(self)
        return state.peer.request("deepcopy", state.handle)

    __lt__ = _judged("__lt__")
    __le__ = _judged("__le__")
    __gt__ = _judged("__gt__")
    __ge__ = _judged("__ge__")


def _hash(proxy: Any) -> int:
    state = state_of(proxy)
    names = _type_get(type(proxy), "_gradebox_specials")
    if "unhashable" in names:
        raise TypeError(f"unhashable type: {type(proxy).__name__!r}")
    if state.base is not NO_BASE:
        return hash(state.base)
    if "__hash__" not in names:
        return object.__hash__(proxy)
    value = state.peer.request("special", state.handle, "__hash__", ())
    if type(value) is not int:
        raise TypeError("__hash__ method should return an integer")
    return hash(value)


def _special(name: str) -> Callable[..., Any]:
    """The method that asks the other side for a special method."""
    if name == "__contains__":

        def method(self: Any, value: Any) -> Any:
            return state_of(self).peer.judgement.contains(self, value)

    elif name in BINARY:

        def method(self: Any, other: Any, *more: Any) -> Any:  # type: ignore[misc]
            return state_of(self).peer.judgement.operate(self, name, other, *more)

    elif name == "__call__":

        def method(self: Any, /, *arguments: Any, **named: Any) -> Any:  # type: ignore[misc]
            state = state_of(self)
            return state.peer.call(state, arguments, named)

    else:

        def method(self: Any, *arguments: Any) -> Any:  # type: ignore[misc]
            return state_of(self).peer.judgement.special(self, name, arguments)

    method.__name__ = method.__qualname__ = name
    return method


_METHODS: dict[str, Callable[..., Any]] = {}


def _namespace_for(specials: tuple[str, ...]) -> dict[str, Any]:
    namespace: dict[str, Any] = {"_gradebox_specials": frozenset(specials)}
    for name in specials:
        if name in KNOWN and name not in ("__eq__", "__hash__", "__copy__", "__deepcopy__", *ORDER):
            if name not in _METHODS:
                _METHODS[name] = _special(name)
            namespace[name] = _METHODS[name]
    return namespace


def make_class(
    peer: Any,
    handle: int,
    name: str,
    qualname: str,
    module: str,
    bases: list[type],
    specials: tuple[str, ...],
    fields: tuple[str, ...] | None,
) -> type:
    """A class that stands for a class of the other side."""
    namespace = _namespace_for(specials)
    namespace["_gradebox_class"] = (peer, handle, fields)
    namespace["__module__"] = module
    namespace["__qualname__"] = qualname
    error = next((b for b in bases if issubclass(b, BaseException)), None)
    if error is not None:
        for special in (*ORDER, "__str__", "__eq__"):
            namespace.pop(special, None)
        chosen: tuple[type, ...] = tuple(b for b in bases if issubclass(b, BaseException))
        namespace |= _ERROR_METHODS
    else:
        chosen = tuple(dict.fromkeys(b for b in map(_usable, bases) if b is not None))
        if not any(issubclass(b, Remote) for b in chosen):
            chosen = (Remote, *chosen)
        namespace["_gradebox_library"] = tuple(b for b in bases if b.__module__ not in _NO_CLAIM)
    try:
        return type.__new__(RemoteMeta, name, chosen, namespace)
    except TypeError:  # bases that do not go together here
        return type.__new__(RemoteMeta, name, (Exception,) if error else (Remote,), namespace)


# Bases that are not worth a claim: `x.__class__ is C` must hold for the many classes that have one of them.
_NO_CLAIM = frozenset(("abc", "typing", "builtins", "program"))


def _usable(base: type) -> type | None:
    """What can stand for a base class here: itself, or the plain type that it inherits from."""
    if issubclass(base, Remote) or base in _PLAIN:
        return base
    return next((p for p in _PLAIN if p in base.__mro__), None)


def claimed_class(cls: type) -> type | None:
    """What instances of a proxied class that inherits from a class of the standard library call their class.

    None where it inherits from none. isinstance(x, threading.Thread) looks at `x.__class__` too.
    """
    for base in cls.__mro__:
        found = vars(base).get("_gradebox_library", ())
        library = tuple(b for b in found if not isinstance(b, RemoteMeta))
        if library:
            try:
                return types.new_class(cls.__name__, library)
            except Exception:  # a class that is not made for inheriting just like that
                return None
    return None


def make_kind(name: str, specials: tuple[str, ...], base: type | None) -> type:
    """A class for proxies of instances of a type that both sides have (a generator, a file, a function)."""
    namespace = _namespace_for(specials)
    return type(name, (Remote,) if base is None else (Remote, base), namespace)


def make_instance(kind: type, state: State) -> Any:
    """A proxy of a class made here; its content is copied in where the class has a plain base."""
    base = state.base
    plain = None if base is NO_BASE else next((p for p in _PLAIN if p in kind.__mro__), None)
    proxy: Any
    if plain is None:
        proxy = object.__new__(kind)
    elif plain in _MUTABLE:
        proxy = plain.__new__(kind)
        refill(proxy, base)
    else:
        proxy = plain.__new__(kind, base)  # type: ignore[call-arg]
    _get(proxy, "__dict__")["_gradebox"] = state
    return proxy


def refill(proxy: Any, base: Any) -> None:
    """Brings the copy of a mutable content up to date, through the plain type's own methods."""
    if isinstance(base, list):
        list.__setitem__(proxy, slice(None), base)
    elif isinstance(base, bytearray):
        bytearray.__setitem__(proxy, slice(None), base)
    elif isinstance(base, dict):
        dict.clear(proxy)
        dict.update(proxy, base)
    elif isinstance(base, set):
        set.clear(proxy)
        set.update(proxy, base)


_PLAIN = (int, float, complex, str, bytes, tuple, frozenset, *_MUTABLE)


def _error_text(self: Any) -> str:
    text = _get(self, "__dict__").get("_gradebox_text")
    return text if isinstance(text, str) else BaseException.__str__(self)


def _error_attribute(self: Any, name: str) -> Any:
    state = _get(self, "__dict__").get("_gradebox")
    if state is None:
        raise AttributeError(name)
    return state.peer.request("get", state.handle, name)


def _error_del(self: Any) -> None:
    state = _get(self, "__dict__").get("_gradebox")
    if state is not None:
        state.peer.released(state.handle)


_ERROR_METHODS: dict[str, Any] = {
    "__str__": _error_text,
    "__getattr__": _error_attribute,
    "__del__": _error_del,
}
FUNCTION = types.FunctionType
