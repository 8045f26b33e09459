"""An embedded engine ends with its owner, however that ends, and leaves nobody behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import psutil
import pytest
from tests.waiting import has_ended, wait_until

import gradebox

GOOD = "def f(x):\n    return x + 1\n"
OWNER = f"""
import os, signal, sys, time
import gradebox
engine = gradebox.Engine(workers=2)
engine.grade([{GOOD!r}], tests=["assert f(1) == 2"])
print(engine._client._process._process.pid, flush=True)
sys.stdin.readline()
"""

pytestmark = [pytest.mark.usefixtures("jails"), pytest.mark.xdist_group("machine")]


class Owner:
    """A process that owns an engine and, once that works, does `then`."""

    def __init__(self, then: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER + then],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        front = psutil.Process(int(self.process.stdout.readline()))
        self.folder = os.path.dirname(front.cmdline()[-3].removeprefix("unix:"))
        # An engine is ready with its first worker: wait for front, both workers and their jails.
        assert wait_until(lambda: len(front.children(recursive=True)) >= 2 * 2)
        self.family = [front, *front.children(recursive=True)]
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def family_is_gone(self) -> bool:
        return wait_until(lambda: all(map(has_ended, self.family)), timeout_s=10)


@pytest.mark.parametrize(
    "then",
    [
        "engine.close()",
        "del engine; time.sleep(30)",
        "sys.exit(0)",
        "raise ValueError",
        "os._exit(0)",
        "os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_the_engine_ends_with_its_owner(then: str) -> None:
    with Owner(then) as owner:
        assert owner.family_is_gone()
        assert wait_until(lambda: not os.path.exists(owner.folder))


def test_a_fork_of_the_owner_does_not_keep_the_engine() -> None:
    then = """
pid = os.fork()
if pid == 0:
    os.closerange(0, 3)
    time.sleep(20)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with Owner(then) as owner:
        assert owner.family_is_gone()


def test_no_process_outlives_a_front_that_is_killed() -> None:
    with Owner("time.sleep(30)") as owner:
        front = owner.family.pop(0)  # stays a zombie until its owner looks
        front.kill()
        assert owner.family_is_gone()


def test_ctrl_c_is_the_owners_to_handle() -> None:
    then = f"""
try:
    time.sleep(30)
except KeyboardInterrupt:
    pass
print(engine.grade([{GOOD!r}], tests=["assert f(1) == 2"])[0].verdict.name)
engine.close()
"""
    with Owner(then) as owner:
        time.sleep(0.2)
        owner.process.send_signal(signal.SIGINT)
        assert owner.process.communicate(timeout=30) == ("PASSED\n", "")
        assert owner.family_is_gone()


@pytest.mark.parametrize(
    "then",
    [
        "engine.close()",
        "process = engine._client._process._process; process.terminate(); process.wait(); time.sleep(0.2)",
    ],
    ids=["closed", "ended under an open connection"],
)
def test_nothing_is_written_to_the_terminal(then: str) -> None:
    with Owner(then) as owner:
        assert owner.process.communicate(timeout=30) == ("", "")


def test_an_engine_that_died_is_a_fault_with_its_last_words() -> None:
    with gradebox.Engine(workers=1) as engine:
        process = engine._client._process._process  # type: ignore[attr-defined]
        folder = os.path.dirname(process.args[-3].removeprefix("unix:"))
        process.kill()
        process.wait()
        with pytest.raises(gradebox.EngineFault, match="status -9"):
            engine.grade([GOOD], tests=["assert f(1) == 2"])
    assert not os.path.exists(folder)


def test_an_engine_that_cannot_start_says_why(tmp_path: "os.PathLike[str]") -> None:
    config = os.path.join(tmp_path, "engine.toml")
    with open(config, "w") as file:
        file.write("workerz = 3\n")
    with pytest.raises(gradebox.EngineFault, match="workerz"):
        gradebox.Engine(config_file=config)


def test_workers_that_are_killed_cost_no_result() -> None:
    with gradebox.Engine(workers=2) as engine:
        front = psutil.Process(engine._client._process._process.pid)  # type: ignore[attr-defined]

        def workers() -> list[psutil.Process]:
            return [p for p in front.children() if "gradebox_engine.worker" in p.cmdline()]

        items = (gradebox.GradeItem(gradebox.Problem([f"assert f({n}) == {n + 1}"]), [GOOD], n) for n in range(300))
        graded = {}
        for answer in engine.grade_many(items):
            graded[answer.key] = answer.results[0].verdict
            if len(graded) in (20, 150):
                for worker in workers():
                    worker.kill()
        assert set(graded) == set(range(300))
        assert set(graded.values()) == {gradebox.Verdict.PASSED}
        assert wait_until(lambda: len(workers()) == 2)


def test_folders_of_owners_that_are_gone_are_swept(jails: None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder))  # short: a socket's name has little room
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    stale, living, other = (folder / f"gradebox-{name}" for name in (f"engine-{ended.pid}-x", "engine-1-x", "else"))
    for made in (stale, living, other):
        made.mkdir()
        (made / "engine.sock").touch()
    with gradebox.Engine(workers=1):
        assert [made.exists() for made in (stale, living, other)] == [False, True, True]
