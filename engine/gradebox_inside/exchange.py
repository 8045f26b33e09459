"""How values that are not plain cross between two peers: as descriptions on the way out, as proxies on the way in.

The description travels in `Opaque.extra`, by `k`:
    module  {"name", "parts"}                             a module of the standard library
    lib     {"name"}                                      a function or class that both sides have, "module:name"
    class   {"name", "qual", "module", "bases", "specials", "fields"}; None once the other side knows it
    inst    {"class", "specials"}                         an instance of any class
    func    {"specials", "type"}                          a function or method
    def     {"name", "shape", "defaults", …}              a function of the test, with its signature (see stubs.py)
    error   {"class", "args", "text", "cause", "attrs"}   an exception
    coro    {}                                            a coroutine: awaited as a whole where it lives
"""

from __future__ import annotations

import builtins
import sys
import types
from _weakref import ref

from gradebox_inside.describe import find, flags_of, mro, plain_base, text_of
from gradebox_inside.encode import encode, is_plain_type
from gradebox_inside.library import is_standard, library_name, module_name
from gradebox_inside.namedtuples import namedtuple_fields
from gradebox_inside.proxies import (
    _MUTABLE,
    FUNCTION,
    Remote,
    RemoteMeta,
    State,
    _get,
    claimed_class,
    class_home,
    make_class,
    make_instance,
    make_kind,
    refill,
    state_of,
)
from gradebox_inside.specials import specials_of
from gradebox_inside.stubs import signature_of, stub
from gradebox_inside.values import (
    BUILTIN_TYPE_NAMES,
    CLASS,
    EXCEPTION,
    NO_BASE,
    RECEIVERS,
    Budget,
    CodecError,
    Opaque,
    type_key,
)

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_bases = vars(type)["__bases__"].__get__
_qualname = vars(type)["__qualname__"].__get__
_FUNCTIONS = (FUNCTION, types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType)
_ATTRIBUTES_BYTES = 1 << 14
_PINNED = 1024
_PARTS = 64
_OS_ERROR_ATTRIBUTES = ("filename", "filename2")


class Handles:
    """The objects of this side that the other side holds proxies for."""

    def __init__(self) -> None:
        self.objects: dict[int, Any] = {}
        self._by_id: dict[int, int] = {}
        self._next = 1
        self.stubs: dict[int, int] = {}  # id of a function of stubs.py → the other side's handle
        self.gives_signatures = False
        self.described: set[int] = set()

    def handle_of(self, value: Any) -> int:
        """The handle of an object, given now if it has none yet."""
        handle = self._by_id.get(id(value))
        if handle is None:
            handle = self._next
            self._next += 1
            self.objects[handle] = value
            self._by_id[id(value)] = handle
        return handle

    def find(self, handle: int) -> Any:
        """The object. Raises CodecError for a handle that was never given or is released."""
        try:
            return self.objects[handle]
        except KeyError:
            raise CodecError("no such object") from None

    def release(self, handle: int) -> None:
        """The other side holds no proxy for it any more."""
        value = self.objects.pop(handle, None)
        if value is not None:
            self._by_id.pop(id(value), None)
        self.described.discard(handle)


def describe(handles: Handles, value: Any, entry: Any) -> Opaque:
    """The stand-in under which a value of this side, or a proxy that goes home, is written."""
    kind = type(value)
    if issubclass(kind, Remote):
        return Opaque(state_of(value).handle, "", True, flags=RECEIVERS)
    if issubclass(kind, RemoteMeta):
        return Opaque(class_home(value)[1], "", True, flags=RECEIVERS | CLASS)
    bases = mro(kind)
    if BaseException in bases:
        return _describe_error(handles, value)
    name = type_key(kind)[1]
    if issubclass(kind, types.ModuleType):
        return Opaque(handles.handle_of(value), name, True, extra=_module(module_name(value)))
    if type in bases:
        return _describe_class(handles, value, value is entry)
    if kind in _FUNCTIONS:
        if id(value) in handles.stubs:
            return Opaque(handles.stubs[id(value)], name, True, flags=RECEIVERS)
        found = "" if value is entry else library_name(value)
        if found:
            return Opaque(handles.handle_of(value), name, True, extra={"k": "lib", "name": found})
        if kind is FUNCTION and handles.gives_signatures:
            return Opaque(handles.handle_of(value), name, True, flags=flags_of(value), extra=signature_of(value))
        extra = {"k": "func", "specials": specials_of(kind), "type": kind is FUNCTION}
        return Opaque(handles.handle_of(value), name, True, flags=flags_of(value), extra=extra)
    if kind is types.CoroutineType or (find(kind, "__await__") is not None and find(kind, "send") is not None):
        return Opaque(handles.handle_of(value), name, True, extra={"k": "coro"})
    extra = {"k": "inst", "class": kind, "specials": specials_of(kind) if is_standard(type_key(kind)[0]) else None}
    base = plain_base(value)
    return Opaque(handles.handle_of(value), name, None, base, flags_of(value), extra)


def _module(name: str) -> dict[str, Any]:
    parts = [m for m in list(sys.modules) if type(m) is str and m.startswith(f"{name}.")] if name else []
    return {"k": "module", "name": name, "parts": tuple(parts[:_PARTS])}


def _describe_class(handles: Handles, value: type, is_entry: bool) -> Opaque:
    handle = handles.handle_of(value)
    name = type_key(value)[1]
    found = "" if is_entry else library_name(value)
    if found:
        # The other side may not have it: an exception is then one all the same, and caught as what it inherits from.
        builtin = [b for b in mro(value) if b in BUILTIN_TYPE_NAMES][:1] if BaseException in mro(value) else []
        return Opaque(handle, name, True, flags=CLASS, extra={"k": "lib", "name": found, "bases": builtin})
    extra = None
    if handle not in handles.described:
        handles.described.add(handle)
        extra = {
            "k": "class",
            "name": name,
            "qual": str.__str__(_qualname(value)),
            "module": type_key(value)[0],
            "bases": [b for b in _bases(value) if b is not object],
            "specials": specials_of(value),
            "fields": namedtuple_fields(value),
        }
    return Opaque(handle, name, True, flags=CLASS, extra=extra)


def _describe_error(handles: Handles, error: BaseException) -> Opaque:
    own = _get(error, "__dict__")
    state = own.get("_gradebox")
    if type(state) is State:
        return Opaque(state.handle, "", True, flags=RECEIVERS | EXCEPTION)
    kind = type(error)
    attributes = {
        k: v for k, v in own.items() if type(k) is str and not k.startswith("_gradebox") and is_plain_type(type(v))
    }
    if isinstance(error, OSError):
        for name in _OS_ERROR_ATTRIBUTES:
            if is_plain_type(type(getattr(error, name, None))):
                attributes[name] = getattr(error, name, None)
    try:
        encode(attributes, budget=Budget(nodes=1000, bytes=_ATTRIBUTES_BYTES))
    except Exception:  # large or not plain inside: asked for by message then
        attributes = {}
    cause = error.__cause__
    arguments = BaseException.args.__get__(error)  # type: ignore[attr-defined]
    extra = {
        "k": "error",
        "class": kind,
        "args": tuple(arguments) if type(arguments) is tuple else (),
        "text": text_of(error),
        "cause": cause if isinstance(cause, BaseException) and cause is not error else None,
        "attrs": attributes,
    }
    # A builtin exception is fully told by this; one of the program's own classes can be asked for more.
    handle = -1 if kind.__module__ == "builtins" else handles.handle_of(error)
    return Opaque(handle, type_key(kind)[1], True, flags=EXCEPTION, extra=extra)


class Proxies:
    """The proxies of this side, one for each object of the other side as long as it is in use."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer
        self._live: dict[int, Any] = {}
        self._counts: dict[int, int] = {}
        self._classes: dict[int, type] = {}
        self._kinds: dict[tuple[Any, ...], type] = {}
        self._claims: dict[type, type | None] = {}
        self._pinned: dict[int, Any] = {}
        self.released: list[int] = []

    def release(self, handle: int) -> None:
        """One proxy of this handle is gone (called from a finalizer, at any time)."""
        count = self._counts.get(handle, 0) - 1
        if count > 0:
            self._counts[handle] = count
        else:
            self._counts.pop(handle, None)
            self._live.pop(handle, None)
            self.released.append(handle)

    def _kept(self, handle: int, proxy: Any) -> Any:
        self._counts[handle] = self._counts.get(handle, 0) + 1
        if handle in self.released:
            self.released.remove(handle)
        try:
            self._live[handle] = ref(proxy)
        except TypeError:  # no weak reference to it (an IntEnum's member, for one): kept alive, `is` must hold
            if len(self._pinned) >= _PINNED:
                self._pinned.clear()
                self._live = {h: live for h, live in self._live.items() if isinstance(live, ref)}
            self._pinned[handle] = proxy
            self._live[handle] = lambda: self._pinned.get(handle)
        return proxy

    def build(self, stand_in: Opaque) -> Any:
        """The proxy, or the object of this side, that a stand-in from the other side means. Raises CodecError."""
        if stand_in.flags & RECEIVERS:
            return self._peer.handles.find(stand_in.handle)
        extra = stand_in.extra
        handle = stand_in.handle
        if stand_in.flags & CLASS and extra is None:
            found = self._classes.get(handle)
            if found is None:
                raise CodecError("unknown class")
            return found
        if type(extra) is not dict:
            raise CodecError("stand-in")
        what = extra.get("k")
        if what == "class":
            return self._class(handle, extra)
        if what == "error":
            return self._error(handle, extra)
        live = self._live.get(handle)
        proxy = live() if live is not None else None
        if proxy is not None:
            if isinstance(stand_in.base, _MUTABLE):
                state_of(proxy).base = stand_in.base
                refill(proxy, stand_in.base)
            return proxy
        if what == "module" or what == "lib":
            found = self._peer.resolve(what, _text(extra.get("name")))
            if found is not None:
                for part in _names(extra.get("parts")):  # `import urllib.parse` binds only `urllib`
                    self._peer.resolve("module", part)
                return found
            if stand_in.flags & CLASS:
                return self._class(handle, {"name": stand_in.type_name, "bases": extra.get("bases"), "specials": ()})
            return self._kept(handle, self._instance(handle, stand_in, ("__call__",), None))
        if what == "coro":
            return self._peer.coroutine(handle, stand_in.type_name)
        if what == "func":
            kind = FUNCTION if extra.get("type") is True else None
            return self._kept(handle, self._instance(handle, stand_in, _names(extra.get("specials")), kind))
        if what == "def":
            return self._stub(handle, extra)
        if what == "inst":
            cls = extra.get("class")
            if isinstance(cls, RemoteMeta) and issubclass(cls, Remote):
                if cls not in self._claims:
                    self._claims[cls] = claimed_class(cls)
                state = State(self._peer, handle, stand_in.base, self._claims[cls])
                return self._kept(handle, make_instance(cls, state))
            claimed = cls if isinstance(cls, type) and not isinstance(cls, RemoteMeta) else None
            specials = _names(extra.get("specials"))
            return self._kept(handle, self._instance(handle, stand_in, specials, claimed))
        raise CodecError("stand-in")

    def _stub(self, handle: int, extra: dict[str, Any]) -> Any:
        peer, stubs = self._peer, self._peer.handles.stubs
        if peer.handles.gives_signatures:
            raise CodecError("signature")  # only the oracle's side describes functions so
        function = stub(extra, lambda arguments, named: peer.request("call", handle, arguments, named))
        key = id(function)
        stubs[key] = handle

        def gone(_: Any) -> None:
            stubs.pop(key, None)
            self.release(handle)

        self._counts[handle] = self._counts.get(handle, 0) + 1
        if handle in self.released:
            self.released.remove(handle)
        self._live[handle] = ref(function, gone)
        return function

    def _instance(self, handle: int, stand_in: Opaque, specials: tuple[str, ...], claimed: type | None) -> Any:
        base = None if stand_in.base is NO_BASE else type(stand_in.base)
        key = (stand_in.type_name, specials, base)
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = make_kind(stand_in.type_name, specials, base)
        return make_instance(kind, State(self._peer, handle, stand_in.base, claimed))

    def _class(self, handle: int, extra: dict[str, Any]) -> type:
        found = self._classes.get(handle)
        if found is None:
            bases = extra.get("bases")
            fields = extra.get("fields")
            found = self._classes[handle] = make_class(
                self._peer,
                handle,
                _text(extra.get("name")),
                _text(extra.get("qual")) or _text(extra.get("name")),
                _text(extra.get("module")),
                [b for b in bases if isinstance(b, type)] if type(bases) is list else [],
                _names(extra.get("specials")),
                _names(fields) if fields is not None else None,
            )
        return found

    def _error(self, handle: int, extra: dict[str, Any]) -> BaseException:
        cls, arguments, attributes = extra.get("class"), extra.get("args"), extra.get("attrs")
        if not isinstance(cls, type) or not issubclass(cls, BaseException) or type(arguments) is not tuple:
            raise CodecError("exception")
        error: BaseException
        own_class = isinstance(cls, RemoteMeta)
        try:
            error = cls.__new__(cls, *arguments) if own_class else _rebuild(cls, arguments)
        except Exception:
            error = Exception.__new__(Exception, *arguments)
        error.args = arguments
        if type(attributes) is dict:
            for name, value in attributes.items():
                if type(name) is str and not name.startswith("__"):
                    object.__setattr__(error, name, value)
        if isinstance(extra.get("cause"), BaseException):
            error.__cause__ = extra["cause"]
        if own_class:
            own = _get(error, "__dict__")
            own["_gradebox_text"] = _text(extra.get("text"))
            own["_gradebox"] = State(self._peer, handle, NO_BASE, None)
            self._counts[handle] = self._counts.get(handle, 0) + 1
        return error


def _rebuild(cls: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    if cls.__module__ == "builtins":
        try:
            return cls(*arguments)
        except Exception:  # UnicodeDecodeError and the like check their arguments
            return cls.__new__(cls)
    return cls.__new__(cls)


def _text(value: Any) -> str:
    return value[:500] if type(value) is str else ""


def _names(value: Any) -> tuple[str, ...]:
    return tuple(n for n in value if type(n) is str) if type(value) is tuple else ()
