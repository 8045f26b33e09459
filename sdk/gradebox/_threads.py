"""Bridges between the event loop and code that is not asynchronous."""

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from typing import Any, cast

_AHEAD = 256  # items
_CANCEL_S = 2.0


class _Loop:
    """The event loop of this process's synchronous clients, in a daemon thread.

    One for all of them, since gRPC is at its best with one event loop a process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def get(self) -> asyncio.AbstractEventLoop:
        """The running loop; a new one after a fork, where threads do not survive."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    loop = asyncio.new_event_loop()
                    threading.Thread(target=loop.run_forever, name="gradebox", daemon=True).start()
                    self._loop, self._pid = loop, os.getpid()
        assert self._loop is not None
        return self._loop

    def after_fork(self) -> None:
        """In a child: another thread may have held the lock when the process forked."""
        self._lock = threading.Lock()


_loop = _Loop()
os.register_at_fork(after_in_child=_loop.after_fork)


def wait_for[T](work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine in the background loop and waits; interrupting the wait cancels it."""
    ended = threading.Event()

    async def tracked() -> T:
        try:
            return await work
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(tracked(), _loop.get())
    try:
        return future.result()
    except BaseException:
        if future.cancel():  # it was still running: an interrupt (Ctrl-C) came from outside
            ended.wait(_CANCEL_S)
        raise


def start(work: Coroutine[Any, Any, object]) -> None:
    """Runs a coroutine in the background loop and does not wait for it."""
    asyncio.run_coroutine_threadsafe(work, _loop.get())


async def in_thread[T](work: Callable[[], T]) -> T:
    """Runs something that may block for long in a thread that nothing waits for, not even the process's end."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not answer.done():
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(cast(T, result))

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="gradebox-lookup", daemon=True).start()
    return await answer


async def iterate_in_thread[T](items: Iterable[T]) -> AsyncGenerator[T]:
    """Iterates something that may block (or compute) in a thread of its own, a little ahead."""
    loop = asyncio.get_running_loop()
    buffer: deque[T] = deque()
    filled = asyncio.Event()
    room = threading.Semaphore(_AHEAD)
    ended = False
    stopped = False
    failure: BaseException | None = None

    def work() -> None:
        nonlocal ended, failure
        try:
            for item in items:
                room.acquire()
                if stopped:
                    return
                buffer.append(item)
                if len(buffer) == 1:
                    loop.call_soon_threadsafe(filled.set)
        except BaseException as error:
            failure = error
        ended = True
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(filled.set)

    threading.Thread(target=work, name="gradebox-items", daemon=True).start()
    try:
        while True:
            while buffer:
                yield buffer.popleft()
                room.release()
            if ended and not buffer:
                break
            filled.clear()
            if not buffer and not ended:
                await filled.wait()
        if failure is not None:
            raise failure
    finally:
        stopped = True
        room.release()
