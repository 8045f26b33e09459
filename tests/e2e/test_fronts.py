"""Several fronts on one port: they share the work, end together, and one that dies costs nothing."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.e2e import footprint
from tests.e2e.serving import Server, StartServer, send
from tests.waiting import wait_until

import gradebox
from gradebox import GradeItem, Problem, Verdict
from gradebox._connection import Connection
from gradebox._fronts import Fronts

pytestmark = [pytest.mark.usefixtures("jails"), pytest.mark.xdist_group("machine")]

GOOD = "def f(x):\n    return x + 1\n"
BUSY = "sum(i * i for i in range(300_000))\n" + GOOD
ENDLESS = "def f(x):\n    while True: pass\n"
PROBLEM = Problem(["assert f(1) == 2"], limits={"cpu_time_s": 30.0})


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """Two fronts with a worker each."""
    return start_server(workers=2, fronts=2)


def fronts(client: gradebox.Client) -> Fronts:
    """Those of the one engine that a client has."""
    (found,) = client._client._targets._places
    assert isinstance(found, Fronts)
    return found


def connections(client: gradebox.Client) -> list[Connection]:
    return fronts(client)._connections


def serve(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "gradebox_engine", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_one_client_has_the_work_of_all_workers(server: Server) -> None:
    with gradebox.Client(server.target) as client:
        assert client.info().workers == 2

        def read() -> None:
            with contextlib.suppress(gradebox.Unavailable):
                list(client.grade_many(GradeItem(PROBLEM, [ENDLESS], key) for key in range(2)))

        reader = threading.Thread(target=read)
        reader.start()
        assert wait_until(lambda: len(server.members("program")) == 2)
    reader.join()


def test_clients_reach_different_fronts(server: Server) -> None:
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {line["front"] for line in lines} == {1, 2}  # each line says whose it is
    assert sorted(line["workers"] for line in lines if line["event"] == "serving") == [1, 1]
    for _ in range(10):
        with gradebox.Client(server.target) as client:
            results = client.grade([GOOD, BUSY], problem=PROBLEM)
            assert [result.verdict for result in results] == [Verdict.PASSED] * 2
            assert len(connections(client)) == 1  # one call at a time
            for graded in client.grade_many([GradeItem(PROBLEM, [GOOD])]):
                assert graded.results[0].verdict is Verdict.PASSED
            assert len(connections(client)) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_calls_under_way_are_answered_before_it_ends(server: Server, number: int) -> None:
    with gradebox.Client(server.target, retry_s=0) as client:
        answers = client.grade_many(GradeItem(PROBLEM, [BUSY], key) for key in range(20))
        first = next(answers)
        server.process.send_signal(number)
        keys = {first.key, *(graded.key for graded in answers)}
    assert keys == set(range(20))
    assert server.process.wait(30) == 0


def test_a_front_that_is_killed_is_replaced_and_nothing_is_lost(server: Server) -> None:
    with gradebox.Client(server.target) as client:
        keys = []
        for graded in client.grade_many(GradeItem(PROBLEM, [BUSY, GOOD], key) for key in range(100)):
            assert [result.verdict for result in graded.results] == [Verdict.PASSED] * 2
            keys.append(graded.key)
            if len(keys) in (10, 40):
                send(server.members("front")[len(keys) % 2], signal.SIGKILL)
        assert sorted(map(str, keys)) == sorted(map(str, range(100)))
        assert wait_until(lambda: len(server.members("front")) == 2 and len(server.members("forkserver")) == 2)

        def has_both() -> bool:
            client.grade([GOOD], problem=PROBLEM)
            return len({id(connection) for connection in connections(client)}) == 2

        assert wait_until(lambda: has_both() and not fronts(client)._missing)
    assert server.said('"front ended"') == 2
    assert server.stop() == 0


def test_nothing_outlives_a_supervisor_that_is_killed(server: Server) -> None:
    family = footprint.family([server.process.pid])
    assert len(family) > 1 + 2 + 2 * 2
    with gradebox.Client(server.target, retry_s=0) as client:
        assert client.grade([GOOD], problem=PROBLEM)[0].verdict is Verdict.PASSED
        server.kill()
        pids = {process.pid for process in family}
        assert wait_until(lambda: not any(Path("/proc", str(pid)).exists() for pid in pids), 10)
    server.start()  # on the same port
    assert server.stop() == 0


def test_a_stranger_on_the_port_is_an_error(server: Server) -> None:
    for fronts in ("1", "2"):
        refused = serve("--listen", server.target, "--workers", "2", "--fronts", fronts)
        assert refused.returncode == 1
        assert "cannot serve" in refused.stderr
    send(server.members("front")[0], signal.SIGKILL)  # also while there is one front alone
    refused = serve("--listen", server.target, "--workers", "2", "--fronts", "2")
    assert (refused.returncode, "already in use" in refused.stderr) == (1, True)
    with gradebox.Client(server.target) as client:
        assert client.grade([GOOD], problem=PROBLEM)[0].verdict is Verdict.PASSED
    assert wait_until(lambda: len(server.members("forkserver")) == 2)


def test_a_port_that_is_taken_and_an_address_that_cannot_be_shared() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        refused = serve("--listen", f"127.0.0.1:{other.getsockname()[1]}", "--workers", "2", "--fronts", "2")
    assert (refused.returncode, "already in use" in refused.stderr) == (1, True)
    refused = serve("--listen", "unix:/tmp/fronts.sock", "--workers", "2", "--fronts", "2")
    assert (refused.returncode, refused.stderr.count("\n"), "fronts: 2" in refused.stderr) == (2, 1, True)
