"""Jails that die under their programs: the engine's fault, so no verdict changes and nothing is lost."""

import contextlib
import threading
import time

import psutil
import pytest

import gradebox

pytestmark = pytest.mark.xdist_group("machine")


def _engines() -> list[int]:
    """The pids of the embedded engines of this process."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # one that has ended is still listed until it is waited for
            if "serve" in child.cmdline():
                found.append(child.pid)
    return found


def _jailed_servers(engine_pid: int) -> list[psutil.Process]:
    """The fork servers of an engine's jails: the processes right below its nsjails."""
    servers = []
    for process in psutil.Process(engine_pid).children(recursive=True):
        if process.name() == "nsjail":
            servers += process.children()
    return servers


def test_jails_that_are_killed_cost_no_result(jails: None) -> None:
    program = "def f(x):\n    return sum(range(20000)) * 0 + x + 1\n"
    with gradebox.Engine(workers=2) as engine:
        mine = _engines()[-1]
        stop = threading.Event()
        killed = 0

        def kill() -> None:
            nonlocal killed
            pause_s = 1.5
            while not stop.wait(pause_s):
                pause_s = 0.01
                with contextlib.suppress(psutil.Error):  # programs come and go while the tree is read: once more
                    for server in _jailed_servers(mine)[:1]:
                        server.kill()
                        killed += 1
                        pause_s = 1.5

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            deadline = time.monotonic() + 60
            verdicts: list[str] = []
            while killed < 4 and time.monotonic() < deadline:
                results = engine.grade([program] * 50, tests=[f"assert f({i}) == {i + 1}" for i in range(16)])
                verdicts += [result.verdict.name for result in results]
        finally:
            stop.set()
            killer.join()
    assert killed >= 4
    assert verdicts
    assert set(verdicts) == {"PASSED"}
