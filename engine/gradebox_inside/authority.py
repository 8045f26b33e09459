"""What each side does for the other one.

The program's side does whatever it is asked: it is the program's own code that runs there. The oracle's side lets
the program use only what the test passed to it: callables, iterators, files, mocks and the public attributes of
instances of the test's own classes. It never hands out a frame, a namespace, a closure or a module, so that
nothing that the test did not pass can be reached.
"""

from __future__ import annotations

import builtins
import types

from gradebox_inside.calls import entry
from gradebox_inside.describe import find, mro, plain_base
from gradebox_inside.library import any_module, any_object, is_standard, trusted_module, trusted_object
from gradebox_inside.specials import KNOWN
from gradebox_inside.values import type_key

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


class Authority:
    """The operations of the protocol, on the objects of this side."""

    def __init__(self) -> None:
        self._loop: Any = None

    def allow(self, value: Any, operation: str, name: str) -> None:
        """Raises what the other side gets instead of an operation that it may not ask for."""

    def named(self, name: str) -> Any:
        """The value of a global of the program. Raises NameError."""
        raise NameError(name)

    def entry(self, name: str) -> Any:
        """The entry point. Raises NameError."""
        raise NameError(name)

    def add_imports(self, names: dict[str, Any]) -> None:
        """Names of the standard library that a test module imported, beside the program as it were."""

    def renamed(self) -> list[str]:
        """The globals that were asked for by name and are other objects now."""
        return []

    def follow_random(self, own: Any, state: Any) -> Any:
        """Takes over the other side's state of `random`; returns the state that is in force then."""
        import random

        random.setstate(state)
        return state

    def forget_names(self, names: list[str]) -> None:
        """The other side's globals of these names are other objects now."""

    def resolve(self, what: str, name: str) -> Any:
        """This side's own module or object of the standard library, or None."""
        return any_module(name) if what == "module" else any_object(name)

    def accept_error(self, error: BaseException, operation: str) -> BaseException:
        """The exception to raise here for one that was raised on the other side."""
        return error

    def perform(self, peer: Any, operation: str, target: Any, *rest: Any) -> Any:
        """Does one operation; raises whatever the object raises."""
        if operation == "name":
            return self.named(target)
        if operation == "imports":
            return self.add_imports(target)
        if operation == "news":  # what changed meanwhile travels with the answer
            return None
        if operation == "entry":
            peer.entry = self.entry(target)
            return peer.entry
        value = peer.handles.find(target)
        if operation in ("call", "next"):
            self.allow(value, "call", "")
            return value(*rest[0], **rest[1])
        if operation == "special":
            name, arguments = rest
            self.allow(value, "special", name)
            if name == "[]":
                return value[arguments[0]]
            method = find(type(value), name) if name in KNOWN else None
            if method is None:
                raise TypeError(f"{type_key(type(value))[1]!r} object has no {name}")
            if name in ("__exit__", "__aexit__") and isinstance(arguments[1], BaseException):
                # A traceback of the other side's frames is no traceback here; this side has its own, if any.
                arguments = (*arguments[:2], arguments[1].__traceback__)
            return method.__get__(value, type(value))(*arguments)
        self.allow(value, operation, rest[0] if rest else "")
        if operation == "get":
            return getattr(value, rest[0])
        if operation == "set":
            return setattr(value, rest[0], rest[1])
        if operation == "del":
            return delattr(value, rest[0])
        if operation == "base":
            return plain_base(value)
        if operation in ("await", "await next"):
            return self._await(value)
        if operation in ("copy", "deepcopy"):
            import copy

            return copy.copy(value) if operation == "copy" else copy.deepcopy(value)
        raise TypeError(operation)

    def _await(self, value: Any) -> Any:
        """Runs a coroutine to its end on a loop of this side, also while another loop is running."""
        import asyncio
        from asyncio import events

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        loop = self._loop if not self._loop.is_running() else asyncio.new_event_loop()
        outer = events._get_running_loop()
        events._set_running_loop(None)
        try:
            return loop.run_until_complete(value)
        finally:
            events._set_running_loop(outer)


class ProgramAuthority(Authority):
    """The program's side."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__()
        self._namespace = module.__dict__
        self._watched: dict[str, Any] = {}

    def named(self, name: str) -> Any:
        try:
            value = self._namespace[name]
        except KeyError:
            raise NameError(f"name {name!r} is not defined") from None
        self._watched[name] = value
        return value

    def renamed(self) -> list[str]:
        get = self._namespace.get
        changed = [name for name, value in self._watched.items() if get(name) is not value]
        for name in changed:
            del self._watched[name]
        return changed

    def add_imports(self, names: dict[str, Any]) -> None:
        for name, value in names.items():
            self._namespace.setdefault(name, value)

    def entry(self, name: str) -> Any:
        value = entry(self._namespace, name)
        if name in self._namespace:
            self._watched[name] = value
        return value


_CALLABLES = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
)
_GENERATORS = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_GENERATOR_NAMES = frozenset(("send", "throw", "close", "asend", "athrow", "aclose"))
# Objects through whose public attributes the code and the variables of a test could be reached.
_CLOSED = (
    *_CALLABLES,
    types.ModuleType,
    types.FrameType,
    types.CodeType,
    types.TracebackType,
    types.CellType,
    types.MappingProxyType,
)


_MAX_TWISTS = 64  # of 624 numbers each


def _drawn_from(own: Any, state: Any) -> bool:
    """Whether a state of `random` comes from another one by drawing numbers."""
    import random

    if type(state) is not tuple or len(state) != 3 or type(state[1]) is not tuple or state[0] != own[0]:
        return False
    words, position = state[1][:-1], state[1][-1]
    if words == own[1][:-1]:
        return type(position) is int and position >= own[1][-1]
    generator = random.Random()
    generator.setstate((own[0], (*own[1][:-1], len(words)), None))
    for _ in range(_MAX_TWISTS):
        generator.getrandbits(32)
        if generator.getstate()[1][:-1] == words:
            return True
        generator.setstate((own[0], (*generator.getstate()[1][:-1], len(words)), None))
    return False


class OracleAuthority(Authority):
    """The oracle's side: the program may use what the test passed to it, and nothing else."""

    def __init__(self, test_modules: frozenset[str]) -> None:
        super().__init__()
        self._test_modules = test_modules
        self.names: dict[str, Any] = {}  # the builtins of the tests, with the program's globals among them
        self.asked: set[str] = set()  # which of the names are the program's
        self.stop_iteration = False  # the test speaks of StopIteration: the program may raise it from any call

    def follow_random(self, own: Any, state: Any) -> Any:
        """The program may have drawn numbers, but must not choose the ones that the test draws next."""
        import random

        if own is None or not _drawn_from(own, state):
            return random.getstate()
        return super().follow_random(own, state)

    def forget_names(self, names: list[str]) -> None:
        for name in names:
            if name in self.asked:  # never a builtin: the program would be asked what `len` is
                self.asked.discard(name)
                self.names.pop(name, None)

    def resolve(self, what: str, name: str) -> Any:
        return trusted_module(name) if what == "module" else trusted_object(name)

    def accept_error(self, error: BaseException, operation: str) -> BaseException:
        """A StopIteration ends loops over `map(f, …)`, and with it the checks in them: only iterators may raise it."""
        if isinstance(error, StopIteration | StopAsyncIteration) and not self.stop_iteration:
            if operation not in ("next", "__next__", "__anext__", "await next"):
                return RuntimeError(f"the program raised {type(error).__name__}")
        return error

    def allow(self, value: Any, operation: str, name: str) -> None:
        kind = type(value)
        if operation in ("call", "special", "await", "await next"):
            return
        if operation in ("base", "copy", "deepcopy"):
            return
        if operation == "get" and not name.startswith("_") and self._is_open(value, kind, name):
            return
        if operation == "get" and name in KNOWN:
            return
        if operation in ("set", "del") and not name.startswith("_") and self._is_own(kind):
            return
        raise AttributeError(f"{type_key(kind)[1]!r} object has no attribute {name!r}")

    def _is_own(self, kind: type) -> bool:
        """A class of the test, or a mock, whose attributes are plainly what the test put there."""
        module = type_key(kind)[0]
        return module in self._test_modules or module == "unittest.mock" or module == "types"

    def _is_open(self, value: Any, kind: type, name: str) -> bool:
        if any(closed in mro(kind) for closed in _CLOSED):
            return False
        if kind in _GENERATORS:
            return name in _GENERATOR_NAMES
        if type in mro(kind):
            return type_key(value)[0] in self._test_modules
        return self._is_own(kind) or isinstance(value, BaseException) or is_standard(type_key(kind)[0])
