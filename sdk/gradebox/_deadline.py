"""The time that a call, with all that it does, has to be over by."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gradebox._errors import DeadlineExceeded, InvalidRequest


class Deadline:
    """A point in time, `timeout_s` from now; None is never."""

    def __init__(self, timeout_s: float | None) -> None:
        if timeout_s is not None and not (
            isinstance(timeout_s, int | float) and timeout_s > 0  # NaN is not
        ):
            raise InvalidRequest(f"must be a positive number, not {timeout_s!r}", "timeout_s")
        self._timeout_s = timeout_s
        self._end_s = None if timeout_s is None or math.isinf(timeout_s) else time.monotonic() + timeout_s

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

    @asynccontextmanager
    async def holds(self) -> AsyncIterator[None]:
        """What is inside is cancelled when the time comes, whatever it waits for. Raises DeadlineExceeded."""
        limit = asyncio.timeout(self.left_s())
        try:
            async with limit:
                yield
        except TimeoutError:
            if limit.expired():
                raise self.exceeded() from None
            raise
