"""One gRPC channel to an engine: deadlines, retries, and which suites the engine has seen."""

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc

from gradebox._errors import (
    DeadlineExceeded,
    GradeboxError,
    InvalidRequest,
    Overloaded,
    Unavailable,
    from_detail,
    from_status,
)
from gradebox._problems import Suite
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

SERVICE = "/gradebox.v1.Grading/"
# Suites up to this size are cheaper to send again than to keep track of.
ALWAYS_INLINE_BYTES = 4096
KNOWN_SUITES = 100_000
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.1, 2.0
RETRY_S = 60.0
# For an engine that has not answered yet: its address may be wrong, and who waits is to be told.
FIRST_CONTACT_S = 2.0

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)


# The process that first used gRPC. Its threads do not survive a fork, and a call in the child would
# wait for ever.
_grpc_process: int | None = None


class Deadline:
    """A point in time that a call, with all that it does, has to be over by; None is never."""

    def __init__(self, timeout_s: float | None) -> None:
        if timeout_s is not None and not (
            isinstance(timeout_s, int | float) and timeout_s > 0  # NaN is not
        ):
            raise InvalidRequest(f"must be a positive number, not {timeout_s!r}", "timeout_s")
        self._timeout_s = timeout_s
        self._end_s = None if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self) -> float | None:
        """Seconds left. Raises DeadlineExceeded when there are none."""
        if self._end_s is None:
            return None
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise self.exceeded()
        return left_s

    def exceeded(self) -> DeadlineExceeded:
        """The exception that says so."""
        return DeadlineExceeded(f"no answer within {self._timeout_s} s")


class Peer(Protocol):
    """An engine that we started ourselves, and know more of than its address."""

    async def ready(self) -> None:
        """Waits until it listens. Raises EngineFault."""

    def fault(self) -> GradeboxError | None:
        """Why it does not answer, if it has died."""


class Connection:
    """A channel, made at first use, and again in another event loop.

    is_apart: shares no TCP connection with other channels of this process to the same target.
    """

    def __init__(
        self, target: str, peer: Peer | None = None, *, retry_s: float = RETRY_S, is_apart: bool = False
    ) -> None:
        if not (isinstance(retry_s, int | float) and retry_s >= 0):
            raise InvalidRequest(f"must be a number, 0 or more, not {retry_s!r}", "retry_s")
        self._retry_s = float(retry_s)
        self._options = (*_OPTIONS, ("grpc.use_local_subchannel_pool", int(is_apart)))
        self.calls = 0  # under way, as its user counts them
        self.was_lost = False  # at some time
        self._answered = False
        self._target = target
        self._peer = peer
        self._channel: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls: dict[str, Any] = {}
        self._known: set[bytes] = set()
        self._closed = False

    async def ready(self, deadline: Deadline) -> None:
        """Waits for an engine of our own to be there. Raises EngineFault, DeadlineExceeded."""
        if self._peer is not None and self._channel is None:
            try:
                async with asyncio.timeout(deadline.left_s()):
                    await self._peer.ready()
            except TimeoutError:
                raise deadline.exceeded() from None

    async def close(self) -> None:
        """Closes the channel; calls under way fail."""
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is not None and self._loop is asyncio.get_running_loop():
            await channel.close()

    def method(self, name: str, request: Any, response: Any, *, stream: bool = False) -> Any:
        """A callable for a method of the service, for these message types."""
        loop = asyncio.get_running_loop()
        if self._closed:
            raise Unavailable("this client is closed")
        _claim_grpc()
        if self._channel is None or self._loop is not loop:
            self._channel = grpc.aio.insecure_channel(self._target, options=self._options)
            self._loop = loop
            self._calls.clear()
        if name not in self._calls:
            kind = self._channel.stream_stream if stream else self._channel.unary_unary
            self._calls[name] = kind(
                SERVICE + name,
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
        return self._calls[name]

    async def unary(self, name: str, request: Any, response: Any, deadline: Deadline) -> Any:
        """One call, tried once. Raises GradeboxError."""

        await self.ready(deadline)

        async def call() -> Any:
            method = self.method(name, type(request), response)
            return await method(request, timeout=deadline.left_s())

        return await self.once(call)

    async def once[T](self, call: Callable[[], Awaitable[T]]) -> T:
        """Awaits `call()`, its gRPC errors turned into ours."""
        try:
            answer = await call()
        except grpc.aio.AioRpcError as error:
            known = _translated(error)
            if isinstance(known, Unavailable):
                self.was_lost = True
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

    def answered(self) -> None:
        """There is an engine at the address."""
        self._answered = True

    async def retrying[T](self, call: Callable[[], Awaitable[T]], deadline: Deadline) -> T:
        """Awaits `call()` again while the engine is overloaded or unavailable.

        Only for what can be repeated, as grading can.
        """
        retry = Retry(self, deadline)
        while True:
            try:
                return await call()
            except (Overloaded, Unavailable) as error:
                await retry.pause(error)

    def last_word(self, error: GradeboxError, tried_s: float) -> GradeboxError | None:
        """What to raise when a call has failed with `error` for `tried_s`; None: it may be tried again."""
        if self._peer is not None and isinstance(error, Unavailable) and (fault := self._peer.fault()):
            return fault
        patience_s = self._retry_s if self._answered else min(self._retry_s, FIRST_CONTACT_S)
        return error if self._closed or tried_s >= patience_s else None

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


class Retry:
    """One call's patience with an engine that is overloaded, or gone: pauses that grow, and an end to them."""

    def __init__(self, connection: Connection, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self.reset()

    def reset(self) -> None:
        """The engine has answered."""
        self._attempt = 0
        self._since_s: float | None = None

    async def pause(self, error: Overloaded | Unavailable) -> None:
        """Waits until it is time for another attempt. Raises `error`, or a better reason, when there is to be none.

        An overloaded engine is waited for as long as the call's own deadline allows.
        """
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
        left_s = self._deadline.left_s()
        last_word = self._connection.last_word(error, now_s - self._since_s)
        if last_word is not None and not (last_word is error and isinstance(error, Overloaded) and left_s is not None):
            raise last_word from None
        # Never the same pause for two clients: an engine that comes back is not to meet them all at once.
        delay_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2**self._attempt) * random.uniform(0.5, 1)
        self._attempt += 1
        await asyncio.sleep(delay_s if left_s is None else min(delay_s, left_s))


def _claim_grpc() -> None:
    global _grpc_process
    if _grpc_process is None:
        _grpc_process = os.getpid()
    if _grpc_process != os.getpid():
        raise Unavailable(
            "this process is a fork of one that had called an engine before, which gRPC does not "
            "survive: fork before the first call, or start processes with 'spawn'"
        )


def _translated(error: grpc.aio.AioRpcError) -> GradeboxError:
    for key, value in error.trailing_metadata() or ():
        if key == "gradebox-error-bin" and isinstance(value, bytes):
            return from_detail(wire.ErrorDetail.FromString(value))
    return from_status(error.code().value[0], error.details() or error.code().name)
