"""The oracle's process: runs test code in a sandbox of its own, where the program's names are proxies.

    worker → oracle                                              answer
    ("setup", source, {"entry_point", "share_random", …})        ("ready",) or ("failed", info)
    ("test", index, kind, source, {"compared"})                  ("tested", index, cpu_ns, wall_ns, result)
    ("pause",)                                                   none; the program's process answers its worker

result: as in tests_run.py; its outcome may also be "program_gone". A name in a test is looked up in the test's own
globals, then in the builtins, then in the program: what the program calls `isinstance` does not matter here. Only
the entry point comes before the builtins.
"""

from __future__ import annotations

import builtins
import gc
import os
import sys
import time

from gradebox_inside.authority import OracleAuthority
from gradebox_inside.describe import TEST_FILE, error_info
from gradebox_inside.encode import encode
from gradebox_inside.frames import Channel
from gradebox_inside.judgement import OracleJudgement
from gradebox_inside.library import CHECKING_NAMES, library_name, module_name
from gradebox_inside.orders import unpack
from gradebox_inside.peer import Gone, Peer
from gradebox_inside.program import LONGEST_ORDER_BYTES, own_depth
from gradebox_inside.proxies import RemoteMeta, is_remote
from gradebox_inside.stdio import open_streams
from gradebox_inside.tests_run import outcome, run_code, run_module

globals()["__builtins__"] = vars(builtins).copy()  # tests patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Any

_cpu_ns = time.process_time_ns
_wall_ns = time.monotonic_ns
_MODULE = "test_program"


def serve(channel: socket, program: socket) -> None:
    """Serves the worker until it closes the channel. `program` leads to the program's process."""
    worker = Channel(channel, LONGEST_ORDER_BYTES)
    sys.setrecursionlimit(sys.getrecursionlimit() + own_depth() + 40)
    sys.argv = ["test_program.py"]
    open_streams()
    gc.enable()
    oracle = Oracle(Channel(program, 256 << 20))
    try:
        while (payload := worker.receive()) is not None:
            message = unpack(payload)
            if message[0] == "setup":
                worker.send(encode(oracle.set_up(message[1], message[2])))
            elif message[0] == "pause":
                oracle.pause()
            else:
                worker.send(encode(oracle.test(*message[1:])))
    except OSError:  # the worker is gone
        os._exit(0)


class Names(dict):  # type: ignore[type-arg]
    """The builtins of a test's globals: what they do not have is the program's.

    Python looks a name up in the globals first, then here. Names of the program are kept as long as they mean
    the same object: the program's side says when one does not.
    """

    def __init__(self, ask: Any) -> None:
        super().__init__(vars(builtins))
        self._ask = ask

    def __missing__(self, name: str) -> Any:
        return self._ask(name)


class Oracle:
    """The state of one oracle process."""

    def __init__(self, program: Channel) -> None:
        self._judgement = OracleJudgement()
        self._authority = OracleAuthority(frozenset((_MODULE,)))
        self._peer = Peer(program, 1, self._judgement, self._authority)
        self._authority.names = self._names = Names(self._ask)
        self._entry: str | None = None
        self._peer.handles.gives_signatures = True
        self._base: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}
        self._paused = False

    def _ask(self, name: str) -> Any:
        """A name that neither the test nor Python knows. Raises KeyError, as a mapping does."""
        if name.startswith("__") and name.endswith("__"):
            raise KeyError(name)
        try:
            value = self._peer.request("name", name)
        except NameError:
            self._peer.last_error = None
            raise KeyError(name) from None
        if name in CHECKING_NAMES and name != self._entry and (is_remote(value) or isinstance(value, RemoteMeta)):
            value = CHECKING_NAMES[name]()
        self._name(value)
        self._keep(name, value)
        return value

    def _keep(self, name: str, value: Any) -> None:
        self._names[name] = value
        self._authority.asked.add(name)

    def _tell_seeds(self) -> None:
        """A seed goes to the program also when it is the one that was last told."""
        import random

        seed = random.seed

        def seeding(*arguments: Any, **named: Any) -> None:
            self._peer.tell_random()
            seed(*arguments, **named)

        random.seed = seeding

    def _name(self, value: Any) -> None:
        if isinstance(value, RemoteMeta):
            self._judgement.named.add(value)

    def _namespace(self) -> dict[str, Any]:
        module = type(sys)(_MODULE)
        sys.modules[_MODULE] = module
        namespace = module.__dict__
        namespace["__builtins__"] = self._names
        namespace["__file__"] = "/tmp/test_program.py"
        return namespace

    def set_up(self, source: str, options: dict[str, Any]) -> tuple[Any, ...]:
        """Executes the tests' set-up; tests see what it defines."""
        self._entry = options.get("entry_point")
        if options.get("share_random"):
            self._peer.share_random = True
            self._tell_seeds()
        self._base = self._namespace()
        error: BaseException | None = None
        try:
            if self._entry:
                value = self._peer.request("entry", self._entry)
                self._name(value)
                self._keep(self._entry, value)
        except NameError:
            pass
        except BaseException as problem:
            error = problem
        if error is None and source.strip():
            error = run_code(source, self._base)
        self._shared = self._base
        return ("ready",) if error is None else ("failed", error_info(error, TEST_FILE))

    def test(self, index: int, kind: str, source: str, options: dict[str, Any]) -> tuple[Any, ...]:
        """Runs one test."""
        cpu, wall = _cpu_ns(), _wall_ns()
        self._judgement.compared = bool(options.get("compared"))
        self._authority.stop_iteration = "StopIteration" in source or "StopAsyncIteration" in source
        self._peer.last_error = None
        self._peer.over_budget = False
        ran = 0
        error: BaseException | None
        try:
            self._catch_up()
            if kind == "unittest":
                namespace = self._namespace()
                namespace.update({k: v for k, v in self._base.items() if not k.startswith("__")})
                error, ran = run_module(source, namespace, lambda: self._share_imports(namespace))
            else:
                error = run_code(source, self._shared)
        except BaseException as problem:
            error = problem
        result = outcome(error, ran)
        if self._peer.closed or isinstance(error, Gone):
            result["outcome"] = "program_gone"
        elif self._peer.over_budget:
            result["outcome"] = "over_budget"
        if error is not None:
            result["program_raised"] = error is self._peer.last_error
        return ("tested", index, _cpu_ns() - cpu, _wall_ns() - wall, result)

    def _catch_up(self) -> None:
        """Hears what the program did while the conversation was paused."""
        if self._paused:
            self._paused = False
            self._peer.request("news", None)

    def _share_imports(self, namespace: dict[str, Any]) -> None:
        """A test module runs in the program's namespace: what it imports, a program may have come to rely on."""
        names = {
            name: value
            for name, value in namespace.items()
            if name not in vars(builtins) and (module_name(value) if type(value) is type(sys) else library_name(value))
        }
        self._peer.request("imports", names)

    def pause(self) -> None:
        """Lets the program's process go back to its worker until the next test."""
        self._paused = True
        try:
            self._peer.pause()
        except Gone:
            pass
