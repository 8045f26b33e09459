"""How long a call goes on trying, and the pauses in between."""

import asyncio
import random
import time

from gradebox._deadline import Deadline
from gradebox._errors import GradeboxError, InvalidRequest, Overloaded

BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.1, 2.0
RETRY_S = 60.0
REACHED_S = 6.0  # a little longer than an attempt to connect may take
# For engines none of which has answered yet: the address may be wrong, and who waits is to be told.
FIRST_CONTACT_S = 2.0


def check_retry_s(retry_s: float) -> float:
    """The seconds for which a call goes on trying. Raises InvalidRequest."""
    if not (isinstance(retry_s, int | float) and retry_s >= 0):
        raise InvalidRequest(f"must be a number, 0 or more, not {retry_s!r}", "retry_s")
    return float(retry_s)


class Patience:
    """With engines that are overloaded, or gone. An answer makes it whole again.

    It is used up by pauses and by attempts, but by none of them for more than REACHED_S: what takes longer to fail
    had reached an engine, which was lost later.
    """

    def __init__(self, retry_s: float, deadline: Deadline) -> None:
        self._retry_s = retry_s
        self._deadline = deadline
        self.answered()

    def answered(self) -> None:
        """There was an answer."""
        self._used_s = 0.0
        self._failed_s: float | None = None

    def failed(self, error: GradeboxError, begun_s: float, *, has_answered: bool) -> None:
        """An attempt that began then has failed. Raises `error` when that has gone on for too long, or the deadline's.

        An overloaded engine is waited for as long as the call's own deadline allows.
        """
        now_s = time.monotonic()
        if self._failed_s is not None:
            self._used_s += now_s - self._failed_s - max(0.0, now_s - max(begun_s, self._failed_s) - REACHED_S)
        self._failed_s = now_s
        has_deadline = self._deadline.left_s() is not None
        patience_s = self._retry_s if has_answered else min(self._retry_s, FIRST_CONTACT_S)
        if self._used_s >= patience_s and not (isinstance(error, Overloaded) and has_deadline):
            raise error from None


class Backoff:
    """Pauses that grow, never the same for two clients: an engine that comes back is not to meet all at once."""

    def __init__(self) -> None:
        self._attempt = 0

    def reset(self) -> None:
        """The next pause is a first one."""
        self._attempt = 0

    async def pause(self, at_least_s: float = 0.0) -> None:
        """Waits until it is time for another attempt."""
        delay_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2 ** min(self._attempt, 10)) * random.uniform(0.5, 1)
        self._attempt += 1
        await asyncio.sleep(max(delay_s, at_least_s * random.uniform(1, 1.2)))
