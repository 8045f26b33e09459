"""Who works on what next: pure asyncio logic, without processes, sockets or gRPC.

A *job* is one request: programs of one problem (or one program to run). It belongs to a *call*, the
unit of fair share within what its tenant has. Jobs are cut into *chunks* that a worker gets one after the other:

- Which job is next, and how much may wait: see `queue`.
- Chunks aim at 50 ms of work, by what the problem's earlier programs took, so that small requests
  get in between, and all workers finish a job at about the same time.
- Where a call has as many jobs waiting as there are workers, each worker has one of its own: whoever meets a problem
  first plans its tests, and the others need not. The last few jobs are divided among all.
- Which worker: an idle one that knows the problem, or else one that has a jail of its image at hand. Any other can
  make one; fair shares alone say which job is next, so that a bulk of one image does not hold up another's.
- A worker has one chunk, and a second one waiting where the first should not take long. One that waits
  behind a program that takes long after all, or while another worker has nothing to do, is taken back.
- A worker that dies, or whose jail does, is the engine's fault: the programs it was working on run
  again, each in a chunk of its own and on another worker if there is one. After ATTEMPTS of them, or
  after two that took FAILED_MOST_S together, a program is given up: ENGINE_ERROR. Several attempts,
  since whatever kills jails at random meets the same program again; not many, since a program that
  always ends its jail costs a new jail each time. Its call is charged for that, so that only its own
  caller waits. Programs in a chunk that only waited are queued again as if nothing had happened.
- An ENGINE_ERROR that a worker itself reports is a reasoned answer: it is asked for once more, no oftener.
- A worker silent for longer than one program of its chunk can take by its limits is killed.
"""

import time
from collections.abc import Sequence
from itertools import chain, islice

from gradebox_engine.queue import Queue
from gradebox_engine.work import Call, Chunk, Failures, Job, NoWorkers, Observer, Worker, WorkerLink

CHUNK_TARGET_S = 0.05
CHUNK_MAX_PROGRAMS = 16
CHUNK_MAX_BYTES = 4 << 20
FIRST_CHUNK_PROGRAMS = 4  # of a problem whose cost is unknown
PREFETCH_BELOW_S = 0.1
OVERDUE_S = 0.1  # of the chunk that a worker works on
COST_GUESS_S = 0.005
COST_WEIGHT = 0.3  # of the newest chunk in the moving average
ATTEMPTS = 8
ATTEMPTS_ANSWERED = 2  # where each ended in an answer, and the answer was ENGINE_ERROR
FAILED_MOST_S = 60.0  # in failed attempts at one program, at least two; waits for new jails are in it
REPLACE_S = 0.3  # of a worker: about what a new jail or a new worker process takes


class Scheduler:
    """Chunks, workers, retries; see the module's text. `max_programs` and `max_bytes` bound the queue."""

    def __init__(self, *, max_programs: int, max_bytes: int, observer: Observer | None = None) -> None:
        self._queue = Queue(max_programs=max_programs, max_bytes=max_bytes)
        self._observer = observer
        self._sequence = 0
        self._workers: dict[Worker, None] = {}
        self._cost_s = COST_GUESS_S
        self._unusable: str | None = None

    # --- requests -------------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Queues a job. Raises QueueFull or NoWorkers."""
        if self._unusable is not None and not self._workers:
            raise NoWorkers(self._unusable)
        self._queue.put(job)
        job.waits_since_s = time.monotonic()
        self._pump()

    async def room(self, call: Call) -> None:
        """Waits until the queue takes a job of this call. One submitted before the next `await` is taken."""
        await self._queue.room(call)

    def cancel(self, job: Job) -> None:
        """Drops what is left of a job; nothing is emitted any more."""
        if job.closed:
            return
        self._queue.withdraw(job)
        self._queue.end(job)
        job.call.count(-job.unfinished)
        job.unfinished = 0
        for worker in self._workers:
            for chunk in worker.chunks:
                if chunk.job is job:
                    worker.link.cancel(chunk.number)

    def adopt(self, job: Job, call: Call) -> None:
        """A job goes on as another call's."""
        if not job.closed:
            self._queue.adopt(job, call)
            self._pump()

    def collected(self, call: Call, size: int) -> None:
        """The caller took `size` bytes of results."""
        if self._queue.collected(call, size):
            self._pump()

    # --- workers --------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many workers are ready."""
        return len(self._workers)

    @property
    def queued(self) -> tuple[int, int]:
        """What waits: programs, and bytes."""
        return self._queue.programs, self._queue.bytes

    def add_worker(self, link: WorkerLink) -> Worker:
        """A worker is ready for work."""
        worker = Worker(link)
        self._workers[worker] = None
        self._unusable = None
        self._pump()
        return worker

    def remove_worker(self, worker: Worker, reason: str | None) -> None:
        """A worker is gone; what it had is done by others. Without a reason, it had not begun any of that."""
        if worker not in self._workers:
            return
        del self._workers[worker]
        chunks = list(worker.chunks)
        worker.chunks.clear()
        for place, chunk in enumerate(chunks):
            spent_s = self._charge(chunk, REPLACE_S if place == 0 else 0.0)
            self._give_back(chunk, reason if place == 0 else None, worker, spent_s)
        self._pump()

    def give_up(self, reason: str) -> None:
        """Workers cannot be started: until there is one, everything queued gets ENGINE_ERROR."""
        self._unusable = reason
        self._pump()

    def on_results(self, worker: Worker, number: int, results: Sequence[tuple[int, bool, bytes]], done: bool) -> None:
        """A worker answered: (index, is it an ENGINE_ERROR, serialized result) a program."""
        worker.heard_s = time.monotonic()
        chunk = next((c for c in worker.chunks if c.number == number), None)
        if chunk is None:
            return
        job = chunk.job
        good = []
        for index, failed, data in results:
            source = chunk.programs.pop(index, None)
            if source is None:
                continue
            if job.closed or (failed and self._retried(job, index, source, worker, 0.0, ATTEMPTS_ANSWERED)):
                continue
            good.append(data)
        self._emit(job, good)
        if done:
            self._retire(worker, chunk, None if job.closed else "a worker left a program out")
            self._pump()

    def on_fault(self, worker: Worker, number: int | None, message: str) -> None:
        """A worker's jail died under a chunk (the one it works on, where `number` is None)."""
        worker.heard_s = time.monotonic()
        worker.suites.clear()  # what it still knows is not certain any more
        for chunk in list(worker.chunks):
            if number is None or chunk.number == number:
                self._retire(worker, chunk, message, REPLACE_S)
                break
        self._pump()

    def check_silence(self) -> None:
        """Kills workers that are silent for longer than their work can take; for a timer."""
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.chunks:
                chunk = worker.chunks[0]
                silent_s = now - max(worker.heard_s, chunk.started_s)
                if silent_s > chunk.job.suite.program_bound_s:
                    worker.link.kill(f"silent for {silent_s:.0f} s")

    # --- inside ---------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Hands out chunks as long as there are both work and workers with room."""
        if self._unusable is not None and not self._workers:
            self._fail_queued(self._unusable)
        self._recall()
        while self._queue:
            worker = self._free_worker()
            job = self._queue.next() if worker is not None else None
            if worker is None or job is None:
                return
            job, among = self._choose(job, worker)
            self._hand_out(worker, job, among)
            self._queue.served(job)

    def _recall(self) -> None:
        """Charges for overdue chunks; queues again what waits behind them, and as much as idle workers can take."""
        now_s = time.monotonic()
        overdue_s = now_s - OVERDUE_S
        idle = 0 if self._queue else sum(not worker.chunks for worker in self._workers)
        for worker in self._workers:
            if worker.chunks and (first := worker.chunks[0]).started_s < overdue_s:
                self._charge(first)
                first.estimate_s = now_s - first.started_s
            if len(worker.chunks) > 1 and (idle or first.started_s < overdue_s):
                idle = max(0, idle - 1)
                chunk = worker.chunks.pop()
                self._charge(chunk)
                worker.link.cancel(chunk.number)
                if not chunk.job.closed:
                    self._queue.put_back(chunk)

    def _fail_queued(self, reason: str) -> None:
        while (job := self._queue.next()) is not None:
            waiting = self._queue.withdraw(job)
            self._queue.enqueue(job.call)
            self._emit(job, [job.fault(index, source, reason) for index, source in waiting])

    def _free_worker(self) -> Worker | None:
        second = None
        overdue_s = time.monotonic() - OVERDUE_S
        for worker in self._workers:
            if not worker.chunks:
                return worker
            if second is None and len(worker.chunks) == 1:
                first = worker.chunks[0]
                if first.estimate_s < PREFETCH_BELOW_S and first.started_s >= overdue_s:
                    second = worker
        return second

    def _choose(self, job: Job, worker: Worker) -> tuple[Job, int]:
        """Which job of its call the worker shall have, and among how many workers that is to be divided."""
        workers = len(self._workers)
        waiting = list(islice(job.call.jobs, workers))
        if len(waiting) < workers:  # so near its end the call is answered sooner if all work on each job
            return job, workers
        known = (each for each in waiting if each.suite.key in worker.suites)
        new = (each for each in waiting if not any(each.suite.key in other.suites for other in self._workers))
        return next(chain(known, new), job), 1

    def _hand_out(self, worker: Worker, job: Job, among: int) -> None:
        chunk, avoid = self._cut(job, among)
        key = job.suite.key
        idle = (w for w in self._workers if not w.chunks and w is not avoid)
        if worker is avoid or key not in worker.suites:
            # An idle worker that knows the problem is better, and any other than one that failed.
            others = list(idle)
            knowing = [w for w in others if key in w.suites]
            if not knowing and (image := job.suite.image):  # or one that has a jail of the image
                knowing = [w for w in others if image in w.images]
            worker = (knowing or others or [worker])[0] if (knowing or worker is avoid) else worker
        known = key in worker.suites
        worker.suites.put(key, None, len(job.suite.data))
        if job.suite.image:
            worker.images.put(job.suite.image, None)
        chunk.started_s = time.monotonic() if not worker.chunks else 0.0
        worker.chunks.append(chunk)
        job.call.charge(chunk.estimate_s)
        if job.waits_since_s and self._observer is not None:
            self._observer.waited(job.call, job.waits_since_s, time.monotonic())
            job.waits_since_s = 0.0
        worker.link.send(chunk, with_suite=not known)

    def _cut(self, job: Job, among: int) -> tuple[Chunk, Worker | None]:
        cost_s = job.suite.cost_s or self._cost_s
        programs: dict[int, bytes] = {}
        avoid = None
        size = 0
        if job.retries:
            first, source, avoid = job.retries.popleft()
            programs[first] = source
            size = len(source)
        else:
            limit = max(1, min(CHUNK_MAX_PROGRAMS, int(CHUNK_TARGET_S / cost_s)))
            if job.suite.cost_s is None:
                limit = min(limit, FIRST_CHUNK_PROGRAMS)
            limit = min(limit, -(-len(job.pending) // among))
            first = job.pending[0][0]
            while job.pending and len(programs) < limit and size < CHUNK_MAX_BYTES:
                index, source = job.pending[0]
                if index != first + len(programs):
                    break  # consecutive indexes only
                job.pending.popleft()
                programs[index] = source
                size += len(source)
        self._queue.took(job, len(programs), size)
        self._sequence += 1
        count = len(programs)
        return Chunk(self._sequence, job, first, programs, count, cost_s * count), avoid

    def _charge(self, chunk: Chunk, more_s: float = 0.0) -> float:
        """Corrects what a chunk's call was charged for it. Returns the worker seconds that it took."""
        spent_s = more_s + (time.monotonic() - chunk.started_s if chunk.started_s else 0.0)
        chunk.job.call.charge(spent_s - chunk.estimate_s)
        return spent_s

    def _retire(self, worker: Worker, chunk: Chunk, reason: str | None, more_s: float = 0.0) -> None:
        """Takes a chunk off its worker, learns its cost, and gives back what is not answered."""
        worker.chunks.remove(chunk)
        if worker.chunks and not worker.chunks[0].started_s:
            worker.chunks[0].started_s = time.monotonic()
        spent_s = self._charge(chunk, more_s)
        if chunk.started_s and self._observer is not None:
            self._observer.worked(chunk.job.call, chunk.started_s, time.monotonic(), chunk.size)
        if chunk.started_s and not chunk.programs and not chunk.job.closed:
            cost_s, suite = spent_s / chunk.size, chunk.job.suite
            if suite.cost_s is None:
                suite.cost_s = cost_s
            else:
                suite.cost_s += COST_WEIGHT * (cost_s - suite.cost_s)
            self._cost_s += COST_WEIGHT * (cost_s - self._cost_s)
        self._give_back(chunk, reason, worker, spent_s)

    def _give_back(self, chunk: Chunk, reason: str | None, worker: Worker, spent_s: float) -> None:
        """Queues what a chunk left; with a reason, that counts as a failed attempt."""
        job = chunk.job
        lost = []
        for index, source in () if job.closed else chunk.programs.items():
            if reason is None:
                self._queue.again(job, index, source, None)
            elif not self._retried(job, index, source, worker, spent_s, ATTEMPTS):
                lost.append(job.fault(index, source, reason))
        chunk.programs.clear()
        self._emit(job, lost)

    def _retried(self, job: Job, index: int, source: bytes, worker: Worker, spent_s: float, attempts: int) -> bool:
        """Queues a program that the engine failed again, unless it had its attempts."""
        failures = job.failures.setdefault(index, Failures())
        failures.count += 1
        failures.spent_s += spent_s
        if failures.count >= attempts or (failures.count > 1 and failures.spent_s > FAILED_MOST_S):
            return False
        self._queue.again(job, index, source, worker)
        return True

    def _emit(self, job: Job, results: list[bytes]) -> None:
        if job.closed or not results:
            return
        job.unfinished -= len(results)
        job.call.count(-len(results))
        job.call.uncollected_bytes += sum(map(len, results))
        if job.unfinished == 0:
            self._queue.end(job)
        job.emit(results)
