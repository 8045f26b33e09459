"""The scheduler alone: workers are lists of what they were sent."""

import asyncio
import time
from collections import deque
from weakref import WeakKeyDictionary

import pytest

from gradebox_engine import scheduler as module
from gradebox_engine.queue import SMALL_PROGRAMS, UNCOLLECTED_MAX_BYTES
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.work import IMAGES_PER_WORKER, Call, Chunk, Job, NoWorkers, QueueFull, Share, SuiteEntry, Worker


class Link:
    """A worker that does what the test says."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.sent: list[tuple[Chunk, bool]] = []
        self.cancelled: list[int] = []
        self.kills: list[str] = []
        self.worker: Worker = scheduler.add_worker(self)

    def send(self, chunk: Chunk, with_suite: bool) -> None:
        self.sent.append((chunk, with_suite))

    def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    def kill(self, reason: str) -> None:
        self.kills.append(reason)

    def finish(self, *, failed: bool = False) -> Chunk:
        """Answers the oldest chunk."""
        chunk, _ = self.sent.pop(0)
        results = [(index, failed, b"%d" % index) for index in chunk.programs]
        self.scheduler.on_results(self.worker, chunk.number, results, True)
        return chunk

    @property
    def indexes(self) -> list[list[int]]:
        """What each chunk that was sent and not answered holds."""
        return [list(chunk.programs) for chunk, _ in self.sent]


_SHARES: WeakKeyDictionary[Scheduler, Share] = WeakKeyDictionary()  # one each, as where there are no tenants


class Caller:
    """Submits jobs and keeps what comes back."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.call = Call(share=_SHARES.setdefault(scheduler, Share()))
        self.got: list[bytes] = []

    def submit(
        self,
        count: int,
        *,
        key: bytes = b"k",
        size: int = 1,
        cost_s: float | None = None,
        suite: SuiteEntry | None = None,
    ) -> Job:
        job = Job(
            call=self.call,
            suite=suite or SuiteEntry(key, b"data", 1, 10.0, cost_s),
            pending=deque((index, b"x" * size) for index in range(count)),
            emit=self.got.extend,
            fault=lambda index, source, why: f"{index} {why}".encode(),
        )
        self.scheduler.submit(job)
        return job


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(max_programs=100, max_bytes=10_000)


def run_all(*links: Link) -> None:
    while any(link.sent for link in links):
        for link in links:
            if link.sent:
                link.finish()


def test_every_program_is_answered_once(scheduler: Scheduler) -> None:
    links = [Link(scheduler), Link(scheduler)]
    caller = Caller(scheduler)
    job = caller.submit(50)
    run_all(*links)
    assert sorted(map(int, caller.got)) == list(range(50))
    assert job.unfinished == 0
    assert caller.call.in_flight == 0


def test_chunks_follow_what_programs_cost(scheduler: Scheduler) -> None:
    link = Link(scheduler)
    Caller(scheduler).submit(50, cost_s=0.001)
    assert len(link.indexes[0]) == module.CHUNK_MAX_PROGRAMS
    slow = Link(Scheduler(max_programs=100, max_bytes=10_000))
    Caller(slow.scheduler).submit(50, cost_s=1.0)
    assert slow.indexes == [[0]]  # and no second one waits behind it


def test_a_small_call_gets_in_between_a_large_one(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    link = Link(scheduler)
    large, small = Caller(scheduler), Caller(scheduler)
    large.submit(90, cost_s=0.003)
    now_s += 0.05
    link.finish()
    small.submit(1, key=b"s")
    for _ in range(3):
        now_s += 0.05
        link.finish()
    assert small.got == [b"0"]
    assert len(large.got) < 90


def test_who_comes_later_with_little_is_served_in_the_order_of_shares(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One program, then 64, beside bulk work: the one is next, the 64 take turns with the rest."""
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    link = Link(scheduler)
    bulk, one, many = Caller(scheduler), Caller(scheduler), Caller(scheduler)
    for _ in range(40):
        bulk.submit(2, cost_s=0.025)

    def next_key() -> bytes:
        nonlocal now_s
        now_s += 0.05
        return link.finish().job.suite.key

    assert [next_key() for _ in range(3)] == [b"k"] * 3
    one.submit(1, key=b"1", cost_s=0.025)
    assert [next_key() for _ in range(4)] == [b"k", b"k", b"1", b"k"]  # what the worker had is not taken away
    many.submit(16, key=b"m", cost_s=0.025)
    order = [next_key() for _ in range(18)][2:]
    assert order.count(b"m") == 8
    assert all(order[place : place + 3].count(b"k") <= 2 for place in range(len(order) - 2))


def test_nothing_waits_behind_a_program_that_takes_long_after_all(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    stuck, other = Link(scheduler), Link(scheduler)
    bulk, small = Caller(scheduler), Caller(scheduler)
    for _ in range(20):
        bulk.submit(1, cost_s=0.04)
    behind = stuck.sent[1][0]
    now_s += module.OVERDUE_S + 0.01
    small.submit(1, key=b"s", cost_s=0.04)
    assert stuck.cancelled == [behind.number]
    assert other.cancelled == [other.sent[1][0].number]  # as far as the scheduler knows, it may be the same there
    for _ in range(30):
        if len(other.sent) > 0:
            now_s += 0.04
            other.finish()
    assert small.got == [b"0"]
    assert len(bulk.got) == 19  # all but the one that is being worked on
    assert stuck.indexes[0] == [0]
    scheduler.on_results(stuck.worker, behind.number, [(0, False, b"late")], True)  # it had begun: not counted twice
    assert len(bulk.got) == 19


def test_a_program_is_charged_for_while_it_runs(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that keeps one worker gets no further chunks of the other while somebody else waits."""
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    _stuck, other = Link(scheduler), Link(scheduler)
    bulk, small = Caller(scheduler), Caller(scheduler)
    for _ in range(40):
        bulk.submit(1, cost_s=0.04)
    now_s += 4.0
    for _ in range(30):
        small.submit(1, key=b"s", cost_s=0.04)
    keys = []
    for _ in range(25):
        now_s += 0.04
        keys.append(other.finish().job.suite.key)
    assert keys.count(b"k") <= 3  # what the worker had, and what was handed out before the charge


def test_an_idle_worker_takes_what_waits_for_another(scheduler: Scheduler) -> None:
    first, second = Link(scheduler), Link(scheduler)
    caller = Caller(scheduler)
    for _ in range(4):  # of one program each: two for each worker
        caller.submit(1, cost_s=0.01)
    waiting = first.sent[1][0]
    second.finish()
    assert first.cancelled == []
    second.finish()
    assert first.cancelled == [waiting.number]
    assert [chunk.job for chunk, _ in second.sent] == [waiting.job]
    second.finish()
    del first.sent[1]
    first.finish()
    assert caller.got == [b"0"] * 4
    assert caller.call.in_flight == 0


def test_small_calls_find_room_where_bulk_work_fills_the_queue(scheduler: Scheduler) -> None:
    bulk = Caller(scheduler)
    bulk.submit(100)
    with pytest.raises(QueueFull):
        Caller(scheduler).submit(SMALL_PROGRAMS + 1)
    with pytest.raises(QueueFull):
        bulk.submit(1)
    taken = [Caller(scheduler) for _ in range(13)]
    for caller in taken:
        caller.submit(1)
    with pytest.raises(QueueFull):  # not for ever
        Caller(scheduler).submit(1)
    link = Link(scheduler)
    run_all(link)
    assert all(caller.got == [b"0"] for caller in taken)


def test_suites_count_as_long_as_a_job_needs_them() -> None:
    scheduler = Scheduler(max_programs=100, max_bytes=10_000)
    callers = [Caller(scheduler) for _ in range(4)]
    shared = SuiteEntry(b"shared", b"d" * 4_000, 1, 10.0)
    jobs = [caller.submit(1, suite=shared) for caller in callers[:2]]  # counts once
    jobs.append(callers[2].submit(1, suite=SuiteEntry(b"other", b"d" * 6_000, 1, 10.0)))
    large = SMALL_PROGRAMS + 1
    with pytest.raises(QueueFull):
        callers[3].submit(large)
    scheduler.cancel(jobs[0])
    with pytest.raises(QueueFull):
        callers[3].submit(large)
    scheduler.cancel(jobs[1])
    callers[3].submit(1, suite=SuiteEntry(b"third", b"d" * 4_000, 1, 10.0))
    with pytest.raises(QueueFull):
        Caller(scheduler).submit(large)
    link = Link(scheduler)
    run_all(link)
    Caller(scheduler).submit(large)
    run_all(link)
    assert scheduler._queue.bytes == 0


def test_a_suite_is_sent_once_to_a_worker(scheduler: Scheduler) -> None:
    link = Link(scheduler)
    caller = Caller(scheduler)
    sent = []
    for key in (b"a", b"b", b"a"):
        caller.submit(1, key=key)
        sent.append(link.sent[0][1])
        link.finish()
    assert sent == [True, True, False]


def test_an_idle_worker_that_knows_the_problem_is_preferred(scheduler: Scheduler) -> None:
    first, second = Link(scheduler), Link(scheduler)
    caller = Caller(scheduler)
    caller.submit(1, key=b"a")
    caller.submit(1, key=b"b")
    first.finish()
    second.finish()
    caller.submit(1, key=b"b")
    assert (first.indexes, second.indexes) == ([], [[0]])


def test_each_worker_has_a_job_of_its_own_while_many_wait(scheduler: Scheduler) -> None:
    links = [Link(scheduler), Link(scheduler)]
    caller = Caller(scheduler)
    keys = [b"%d" % number for number in range(5)]
    for key in keys:
        caller.submit(16, key=key, cost_s=0.01)
    met: dict[bytes, list[int]] = {key: [] for key in keys}  # by the workers that got its suite
    while any(link.sent for link in links):
        for place, link in enumerate(links):
            if link.sent:
                suite, with_suite = link.sent[0][0].job.suite, link.sent[0][1]
                if with_suite:
                    met[suite.key].append(place)
                link.finish()
    assert len(caller.got) == 80
    assert [sorted(met[key]) for key in keys[2:4]] == [[0], [1]]  # the first were there alone
    assert sorted(met[keys[4]]) == [0, 1]  # and nobody is idle while the last one lasts


def test_a_job_whose_worker_is_gone_is_not_forgotten(scheduler: Scheduler) -> None:
    links = [Link(scheduler), Link(scheduler)]
    caller = Caller(scheduler)
    jobs = [caller.submit(16, key=b"%d" % number, cost_s=0.01) for number in range(6)]
    scheduler.remove_worker(links[0].worker, "died")
    links[0].sent.clear()
    run_all(links[1])
    assert [job.unfinished for job in jobs] == [0] * 6
    assert len(caller.got) == 96


def test_a_dead_workers_programs_run_again_alone_then_fail(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ATTEMPTS", 2)
    first = Link(scheduler)
    caller = Caller(scheduler)
    caller.submit(3, cost_s=0.001)
    assert first.indexes == [[0, 1, 2]]
    scheduler.remove_worker(first.worker, "died")
    second = Link(scheduler)
    assert second.indexes == [[0], [1]]
    second.finish()
    scheduler.remove_worker(second.worker, "died again")  # while it worked on 1; 2 only waited
    assert caller.got == [b"0", b"1 died again"]
    third = Link(scheduler)
    assert third.indexes == [[2]]
    third.finish()
    assert caller.got == [b"0", b"1 died again", b"2"]


def test_an_engine_error_is_tried_on_another_worker(scheduler: Scheduler) -> None:
    first, second = Link(scheduler), Link(scheduler)
    caller = Caller(scheduler)
    caller.submit(1)
    first.finish(failed=True)
    assert caller.got == []
    assert second.indexes == [[0]]
    second.finish(failed=True)
    assert caller.got == [b"0"]  # the worker's own account of it


def test_a_jail_that_dies_is_the_same(scheduler: Scheduler) -> None:
    first, second = Link(scheduler), Link(scheduler)
    caller = Caller(scheduler)
    caller.submit(1)
    for attempt in range(module.ATTEMPTS):
        assert caller.got == []
        link = second if attempt % 2 else first  # never twice in a row the same, where there is another
        number = link.sent.pop()[0].number
        scheduler.on_fault(link.worker, None if attempt % 3 else number, "jail gone")
    assert caller.got == [b"0 jail gone"]


def test_what_takes_long_to_fail_has_two_attempts(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    link = Link(scheduler)
    caller = Caller(scheduler)
    caller.submit(1)
    for _ in range(2):
        assert caller.got == []
        now_s += module.FAILED_MOST_S
        scheduler.on_fault(link.worker, link.sent.pop()[0].number, "no answer")
    assert caller.got == [b"0 no answer"]


def test_who_ends_jails_waits_for_them_alone(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its call is charged for each attempt and for each new jail: others get their full share of the worker."""
    now_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    link = Link(scheduler)
    killer, honest = Caller(scheduler), Caller(scheduler)
    killer.submit(40, key=b"k", cost_s=0.2)
    honest.submit(40, key=b"h", cost_s=0.2)
    faults = 0
    while len(honest.got) < 40:
        (chunk, _) = link.sent[0]
        if chunk.job.suite.key == b"h":
            now_s += 0.2
            link.finish()
        else:
            faults += 1
            link.sent.pop(0)
            scheduler.on_fault(link.worker, chunk.number, "jail gone")
    # 40 honest programs took 8 s of the worker; for as many, each fault counts as a new jail.
    assert faults <= 8 / module.REPLACE_S + 3


def test_a_program_left_out_is_not_lost(scheduler: Scheduler) -> None:
    link = Link(scheduler)
    caller = Caller(scheduler)
    caller.submit(2, cost_s=0.001)
    while link.sent:
        chunk, _ = link.sent.pop(0)
        scheduler.on_results(link.worker, chunk.number, [], True)
    assert sorted(caller.got) == [b"0 a worker left a program out", b"1 a worker left a program out"]


def test_cancelling_drops_the_queue_and_tells_the_worker(scheduler: Scheduler) -> None:
    link = Link(scheduler)
    caller, other = Caller(scheduler), Caller(scheduler)
    job = caller.submit(50, cost_s=1.0)
    other.submit(1)
    scheduler.cancel(job)
    chunk = link.sent[0][0]
    assert link.cancelled == [chunk.number]
    link.finish()
    assert caller.got == []
    assert caller.call.in_flight == 0
    assert link.indexes == [[0]]
    link.finish()
    assert other.got == [b"0"]


def test_a_full_queue_refuses_and_takes_again(scheduler: Scheduler) -> None:
    caller = Caller(scheduler)
    caller.submit(150)  # one job alone may be larger
    with pytest.raises(QueueFull):
        caller.submit(1)
    run_all(Link(scheduler))
    caller.submit(1)
    heavy = Caller(Scheduler(max_programs=100, max_bytes=10_000))
    heavy.submit(2, size=6_000)
    with pytest.raises(QueueFull):
        heavy.submit(1)


async def test_room_is_waited_for(scheduler: Scheduler) -> None:
    caller = Caller(scheduler)
    await scheduler.room(Call())
    job = caller.submit(150)
    with pytest.raises(QueueFull):
        caller.submit(1)
    scheduler.cancel(job)
    await scheduler.room(Call())
    caller.submit(1)


async def test_several_that_wait_for_room_do_not_overfill_it(scheduler: Scheduler) -> None:
    caller = Caller(scheduler)
    job = caller.submit(150)

    async def submit_when_there_is_room() -> None:
        await scheduler.room(Call())
        caller.submit(100)  # QueueFull if another has just filled it

    waiting = [asyncio.create_task(submit_when_there_is_room()) for _ in range(3)]
    await asyncio.sleep(0)
    scheduler.cancel(job)
    for _ in range(10):
        await asyncio.sleep(0)
    assert [task.done() for task in waiting].count(True) == 1
    link = Link(scheduler)
    while not all(task.done() for task in waiting):
        run_all(link)
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)


def test_results_that_nobody_collects_hold_the_call_back(scheduler: Scheduler) -> None:
    link = Link(scheduler)
    caller = Caller(scheduler)
    caller.submit(50, cost_s=0.05)
    chunk, _ = link.sent.pop(0)
    large = [(index, False, b"r" * UNCOLLECTED_MAX_BYTES) for index in chunk.programs]
    scheduler.on_results(link.worker, chunk.number, large, True)
    while link.sent:  # at most what had been handed out before
        link.finish()
    held = len(caller.got)
    assert held < 5
    scheduler.collected(caller.call, sum(map(len, caller.got)))
    run_all(link)
    assert len(caller.got) == 50


def test_a_silent_worker_is_killed(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link(scheduler)
    Caller(scheduler).submit(1)
    scheduler.check_silence()
    assert link.kills == []
    later_s = time.monotonic() + 11
    monkeypatch.setattr(time, "monotonic", lambda: later_s)
    scheduler.check_silence()
    assert link.kills == ["silent for 11 s"]


def test_without_workers_everything_ends_in_engine_errors(scheduler: Scheduler) -> None:
    caller = Caller(scheduler)
    caller.submit(2)
    scheduler.give_up("none starts")
    assert caller.got == [b"0 none starts", b"1 none starts"]
    with pytest.raises(NoWorkers):
        caller.submit(1)
    run_all(Link(scheduler))
    caller.submit(1)


def test_a_worker_with_a_jail_of_the_image_comes_first(scheduler: Scheduler) -> None:
    first, second = Link(scheduler), Link(scheduler)
    caller = Caller(scheduler)
    caller.submit(1, key=b"busy")
    caller.submit(1, suite=SuiteEntry(b"a", b"data", 1, 10.0, image="cpp@1"))
    assert (first.indexes, second.indexes) == ([[0]], [[0]])
    first.finish()
    second.finish()
    caller.submit(1, suite=SuiteEntry(b"b", b"data", 1, 10.0, image="cpp@1"))  # another problem, the same image
    assert (first.indexes, second.indexes) == ([], [[0]])
    caller.submit(1, suite=SuiteEntry(b"c", b"data", 1, 10.0, image="cpp@1"))  # nobody waits for the one that has it
    assert first.indexes == [[0]]


def test_what_a_worker_has_at_hand_is_bounded(scheduler: Scheduler) -> None:
    link = Link(scheduler)
    caller = Caller(scheduler)
    for number in range(10):
        caller.submit(1, suite=SuiteEntry(b"%d" % number, b"data", 1, 10.0, image=f"image@{number}"))
        link.finish()
    kept = [number for number in range(10) if f"image@{number}" in link.worker.images]
    assert kept == list(range(10 - IMAGES_PER_WORKER, 10))
