"""A client in forks of a process that has used it: multiprocessing's, data loaders', of whole reward functions."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.certificates import Authority
from tests.waiting import has_ended, wait_until

import gradebox
from gradebox import GradeItem, Problem, Verdict

from .conftest import Front, StartFront

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

PROBLEM = Problem(["assert f(1) == 2 # " + "x" * 5000], id="p")  # large: sent once, then by name
TIMEOUT_S = 60.0


def in_fork(work: Callable[[], Any]) -> Any:
    """What work returns in a child of this process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def run() -> None:
        try:
            theirs.send(work())
        except BaseException as error:
            theirs.send(error)

    child = context.Process(target=run)
    child.start()
    try:
        assert ours.poll(TIMEOUT_S), "the child hangs"
        answer = ours.recv()
    finally:
        child.kill() if child.is_alive() and not ours.poll() else None
        child.join(TIMEOUT_S)
    if isinstance(answer, BaseException):
        raise answer
    return answer


def everything(client: gradebox.Client) -> list[Any]:
    results = client.grade(["a", "b"], problem=PROBLEM, timeout_s=TIMEOUT_S)
    items = (GradeItem(PROBLEM, [f"p{n}", "q" * 100_000], n) for n in range(200))
    keys = sorted(int(str(graded.key)) for graded in client.grade_many(items, timeout_s=TIMEOUT_S) if graded.results)
    return [
        [result.verdict for result in results],
        keys == list(range(200)),
        client.info(timeout_s=TIMEOUT_S).workers,
        client.run("x", stdin="y", timeout_s=TIMEOUT_S).stdout,
    ]


EVERYTHING = [[Verdict.PASSED] * 2, True, 2, b"y"]


@pytest.fixture
async def front(start_front: StartFront) -> Front:
    return await start_front()


async def test_a_fork_after_the_first_call_can_do_everything(front: Front) -> None:
    def work() -> None:
        with gradebox.Client(front.target) as client:
            for _ in range(2):
                assert everything(client) == EVERYTHING
                assert in_fork(lambda: everything(client)) == EVERYTHING
            assert in_fork(lambda: in_fork(lambda: everything(client))) == EVERYTHING  # and a fork of the fork
            assert everything(client) == EVERYTHING

    await asyncio.to_thread(work)


async def test_a_fork_before_the_first_call(front: Front) -> None:
    """In a process of its own, where nobody else has used gRPC."""
    source = (
        "import os, sys, gradebox\n"
        f"client = gradebox.Client({front.target!r})\n"
        "child = os.fork()\n"
        "verdict = client.grade(['a'], tests=['t'], timeout_s=60)[0].verdict.name\n"
        "helpers = 'gradebox._relay' in sys.modules and len(sys.modules['gradebox._relay']._links)\n"
        "os.write(1, f'{verdict} {helpers}\\n'.encode())\n"  # in one piece: the other one writes there, too
        "if child:\n    sys.exit(os.waitpid(child, 0)[1])\n"
        "os._exit(0)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", source]
    ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "PASSED 0\n" * 2, "")


def reward(work: tuple[gradebox.Client, int]) -> float | None:
    client, number = work
    return client.grade([f"p{number}"], problem=PROBLEM, timeout_s=TIMEOUT_S)[0].pass_rate


_client: gradebox.Client | None = None


def reward_of_global(number: int) -> float | None:
    assert _client is not None
    return reward((_client, number))


async def test_a_pool_of_forked_processes(front: Front) -> None:
    global _client

    def work() -> None:
        assert _client is not None
        assert reward_of_global(0) == 1.0
        with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("fork")) as pool:
            assert list(pool.map(reward_of_global, range(30), timeout=TIMEOUT_S)) == [1.0] * 30
        assert reward_of_global(0) == 1.0

    with gradebox.Client(front.target) as _client:
        await asyncio.to_thread(work)


async def test_an_asynchronous_client_of_a_fork(front: Front) -> None:
    async def calls(client: gradebox.AsyncClient) -> list[Any]:
        graded = await asyncio.gather(*(client.grade([f"{n}"], problem=PROBLEM) for n in range(20)))
        return [results[0].verdict for results in graded]

    async with gradebox.AsyncClient(front.target) as client:
        assert await calls(client) == [Verdict.PASSED] * 20

        def work() -> None:
            assert in_fork(lambda: asyncio.run(calls(client))) == [Verdict.PASSED] * 20

        await asyncio.to_thread(work)


async def test_errors_and_deadlines_are_the_same_there(front: Front) -> None:
    def work() -> None:
        with gradebox.Client([front.target, "unix:/nowhere"]) as client:
            client.info()
            bad = Problem(["t"], language="cobol")
            with pytest.raises(gradebox.InvalidRequest, match="cobol"):
                in_fork(lambda: client.grade(["a"], problem=bad, timeout_s=TIMEOUT_S))
            start_s = time.monotonic()
            with pytest.raises(gradebox.DeadlineExceeded):
                in_fork(lambda: client.grade(["sleep 60"], problem=PROBLEM, timeout_s=1.0))
            assert time.monotonic() - start_s < 20
        with gradebox.Client("unix:/nowhere") as client, pytest.raises(gradebox.Unavailable):
            in_fork(lambda: client.info())

    await asyncio.to_thread(work)


def _is_gone(pid: int, created_s: float) -> bool:
    """Whether the process of that number and that start has ended."""
    try:
        process = psutil.Process(pid)
        return process.create_time() != created_s or has_ended(process)
    except psutil.NoSuchProcess:
        return True


async def test_the_helper_ends_with_its_process(front: Front) -> None:
    def helper(client: gradebox.Client) -> tuple[int, int, float]:
        client.info(timeout_s=TIMEOUT_S)
        (found,) = psutil.Process().children()
        return os.getpid(), found.pid, found.create_time()

    def work() -> None:
        with gradebox.Client(front.target) as client:
            client.info()
            pid, found, created_s = in_fork(lambda: helper(client))
            assert pid != os.getpid()
            assert wait_until(lambda: _is_gone(found, created_s))

    await asyncio.to_thread(work)


async def test_a_helper_that_is_killed_is_replaced(front: Front) -> None:
    def killed(client: gradebox.Client) -> Any:
        client.info(timeout_s=TIMEOUT_S)
        (helper,) = psutil.Process().children()
        helper.kill()
        return everything(client)

    def work() -> None:
        with gradebox.Client(front.target) as client:
            client.info()
            assert in_fork(lambda: killed(client)) == EVERYTHING

    await asyncio.to_thread(work)


async def test_tls_in_a_fork(tmp_path: Path) -> None:
    from tests.unit.sdk.test_access import TOKEN, Service, server_credentials

    authority = Authority(tmp_path, "authority")
    service = Service()
    server, target = await service.serve(server_credentials(authority))

    def work() -> None:
        with gradebox.Client(target, ca_file=authority.file, token=TOKEN) as client:
            client.info()
            assert in_fork(lambda: client.info(timeout_s=TIMEOUT_S)).version == "1"

    await asyncio.to_thread(work)
    assert service.tokens == [f"Bearer {TOKEN}"] * 2
    await server.stop(0)
