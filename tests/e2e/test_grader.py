"""Rewards of a real engine: together, apart, in time, from threads, event loops and forks."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.e2e.serving import Server

import gradebox
from gradebox.integrations import Grader

GOOD = "```python\ndef f(x): return x + 1\n```"
HALF = "```python\ndef f(x): return 2\n```"
SLEEPS = "```python\nimport time\ntime.sleep(100)\n```"
TESTS = ["assert f(1) == 2", "assert f(2) == 3"]
PATIENT = {"tests": TESTS, "limits": {"wall_time_s": 90.0}}


@pytest.fixture
def server(jails: None, folder: Path) -> Server:
    """An engine that tests may kill."""
    return Server(folder)


def test_rewards(server: Server) -> None:
    with server.start():
        grader = Grader(engine=server.target, no_program=-0.5)
        outcomes = grader.grade([GOOD, HALF, "No.", HALF], [TESTS, TESTS, TESTS, ["assert f(5) == 2"]])
        assert [outcome.reward for outcome in outcomes] == [1.0, 0.5, -0.5, 1.0]
        assert [outcome.program is None for outcome in outcomes] == [False, False, True, False]
        strict = Grader(engine=server.target, reward="all_passed")
        assert [outcome.reward for outcome in strict.grade([GOOD, HALF], [TESTS] * 2)] == [1.0, 0.0]
        with pytest.raises(gradebox.InvalidRequest, match="tasks"):
            grader.grade([GOOD], [])
        assert grader.grade([], []) == []


def test_a_grader_holds_its_deadline_and_keeps_what_it_has(server: Server) -> None:
    with server.start():
        grader = Grader(engine=server.target, timeout_s=12)
        slow, fast = grader.grade([SLEEPS, GOOD], [PATIENT, PATIENT])
        assert slow.reward is None
        assert isinstance(slow.error, gradebox.DeadlineExceeded)
        with pytest.raises(gradebox.DeadlineExceeded):
            slow.known()
        assert fast.reward == 1.0


@pytest.mark.xdist_group("machine")
def test_an_engine_that_is_killed_gives_none(server: Server) -> None:
    with server.start():
        grader = Grader(engine=server.target, timeout_s=8)
        assert grader.grade([GOOD], [TESTS])[0].reward == 1.0
        server.kill()
        (outcome,) = grader.grade([GOOD], [TESTS])
        assert outcome.reward is None
        assert outcome.program == "def f(x): return x + 1\n"
        server.start()
        assert grader.grade([GOOD], [TESTS])[0].reward == 1.0


def test_an_engine_that_never_was_is_an_error() -> None:
    with pytest.raises(gradebox.Unavailable):
        Grader(engine="127.0.0.1:1").grade([GOOD, "No."], [TESTS] * 2)
    assert Grader(engine="127.0.0.1:1").grade(["No."], [TESTS])[0].reward == 0.0


def test_from_threads_and_event_loops_at_once(server: Server) -> None:
    async def some(grader: Grader) -> list[float | None]:
        graded = await asyncio.gather(*(grader.agrade([GOOD, HALF], [TESTS] * 2) for _ in range(10)))
        return [outcome.reward for outcomes in graded for outcome in outcomes]

    rewards: list[float | None] = []
    with server.start():
        grader = Grader(engine=server.target)
        threads = [threading.Thread(target=lambda: rewards.extend(asyncio.run(some(grader)))) for _ in range(4)]
        threads += [
            threading.Thread(target=lambda: rewards.extend(o.reward for o in grader.grade([GOOD] * 5, [TESTS] * 5)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(rewards), rewards.count(0.5), rewards.count(1.0)) == (100, 40, 60)


async def test_who_stops_waiting_stops_the_program(server: Server) -> None:
    with server.start():
        waiting = asyncio.create_task(Grader(engine=server.target).agrade([SLEEPS], [PATIENT]))
        while not server.members("program"):
            await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        for _ in range(600):
            if not server.members("program"):
                break
            await asyncio.sleep(0.05)
        assert not server.members("program")


CHILD = """
import os
from gradebox.integrations import Grader
grader = Grader()
for child in (True, False, True):  # workers that a data loader forks, before the first call and after it
    if child:
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            continue
    print(os.getpid() == int(os.environ["PARENT"]), grader.grade([{good!r}], [{tests!r}])[0].reward, flush=True)
    if child:
        os._exit(0)
"""


def test_without_an_address_every_process_has_an_engine_of_its_own(jails: None) -> None:
    code = "import os; os.environ['PARENT'] = str(os.getpid())\n" + CHILD.format(good=GOOD, tests=TESTS)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GRADEBOX_ENGINE")}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=clean
    )
    assert ran.stdout == "False 1.0\nTrue 1.0\nFalse 1.0\n", ran.stderr[-2000:]
