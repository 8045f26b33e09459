"""A deadline holds whatever does not answer: an address, a handshake, a name, an engine."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

import gradebox
from gradebox import GradeItem, Problem

from .conftest import StartFront

PROBLEM = Problem(["assert f(1) == 2"], id="p")
TIMEOUT_S = 0.5
IN_TIME_S = 15.0  # on a machine that is loaded; nothing here would ever end by itself

CALLS: dict[str, Callable[[gradebox.Client], object]] = {
    "grade": lambda client: client.grade(["sleep 60"], problem=PROBLEM, timeout_s=TIMEOUT_S),
    "grade, large": lambda client: client.grade(["sleep 60" + " " * (5 << 20)], problem=PROBLEM, timeout_s=TIMEOUT_S),
    "grade_many": lambda client: list(client.grade_many([GradeItem(PROBLEM, ["sleep 60"])], timeout_s=TIMEOUT_S)),
    "run": lambda client: client.run("sleep 60", timeout_s=TIMEOUT_S),
    "info": lambda client: client.info(timeout_s=TIMEOUT_S),
}


async def _grade_many(client: gradebox.AsyncClient) -> None:
    async for _ in client.grade_many([GradeItem(PROBLEM, ["sleep 60"])], timeout_s=TIMEOUT_S):
        pass


ASYNC_CALLS: dict[str, Callable[[gradebox.AsyncClient], Awaitable[object]]] = {
    "grade": lambda client: client.grade(["sleep 60"], problem=PROBLEM, timeout_s=TIMEOUT_S),
    "grade_many": _grade_many,
    "run": lambda client: client.run("sleep 60", timeout_s=TIMEOUT_S),
    "info": lambda client: client.info(timeout_s=TIMEOUT_S),
}


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Connections are made, and nobody ever says anything on them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradebox._targets.socket.getaddrinfo", lambda *_, **__: time.sleep(40))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("kind", ["plain", "tls", "name", "two"])
@pytest.mark.usefixtures("slow_names")
def test_nobody_answers(black_hole: str, kind: str, call: str) -> None:
    target = {"name": "dns:///engines.test:1", "two": [black_hole, "unix:/nowhere"]}.get(kind, black_hole)
    with gradebox.Client(target, tls=kind == "tls" or None) as client:
        start_s = time.monotonic()
        with pytest.raises(gradebox.DeadlineExceeded):
            CALLS[call](client)
        assert TIMEOUT_S <= time.monotonic() - start_s < IN_TIME_S


@pytest.mark.parametrize("call", ASYNC_CALLS)
async def test_nobody_answers_an_asynchronous_client(black_hole: str, call: str) -> None:
    async with gradebox.AsyncClient(black_hole) as client:
        start_s = time.monotonic()
        with pytest.raises(gradebox.DeadlineExceeded):
            await ASYNC_CALLS[call](client)
        assert TIMEOUT_S <= time.monotonic() - start_s < IN_TIME_S


@pytest.mark.parametrize("call", ["grade", "grade_many", "run"])
async def test_the_work_takes_too_long(start_front: StartFront, call: str) -> None:
    front = await start_front()
    async with gradebox.AsyncClient(front.target) as client:
        start_s = time.monotonic()
        with pytest.raises(gradebox.DeadlineExceeded):
            await ASYNC_CALLS[call](client)
        assert TIMEOUT_S <= time.monotonic() - start_s < IN_TIME_S


async def test_what_was_answered_before_the_deadline_was_yielded(start_front: StartFront) -> None:
    front = await start_front()
    keys = []
    async with gradebox.AsyncClient(front.target) as client:
        items = [GradeItem(PROBLEM, [text], text) for text in ("p", "q", "sleep 60")]
        with pytest.raises(gradebox.DeadlineExceeded):
            async for graded in client.grade_many(items, timeout_s=5 * TIMEOUT_S):
                keys.append(graded.key)
    assert sorted(map(str, keys)) == ["p", "q"]


async def test_the_caller_s_own_time_counts(start_front: StartFront) -> None:
    front = await start_front()
    async with gradebox.AsyncClient(front.target) as client:
        items = (GradeItem(PROBLEM, ["p"], number) for number in range(10_000))
        with pytest.raises(gradebox.DeadlineExceeded):
            async for _ in client.grade_many(items, max_in_flight=4, timeout_s=TIMEOUT_S):
                await asyncio.sleep(0.05)


def test_items_that_do_not_come_are_no_excuse(black_hole: str) -> None:
    def items() -> Iterator[GradeItem]:
        time.sleep(40)
        yield GradeItem(PROBLEM, ["p"])

    with gradebox.Client(black_hole) as client:
        start_s = time.monotonic()
        with pytest.raises(gradebox.DeadlineExceeded):
            list(client.grade_many(items(), timeout_s=TIMEOUT_S))
        assert time.monotonic() - start_s < IN_TIME_S


def test_without_a_deadline_silence_ends_too(black_hole: str) -> None:
    """An address that takes connections and says nothing is not waited for without end."""
    with gradebox.Client(black_hole) as client:
        with pytest.raises(gradebox.Unavailable):
            client.grade(["p"], problem=PROBLEM)
