"""What waits for workers: tenants in the order of their fair shares, the calls of each, with the jobs of each.

- Fair share, on two levels: every tenant's share has a virtual time that grows by the worker seconds that it
  was given, divided by its weight; the share that is furthest behind is served next, and of its calls, in
  the same way but all of one weight, the one that is furthest behind. A call that is new starts at the
  present of its share, so it neither waits behind bulk work nor is paid for having been away. A share that
  was away is paid no more than HEAD_START_S, in which the small batches that somebody waits for are done.
- Back-pressure: a call whose results are not collected gets no further chunks. The queue is bounded, by
  programs and by bytes, those of suites too. Beyond that there is something for small calls, which bulk work
  that fills the queue would shut out, and something for each tenant, by its weight, for as long as it has
  little in the queue, which the others would shut out.
"""

import asyncio
import heapq

from gradebox_engine.work import Call, Chunk, Job, QueueFull, Share, Worker

HEAD_START_S = 1.0  # virtual: worker seconds by weight
UNCOLLECTED_MAX_BYTES = 8 << 20  # of results, a call
SMALL_PROGRAMS = 64
SMALL_RESERVE = 8  # one in so many places of the queue
TENANTS_RESERVE = 8


class Queue:
    """Jobs and what they hold, counted; see the module's text.

    Once `max_programs` or `max_bytes` are queued, no job is taken until there are fewer; only small ones of
    calls that have nothing else under way, and of those no more than an eighth above, and those of a tenant that
    has not yet its part of another eighth.
    """

    def __init__(self, *, max_programs: int, max_bytes: int) -> None:
        self._max_programs = max_programs
        self._max_bytes = max_bytes
        self.programs = 0
        self.bytes = 0
        self._heap: list[tuple[float, int, Share]] = []
        self._now_s = 0.0  # virtual
        self._sequence = 0
        self._room = asyncio.Event()
        self._room.set()

    def __bool__(self) -> bool:
        """Whether a call waits; it may turn out to have nothing to be done."""
        return bool(self._heap)

    def put(self, job: Job) -> None:
        """One more job. Raises QueueFull."""
        programs, size = len(job.pending), sum(len(source) for _, source in job.pending)
        is_small = programs <= SMALL_PROGRAMS and not job.call.in_flight
        if not self._is_open_to(job.call) and not (is_small and self._has_reserve()):
            raise QueueFull(f"{self.programs} programs ({self.bytes} bytes) are waiting")
        job.unfinished = programs
        job.call.count(programs)
        self.took(job, -programs, -size)
        if job.suite.jobs == 0:
            self.bytes += len(job.suite.data)
        job.suite.jobs += 1
        if self.programs >= self._max_programs or self.bytes >= self._max_bytes:
            self._room.clear()
        job.call.jobs.append(job)
        self.enqueue(job.call)

    async def room(self, call: Call) -> None:
        """Waits until the queue takes a job of this call. One put before the next `await` is taken."""
        while not self._is_open_to(call):  # whoever waited, too, and came first may have filled it again
            await self._room.wait()

    def enqueue(self, call: Call) -> None:
        """The call is served in its turn, if it has jobs and collects its results, and its share in its own."""
        share = call.share
        self._enqueue(call)
        if not share.queued and share.calls:
            share.virtual_s = max(share.virtual_s, self._now_s - HEAD_START_S)
            self._push(self._heap, share)

    def collected(self, call: Call, size: int) -> bool:
        """The caller took `size` bytes of results. Returns whether it was held back for them."""
        held_back = call.uncollected_bytes >= UNCOLLECTED_MAX_BYTES
        call.uncollected_bytes -= size
        if held_back:
            self.enqueue(call)
        return held_back

    def next(self) -> Job | None:
        """The job to be served now, or else another of its call, which has to be put back by `served` or `enqueue`."""
        while self._heap:
            virtual_s, _, share = heapq.heappop(self._heap)
            share.queued = False
            if share.virtual_s > virtual_s:  # charged since
                self._push(self._heap, share)
            elif (job := self._next_of(share)) is not None:
                self._now_s = max(self._now_s, virtual_s)
                return job
        return None

    def served(self, job: Job) -> None:
        """Of this job programs were taken: its call waits for its next turn, without it if that was all."""
        if not job.pending and not job.retries:
            job.call.jobs.remove(job)
        self.enqueue(job.call)

    def took(self, job: Job, programs: int, size: int) -> None:
        """So much of a job waits no more; negative: it waits again."""
        job.queued_bytes -= size
        job.call.share.programs -= programs
        job.call.share.bytes -= size
        self._less(programs, size)

    def again(self, job: Job, index: int, source: bytes, avoid: Worker | None) -> None:
        """A program that was taken waits again, behind what was put before."""
        job.retries.append((index, source, avoid))
        self.took(job, -1, -len(source))
        if job not in job.call.jobs:
            job.call.jobs.append(job)
        self.enqueue(job.call)

    def put_back(self, chunk: Chunk) -> None:
        """A chunk that nobody has begun goes back to where it was taken from."""
        job = chunk.job
        size = sum(map(len, chunk.programs.values()))
        for index, source in reversed(chunk.programs.items()):
            if index in job.failures:
                job.retries.appendleft((index, source, None))
            else:
                job.pending.appendleft((index, source))
        self.took(job, -len(chunk.programs), -size)
        if job not in job.call.jobs:
            job.call.jobs.appendleft(job)
        self.enqueue(job.call)

    def withdraw(self, job: Job) -> list[tuple[int, bytes]]:
        """What waits of a job, which waits no more."""
        waiting = [*job.pending, *((index, source) for index, source, _ in job.retries)]
        job.pending.clear()
        job.retries.clear()
        self.took(job, len(waiting), job.queued_bytes)
        if job in job.call.jobs:
            job.call.jobs.remove(job)
        return waiting

    def adopt(self, job: Job, call: Call) -> None:
        """A job goes on as another call's."""
        old, job.call = job.call, call
        old.count(-job.unfinished)
        call.count(job.unfinished)
        if job in old.jobs:
            old.jobs.remove(job)
            call.jobs.append(job)
            self.enqueue(call)

    def end(self, job: Job) -> None:
        """A job is finished, or given up; nothing of it is emitted any more."""
        job.closed = True
        job.suite.jobs -= 1
        if job.suite.jobs == 0:
            self._less(0, len(job.suite.data))

    def _next_of(self, share: Share) -> Job | None:
        while share.calls:
            virtual_s, _, call = heapq.heappop(share.calls)
            call.queued = False
            if call.virtual_s > virtual_s:  # charged since
                self._enqueue(call)
                continue
            if call.jobs:
                share.now_s = max(share.now_s, virtual_s)
                return call.jobs[0]
        return None

    def _enqueue(self, call: Call) -> None:
        if not call.queued and call.jobs and call.uncollected_bytes < UNCOLLECTED_MAX_BYTES:
            call.virtual_s = max(call.virtual_s, call.share.now_s)
            self._push(call.share.calls, call)

    def _push[T: (Share, Call)](self, heap: list[tuple[float, int, T]], one: T) -> None:
        one.queued = True
        self._sequence += 1
        heapq.heappush(heap, (one.virtual_s, self._sequence, one))

    def _is_open_to(self, call: Call) -> bool:
        if self._room.is_set():
            return True
        share = call.share
        part = share.part / TENANTS_RESERVE
        return share.programs < part * self._max_programs and share.bytes < part * self._max_bytes

    def _has_reserve(self) -> bool:
        most = 1 + 1 / SMALL_RESERVE
        return self.programs < most * self._max_programs and self.bytes < most * self._max_bytes

    def _less(self, programs: int, size: int) -> None:
        self.programs -= programs
        self.bytes -= size
        if self.programs < self._max_programs and self.bytes < self._max_bytes:
            self._room.set()
