"""One gRPC channel to an engine: its methods, its state, and which suites the engine has seen.

In a fork of a process that had used gRPC, the channel is one of a helper process: see `_relay`.
"""

import asyncio
import contextlib
import json
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import grpc

from gradebox._access import Access
from gradebox._deadline import Deadline
from gradebox._errors import GradeboxError, Unavailable, from_rpc
from gradebox._problems import Suite
from gradebox._relay import Channel
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

SERVICE = "/gradebox.v1.Grading/"
# Suites up to this size are cheaper to send again than to keep track of.
ALWAYS_INLINE_BYTES = 4096
KNOWN_SUITES = 100_000
ABANDON_TIMEOUT_S = 2.0
RETURN_S = 2.0  # for a connection that was lost to be there again, before its work goes elsewhere
_LOOK_S = 0.01

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A machine that is gone without a word, or a process that is stopped, is noticed after 40 s at most.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # how long one attempt may take, TLS and all
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)


class Peer(Protocol):
    """An engine that we started ourselves, and know more of than its address."""

    async def ready(self) -> None:
        """Waits until it listens. Raises EngineFault."""

    def fault(self) -> GradeboxError | None:
        """Why it does not answer, if it has died."""


class Connection:
    """A channel, made at first use, and again in another event loop.

    Args:
        host: the name in the engine's certificate where the target is an address that was found by it.
        is_apart: shares no TCP connection with other channels of this process to the same target.
    """

    def __init__(
        self,
        target: str,
        access: Access,
        peer: Peer | None = None,
        *,
        host: str | None = None,
        is_apart: bool = False,
    ) -> None:
        options: list[tuple[str, Any]] = [*_OPTIONS, ("grpc.use_local_subchannel_pool", int(is_apart))]
        if host is not None:
            options += [("grpc.default_authority", host), ("grpc.ssl_target_name_override", host.rpartition(":")[0])]
        self._options = options
        self._access = access
        self.calls = 0  # under way, as its user counts them
        self.was_lost = False  # at some time
        self.has_answered = False
        self._has_failed = False  # the last time
        self._rests_until_s = 0.0
        self._target = target
        self._peer = peer
        self._channel: grpc.aio.Channel | Channel | None = None
        self._pid = os.getpid()  # whose the channel is
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: dict[str, Any] = {}
        self._known: set[bytes] = set()
        self._closed = False
        self._unanswered: dict[object, Callable[[], list[str]]] = {}
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()

    async def ready(self) -> None:
        """Waits for an engine of our own to be there. Raises EngineFault."""
        if self._peer is not None and self._channel is None:
            await self._peer.ready()

    async def close(self) -> None:
        """Closes the channel; calls under way fail, and the engine is told that nobody waits for them."""
        keys = [key for unanswered in self._unanswered.values() for key in unanswered()]
        self._closed = True
        for stream in self._streams:  # first: what an engine has not read of them yet, it is not told of in time
            stream.cancel()
        await self._abandon(keys)
        channel, self._channel = self._channel, None
        if channel is not None and self._pid != os.getpid():
            _inherited.append(channel)
        elif channel is not None and self._loop is asyncio.get_running_loop():
            await channel.close()

    # --- calls ----------------------------------------------------------------------------------

    def method(self, name: str, request: Any, response: Any, *, stream: bool = False) -> Any:
        """A callable for a method of the service, for these message types."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise Unavailable("this client is closed")
        if self._channel is None or self._loop is not loop or self._pid != os.getpid():
            if self._pid != os.getpid():
                _inherited.append((self._channel, self._calls.copy()))
            if _is_fork():
                self._channel = Channel(self._target, self._options, self._access.tls)
            else:
                self._channel = self._access.channel(self._target, self._options)
            self._loop, self._pid = loop, os.getpid()
            self._calls.clear()
        return self._method(name, request, response, stream=stream)

    def _method(self, name: str, request: Any, response: Any, *, stream: bool) -> Any:
        assert self._channel is not None
        if name not in self._calls:
            kind = self._channel.stream_stream if stream else self._channel.unary_unary
            self._calls[name] = kind(
                SERVICE + name,
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
        return self._calls[name]

    def open(self, name: str, request: Any, response: Any, deadline: Deadline) -> Any:
        """A stream to a method, to be read and written."""
        method = self.method(name, request, response, stream=True)
        call = method(timeout=deadline.left_s(), metadata=self._access.metadata)
        self._streams.add(call)
        return call

    async def unary(self, name: str, request: Any, response: Any, deadline: Deadline) -> Any:
        """One call, tried once. Raises GradeboxError."""
        await self.ready()

        async def call() -> Any:
            method = self.method(name, type(request), response)
            return await method(request, timeout=deadline.left_s(), metadata=self._access.metadata)

        return await self.once(call)

    async def once[T](self, call: Callable[[], Awaitable[T]]) -> T:
        """Awaits `call()`, its gRPC errors turned into ours."""
        try:
            answer = await call()
        except grpc.aio.AioRpcError as error:
            known = from_rpc(error)
            if isinstance(known, Unavailable) and not known._said:
                self.was_lost = self._has_failed = True
                known = Unavailable(self._access.explained(str(known)))
            else:
                self.answered()
            raise known from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise Unavailable("this client was closed") from None
            raise
        self.answered()
        return answer

    @contextlib.contextmanager
    def waiting(self, keys: Callable[[], list[str]]) -> Iterator[None]:
        """Within it, what `keys()` names is not answered yet: see close."""
        token = object()
        self._unanswered[token] = keys
        try:
            yield
        finally:
            del self._unanswered[token]

    async def abandon(self, keys: list[str]) -> None:
        """Tells the engine, as far as it can be told, that nobody waits for these requests any more."""
        if not self._closed:
            await self._abandon(keys)

    async def _abandon(self, keys: list[str]) -> None:
        if not keys or self._channel is None or self._pid != os.getpid():
            return
        if self._loop is not asyncio.get_running_loop():
            return
        request = wire.AbandonRequest(idempotency_keys=keys)
        with contextlib.suppress(grpc.RpcError, TimeoutError):
            async with asyncio.timeout(ABANDON_TIMEOUT_S):
                await self._method("Abandon", wire.AbandonRequest, wire.AbandonResponse, stream=False)(
                    request, timeout=ABANDON_TIMEOUT_S, metadata=self._access.metadata
                )

    # --- its state ------------------------------------------------------------------------------

    def answered(self) -> None:
        """There is an engine at the address."""
        self.has_answered, self._has_failed = True, False

    def rest(self, seconds: float) -> None:
        """The engine has asked, in words, to be left alone for so long."""
        self._rests_until_s = time.monotonic() + seconds

    def is_up(self) -> bool:
        """Whether a call can be expected to be answered: nothing is known against it, or it is connected again."""
        if self._closed or time.monotonic() < self._rests_until_s:
            return False
        return not self._has_failed or self._state() is grpc.ChannelConnectivity.READY

    async def comes_back(self, within_s: float) -> bool:
        """Waits for a connection that was lost to be made again; False when it is refused, or takes longer."""
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            match self._state():
                case grpc.ChannelConnectivity.READY:
                    return True
                case grpc.ChannelConnectivity.IDLE | grpc.ChannelConnectivity.CONNECTING:
                    await asyncio.sleep(_LOOK_S)
                case _:
                    return False
        return False

    def fault(self, error: GradeboxError) -> GradeboxError | None:
        """A better reason for a failed call: why an engine of our own has died, or that we have closed this."""
        if self._peer is not None and isinstance(error, Unavailable) and (fault := self._peer.fault()):
            return fault
        return error if self._closed else None

    def _state(self) -> grpc.ChannelConnectivity:
        if self._channel is None or self._loop is not asyncio.get_running_loop() or self._pid != os.getpid():
            return grpc.ChannelConnectivity.READY  # as far as is known: the next call makes a channel
        return self._channel.get_state(try_to_connect=True)

    # --- suites ---------------------------------------------------------------------------------

    def refer(self, request: routed.RoutedGradeRequest, suite: Suite) -> None:
        """Puts a suite into a request: in full, or by name when the engine should have it."""
        if len(suite.data) <= ALWAYS_INLINE_BYTES:
            request.suite = suite.data
        elif suite.sha256 in self._known:
            request.suite_sha256 = suite.sha256
        else:
            request.suite = suite.data
            if len(self._known) >= KNOWN_SUITES:
                self._known.clear()
            self._known.add(suite.sha256)

    def forget(self, suite: Suite) -> None:
        """The engine does not have a suite."""
        self._known.discard(suite.sha256)


_grpc_process: int | None = None  # the one that first used gRPC
_inherited: list[Any] = []  # channels of the process that this one is a fork of: not even to be closed here


def _is_fork() -> bool:
    """Whether this process is a fork of one that had used gRPC, which does not survive that."""
    global _grpc_process
    if _grpc_process is None:
        _grpc_process = os.getpid()
    return _grpc_process != os.getpid()
