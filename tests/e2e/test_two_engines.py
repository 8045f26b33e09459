"""What a client does about engines that are killed, stopped, or asked very much at once; in short (see the scripts)."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e import many_calls, two_engines
from tests.e2e.serving import Server

import gradebox
from gradebox import GradeItem, Problem, Verdict

pytestmark = pytest.mark.usefixtures("jails")

GOOD = "def f(x):\n    return x + 1\n"
PROBLEM = Problem(["assert f(1) == 2"])
TIMEOUT_S = 1.0


def test_an_engine_that_is_killed_costs_no_answer(folder: Path) -> None:
    deviations, killer = two_engines.run(folder, None, submissions=600, kill_every_s=4.0, seed=1)
    assert deviations == []
    assert killer.kills >= 1


def test_many_calls_at_once(folder: Path) -> None:
    with Server(folder).start() as server:
        assert asyncio.run(many_calls.run(server, calls=300, rounds=1, clients=2, programs=2)) == []


def test_a_deadline_holds_when_the_engine_is_stopped(folder: Path) -> None:
    with Server(folder, workers=1).start() as server, gradebox.Client(server.target) as client:
        assert client.grade([GOOD], problem=PROBLEM)[0].verdict is Verdict.PASSED
        server.process.send_signal(signal.SIGSTOP)
        try:
            calls: list[Callable[[], object]] = [
                lambda: client.grade([GOOD], problem=PROBLEM, timeout_s=TIMEOUT_S),
                lambda: list(client.grade_many([GradeItem(PROBLEM, [GOOD])], timeout_s=TIMEOUT_S)),
                lambda: client.run("print()", timeout_s=TIMEOUT_S),
                lambda: client.info(timeout_s=TIMEOUT_S),
            ]
            for call in calls:
                start_s = time.monotonic()
                with pytest.raises(gradebox.DeadlineExceeded):
                    call()
                assert TIMEOUT_S <= time.monotonic() - start_s < 5 * TIMEOUT_S
        finally:
            server.process.send_signal(signal.SIGCONT)
        assert client.grade([GOOD], problem=PROBLEM, timeout_s=60)[0].verdict is Verdict.PASSED
