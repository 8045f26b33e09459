"""Engines that go away, or are late: training waits, or masks; it neither crashes nor scores 0 for them."""

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.e2e.serving import Server
from tests.trainer.rl import tiny
from tests.trainer.rl.conftest import TESTS

import gradebox
from gradebox_trainer.rl.grading import Grading
from gradebox_trainer.rl.settings import GradingSettings
from gradebox_trainer.rl.train import RLTrainer
from gradebox_trainer.training.distributed import Processes

type Fitted = Callable[[], tuple[Any, Any]]
GOOD, BAD = "def f(x):\n    return x + 2\n", "def f(x):\n    return x\n"


@pytest.fixture
def server(jails: None) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="server-"))
    folder.chmod(0o755)
    with Server(folder, workers=1).start() as server:
        yield server
    shutil.rmtree(folder)


def a_task(fitted: Fitted) -> Any:
    return tiny.tasks({"add 2\n": TESTS["add 2\n"]}, fitted()[1])[0]


def test_an_engine_that_is_restarted_is_waited_for(server: Server, fitted: Fitted) -> None:
    settings = GradingSettings(timeout_s=60, patience_s=60)
    with (
        gradebox.Client(server.target, retry_s=0.5) as client,  # gives up soon: the loop's own patience is shown
        Grading(client, settings, kind="all_passed", format="plain") as grading,
    ):
        scored, _ = grading.collect([grading.submit(a_task(fitted), [GOOD])])
        assert scored[0].execution == 1.0
        server.kill()
        back = threading.Timer(4.0, server.start)
        back.start()
        started_s = time.monotonic()
        scored, clock = grading.collect([grading.submit(a_task(fitted), [GOOD, BAD, "no program"])])
        back.join()
    assert [one.execution for one in scored] == [1.0, 0.0, 0.0]
    assert time.monotonic() - started_s > 3.5
    assert clock.waited_s > 3.5


def test_without_an_engine_answers_are_masked_and_nothing_is_learnt(
    server: Server, fitted: Fitted, tmp_path: Path
) -> None:
    settings = tiny.settings(grading={"timeout_s": 20.0, "patience_s": 1.0})
    with (
        gradebox.Client(server.target, retry_s=0.5) as client,
        Grading(client, settings.grading, kind="all_passed", format="plain") as grading,
    ):
        model, tokenizer = fitted()
        tasks = tiny.tasks(TESTS, tokenizer)
        run = RLTrainer(settings, model, tokenizer, tasks, [], grading, tmp_path, Processes(0, 1, torch.device("cpu")))
        run.train_step()
        before = {name: weight.detach().clone() for name, weight in run.model.named_parameters()}
        server.kill()
        away = run.train_step()
        assert away["gradebox/engine_error"] == pytest.approx(1 - away["gradebox/no_program"])
        assert away["gradebox/verdict/ENGINE_ERROR"] == away["gradebox/engine_error"]
        if away["gradebox/no_program"] == 0:
            assert away["gradebox/skipped_updates"] == 1
            for name, weight in run.model.named_parameters():
                assert torch.equal(weight, before[name]), name
        server.start()
        back = run.train_step()
    assert back["gradebox/engine_error"] == 0
    assert back["gradebox/skipped_updates"] == 0


def test_what_is_late_is_masked(engine: gradebox.Engine, fitted: Fitted) -> None:
    """A deadline that passes while a program sleeps takes that program's reward, and no other's."""
    late = "import time\ndef f(x):\n    time.sleep(30)\n"
    settings = GradingSettings(timeout_s=4, patience_s=60)
    with Grading(engine, settings, kind="pass_rate", format="plain") as grading:
        scored, _ = grading.collect([grading.submit(a_task(fitted), [GOOD, late])])
    assert scored[0].execution == 1.0
    assert scored[1].execution is None
    assert isinstance(scored[1].error, gradebox.DeadlineExceeded)


def test_what_no_waiting_mends_is_raised(engine: gradebox.Engine, fitted: Fitted) -> None:
    task = tiny.tasks({"add 2\n": [" "]}, fitted()[1])[0]  # no test at all
    with (
        Grading(engine, GradingSettings(), kind="pass_rate", format="plain") as grading,
        pytest.raises(gradebox.InvalidRequest),
    ):
        grading.collect([grading.submit(task, [GOOD])])
