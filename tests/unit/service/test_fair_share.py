"""The order in which tenants are served, and what each can queue while another floods the engine."""

from collections import deque

import pytest

from gradebox_engine.queue import HEAD_START_S, SMALL_PROGRAMS, TENANTS_RESERVE
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.work import Call, Chunk, Job, QueueFull, Share, SuiteEntry, Worker

CHUNK_S = 1.0


class Link:
    """A worker whose chunks take as long as they were estimated."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.sent: deque[Chunk] = deque()
        self.worker: Worker = scheduler.add_worker(self)

    def send(self, chunk: Chunk, with_suite: bool) -> None:
        self.sent.append(chunk)

    def cancel(self, number: int) -> None:
        pass

    def kill(self, reason: str) -> None:
        pass


def submit(scheduler: Scheduler, call: Call, count: int, cost_s: float = CHUNK_S) -> Job:
    job = Job(
        call=call,
        suite=SuiteEntry(call.tenant.encode(), b"", 1, 1e6, cost_s),
        pending=deque((index, b"x") for index in range(count)),
        emit=lambda results: None,
        fault=lambda index, source, why: b"",
    )
    scheduler.submit(job)
    return job


def serve(scheduler: Scheduler, link: Link, programs: int) -> list[str]:
    """Whose programs are worked on, one after the other."""
    served: list[str] = []
    while len(served) < programs and link.sent:
        chunk = link.sent.popleft()
        served += [chunk.job.call.tenant] * len(chunk.programs)
        chunk.started_s = 0.0  # costs its estimate
        results = [(index, False, b"r") for index in list(chunk.programs)]
        chunk.job.call.charge(chunk.estimate_s)  # what the clock would have said
        scheduler.on_results(link.worker, chunk.number, results, True)
    return served


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(max_programs=1000, max_bytes=10**9)


def test_a_tenant_with_many_calls_has_no_more_than_one_with_a_single_call(scheduler: Scheduler) -> None:
    many, one = Share(), Share()
    for _ in range(20):
        submit(scheduler, Call("many", many), 20)
    submit(scheduler, Call("one", one), 100)
    served = serve(scheduler, Link(scheduler), 100)
    assert abs(served.count("many") - served.count("one")) <= 2


def test_shares_go_by_weight(scheduler: Scheduler) -> None:
    submit(scheduler, Call("light", Share()), 300)
    submit(scheduler, Call("heavy", Share(weight=3.0)), 300)
    served = serve(scheduler, Link(scheduler), 100)
    assert 70 <= served.count("heavy") <= 80


def test_who_was_away_is_not_paid_for_it(scheduler: Scheduler) -> None:
    old, new = Share(), Share()
    submit(scheduler, Call("old", old), 500)
    link = Link(scheduler)
    assert serve(scheduler, link, 100) == ["old"] * 100
    submit(scheduler, Call("new", new), 100)
    served = serve(scheduler, link, 40)
    assert served.index("new") <= 2  # what the worker had is not taken away
    ahead = HEAD_START_S / CHUNK_S
    assert 20 <= served.count("new") <= 20 + ahead + 1


def test_calls_of_one_tenant_share_what_it_has(scheduler: Scheduler) -> None:
    share = Share()
    first, second = Call("one", share), Call("one", share)
    jobs = [submit(scheduler, call, 100) for call in (first, second)]
    submit(scheduler, Call("two", Share()), 200)
    serve(scheduler, Link(scheduler), 100)
    left = [len(job.pending) for job in jobs]
    assert abs(left[0] - left[1]) <= 2 and 140 <= sum(left) <= 160
    assert share.used_s == pytest.approx(first.virtual_s + second.virtual_s, rel=0.2)


def test_a_flood_of_one_tenant_leaves_room_for_others(scheduler: Scheduler) -> None:
    flooding, other = Share(part=0.5), Share(part=0.5)
    submit(scheduler, Call("flooding", flooding), 1000)
    with pytest.raises(QueueFull):
        submit(scheduler, Call("flooding", flooding), SMALL_PROGRAMS + 1)
    for _ in range(1000 // 8):  # small ones fill what is kept for those
        try:
            submit(scheduler, Call("flooding", flooding), SMALL_PROGRAMS)
        except QueueFull:
            break
    part = 1000 // TENANTS_RESERVE // 2
    call = Call("other", other)
    submit(scheduler, call, part + 1)
    with pytest.raises(QueueFull):
        submit(scheduler, call, part)


async def test_counts_come_back_to_nothing(scheduler: Scheduler) -> None:
    share = Share(part=1.0)
    call = Call("one", share)
    link = Link(scheduler)
    job = submit(scheduler, call, 50)
    serve(scheduler, link, 10)
    scheduler.remove_worker(link.worker, "died")
    link = Link(scheduler)
    serve(scheduler, link, 10)
    scheduler.cancel(job)
    assert (share.in_flight, share.programs, share.bytes, call.in_flight) == (0, 0, 0, 0)
    submit(scheduler, call, 20)
    serve(scheduler, link, 100)
    assert (share.in_flight, share.programs, share.bytes, call.in_flight) == (0, 0, 0, 0)
