"""One end of the conversation between the oracle and the program: requests, nested requests, shared containers.

A message is a frame with two codec values, `[u32 length of the first][first][second]`:
    first   (body, [containers that changed])             written with the peer's Memo
    second  (forgotten containers, released handles, state of `random` | None, globals that were rebound)
body: ("q", operation, handle or name, …) asks; ("a", value), ("x", exception), ("o",) answer: value, raised, over
budget; ("end",) pauses. Whoever has asked serves the other's questions until its own is answered.

Mutable plain containers keep their identity: a list that was passed is the same list when it is passed again, and
when one side changes it in place the other side's one is brought up to date with the next message, as long as both
sides hold it. A side forgets a container when nothing of its own refers to it any more.
"""

from __future__ import annotations

import builtins
import sys
from _thread import RLock
from struct import Struct

from gradebox_inside.authority import ProgramAuthority
from gradebox_inside.decode import decode
from gradebox_inside.encode import encode
from gradebox_inside.exchange import Handles, Proxies, describe
from gradebox_inside.judgement import Judgement
from gradebox_inside.memo import Memo
from gradebox_inside.sharing import Sharing
from gradebox_inside.values import Budget, CodecError, OverBudget

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from gradebox_inside.frames import Channel

_u32 = Struct("<I")
# Generous: both ends are sandboxes of their own, and their memory limits hold for what they make of it.
_BUDGET = Budget(nodes=16_000_000, depth=120, bytes=128 << 20)
_TAIL_BUDGET = Budget(nodes=2_000_000, depth=8, bytes=64 << 20)
_modules = sys.modules


class Gone(BaseException):
    """The other process is gone, or does not speak the protocol. Not an Exception: tests must not catch it."""


class TooLarge(Exception):
    """A value that was asked for is over the codec's budget."""


class Peer:
    """One end. `judgement` and `authority` say what this side lets the other side do."""

    def __init__(self, channel: Channel, first: int, judgement: Any, authority: Any) -> None:
        self._channel = channel
        self._memo = Memo(first)
        self._sharing = Sharing(self._memo)
        self._lock = RLock()
        self._proxies = Proxies(self)
        self._inbox: Any = None
        self._random_seen: Any = None
        self.handles = Handles()
        self.judgement = judgement
        self.authority = authority
        self.entry: Any = None
        self.share_random = False
        self.follows_random = False  # the program's end learns from the first state that it gets
        self.last_error: BaseException | None = None
        self.over_budget = False
        self.closed = False

    # -- asking

    def request(self, operation: str, target: Any, *arguments: Any) -> Any:
        """Asks the other side; serves its questions meanwhile. Raises what it raises, TooLarge or Gone."""
        with self._lock:
            name = arguments[0] if operation == "special" else operation
            try:
                self._send(("q", operation, target, *arguments))
            except (OverBudget, CodecError):
                self.over_budget = True
                raise TooLarge("an argument is too large") from None
            del arguments
            while True:
                self._receive()
                tag = self._inbox[0]
                if tag == "q":
                    self._serve_one()
                    continue
                body, self._inbox = self._inbox, None
                if tag == "a":
                    return body[1]
                if tag == "x" and isinstance(body[1], BaseException):
                    self._raise(body[1], name)
                if tag == "o":
                    self.over_budget = True
                    raise TooLarge("the value is too large")
                self.closed = True
                raise Gone("protocol")

    def call(self, state: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Calls an object of the other side."""
        operation = "next" if state.name in ("__next__", "send", "throw", "__anext__", "asend", "athrow") else "call"
        return self.request(operation, state.handle, arguments, named)

    def _raise(self, error: BaseException, operation: str) -> NoReturn:
        self.last_error = error
        raise self.authority.accept_error(error, operation)

    def coroutine(self, handle: int, name: str) -> Any:
        """A coroutine of this side that runs one of the other side as a whole."""

        async def awaiting() -> Any:
            return self.request("await next" if name == "async_generator_asend" else "await", handle)

        return awaiting()

    def released(self, handle: int) -> None:
        """A proxy was collected."""
        self._proxies.release(handle)

    def resolve(self, what: str, name: str) -> Any:
        """A module or object of the standard library that the other side names."""
        return self.authority.resolve(what, name)

    # -- answering

    def serve(self) -> None:
        """Answers questions until the other side pauses, or is gone. What has been exchanged so far stays known."""
        try:
            while True:
                self._receive()
                if self._inbox[0] != "q":
                    self._inbox = None
                    return
                self._serve_one()
        except Gone:
            pass

    def pause(self) -> None:
        """Ends the other side's `serve`, for now."""
        self._send(("end",))

    def _serve_one(self) -> None:
        body, self._inbox = self._inbox, None
        try:
            reply = ("a", self.authority.perform(self, *body[1:]))
        except Gone:
            raise
        except BaseException as error:
            error.__traceback__ = None
            reply = ("x", error)
        del body
        try:
            self._send(reply)
        except (OverBudget, CodecError):
            self._send(("o",))

    # -- messages

    def _send(self, body: tuple[Any, ...]) -> None:
        sharing = self._sharing
        self._memo.begin()
        try:
            first = encode(
                (body, sharing.changed()),
                budget=_BUDGET,
                opaque=lambda value: describe(self.handles, value, self.entry),
                memo=self._memo,
            )
        except BaseException:
            sharing.failed()
            self.handles.described.clear()
            raise
        forgotten = sharing.sent()
        released, self._proxies.released = self._proxies.released, []
        tail = (forgotten, released, self._random_state(), self.authority.renamed())
        second = encode(tail, budget=_TAIL_BUDGET)
        try:
            self._channel.send(_u32.pack(len(first)) + first + second)
        except OSError:
            self.closed = True
            raise Gone("closed") from None

    def _receive(self) -> None:
        try:
            payload = self._channel.receive()
            if payload is None:
                self.closed = True
                raise Gone("end of stream")
            end = 4 + _u32.unpack_from(payload)[0]
            self._memo.begin()
            second = decode(payload[end:], budget=_TAIL_BUDGET)
            body, _changed = decode(payload[4:end], budget=_BUDGET, opaque=self._proxies.build, memo=self._memo)
            forgotten, released, state, renamed = second
            self._sharing.received(forgotten)
            for handle in released:
                self.handles.release(handle)
            if state is not None and (self.share_random or self.follows_random):
                self._random_seen = self.authority.follow_random(self._random_seen, state)
                self.share_random = True
            if renamed:
                self.authority.forget_names(renamed)
            if type(body) is not tuple or type(body[0]) is not str:
                raise CodecError("body")
        except Exception as error:  # whatever is wrong with a message, it is the end of the conversation
            self.closed = True
            raise Gone(f"protocol: {error}") from None
        self._inbox = body

    def tell_random(self) -> None:
        """The other side is told the state of `random` with the next message, whatever it was told before."""
        self._random_seen = None

    def _random_state(self) -> Any:
        """The state of `random`, if this side has drawn or seeded since it was last told."""
        if not self.share_random or (random := _modules.get("random")) is None:
            return None
        state = random.getstate()
        if state == self._random_seen:
            return None
        self._random_seen = state
        return state


def program_peer(channel: Channel, module: Any) -> Peer:
    """The program's end of its conversation with the oracle."""
    peer = Peer(channel, 0, Judgement(), ProgramAuthority(module))
    peer.follows_random = True
    return peer
