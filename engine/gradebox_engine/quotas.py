"""What a tenant may use: worker seconds and requests by the clock, programs at a time.

CPU seconds are those that a worker, of which there is one a core, was busy with the tenant's programs: the seconds of
the jail and of the judge count, and those of a program that sleeps. They are known afterwards: while anything is left
programs are taken, and what they use beyond that has to be earned back before the next ones are. What the engine
answers from its cache uses none.

Each allowance fills evenly with time, and holds what comes in an hour (CPU seconds) or a minute (requests). Every one
of several fronts has its part of each, so a caller that reaches one front has no more than that.
"""

import asyncio
import time
from collections.abc import Callable

from gradebox_engine.access import TenantConfig
from gradebox_engine.work import Share

HOUR_S, MINUTE_S = 3600.0, 60.0
LEAST_RETRY_S = 0.05
FREED_RETRY_S = 1.0  # what is said to a caller that has too many programs in flight: nobody knows
STREAM_WAIT_S = 10.0  # how long a stream is held back for the clock, instead of being told


class QuotaPassed(Exception):
    """A quota is used up. `retry_s`: when to ask again."""

    def __init__(self, quota: str, message: str, retry_s: float) -> None:
        super().__init__(f"quota {quota}: {message}; ask again in {retry_s:.3g} s")
        self.quota = quota
        self.retry_s = retry_s


class Allowance:
    """What comes with time, `per_period` in `period_s`, and is used; None: as much as one likes."""

    def __init__(self, per_period: float | None, period_s: float) -> None:
        self.per_period = per_period
        self._period_s = period_s
        self._left = per_period or 0.0
        self._seen_s = time.monotonic()

    def change(self, per_period: float | None) -> None:
        """Another amount; what was used stays used."""
        used = (self.per_period or 0.0) - self._left
        self.per_period = per_period
        self._left = (per_period or 0.0) - used

    def take(self, amount: float) -> None:
        """Uses so much, whether or not it is there."""
        if self.per_period is not None:
            self._fill()
            self._left -= amount

    def wait_s(self, amount: float) -> float:
        """Seconds until so much is there; 0 when it is."""
        if self.per_period is None:
            return 0.0
        self._fill()
        missing = amount - self._left
        return 0.0 if missing <= 0 else max(LEAST_RETRY_S, missing * self._period_s / self.per_period)

    def _fill(self) -> None:
        assert self.per_period is not None
        now_s = time.monotonic()
        more = (now_s - self._seen_s) * self.per_period / self._period_s
        self._left = min(max(self.per_period, 1.0), self._left + more)
        self._seen_s = now_s


class Quotas:
    """Those of one tenant on one front of `fronts`; `share` counts what it uses."""

    def __init__(self, config: TenantConfig, share: Share, fronts: int = 1) -> None:
        self._share = share
        self._fronts = fronts
        self._used_s = share.used_s  # of which the allowance knows
        self._cpu = Allowance(self._part(config.cpu_s_per_hour), HOUR_S)
        self._requests = Allowance(self._part(config.requests_per_minute), MINUTE_S)
        self._turn = asyncio.Lock()
        self.most_programs = self._most(config)

    def change(self, config: TenantConfig) -> None:
        """Other quotas; what was used stays used."""
        self._cpu.change(self._part(config.cpu_s_per_hour))
        self._requests.change(self._part(config.requests_per_minute))
        self.most_programs = self._most(config)

    def request(self) -> None:
        """Takes one request. Raises QuotaPassed."""
        if (wait_s := self._requests.wait_s(1.0)) > 0:
            raise QuotaPassed("requests_per_minute", f"{self._requests.per_period:g} a minute are used up", wait_s)
        self._requests.take(1.0)

    def programs(self, count: int) -> None:
        """Looks whether so many more programs may run. Raises QuotaPassed."""
        used_s, self._used_s = self._share.used_s - self._used_s, self._share.used_s
        self._cpu.take(used_s)
        if (wait_s := self._cpu.wait_s(0.0)) > 0:
            raise QuotaPassed("cpu_s_per_hour", f"{self._cpu.per_period:g} CPU seconds an hour are used up", wait_s)
        if self.most_programs is not None and self._share.in_flight + count > self.most_programs:
            text = f"{self._share.in_flight} are in flight, {count} more would pass {self.most_programs}"
            raise QuotaPassed("programs_in_flight", text, FREED_RETRY_S)

    async def wait(self, check: Callable[[], None]) -> None:
        """Holds a stream back until a check of these passes. Raises QuotaPassed where that would take long.

        Who waits has a turn, so that what is freed wakes one stream and not thousands.
        """
        async with self._turn:
            while True:
                try:
                    return check()
                except QuotaPassed as passed:
                    if passed.quota == "programs_in_flight":
                        self._share.freed.clear()
                        await self._share.freed.wait()
                    elif passed.retry_s <= STREAM_WAIT_S:
                        await asyncio.sleep(passed.retry_s)
                    else:
                        raise

    def _part(self, quota: float | None) -> float | None:
        return None if quota is None else quota / self._fronts

    def _most(self, config: TenantConfig) -> int | None:
        most = config.programs_in_flight
        return None if most is None else max(1, most // self._fronts)
