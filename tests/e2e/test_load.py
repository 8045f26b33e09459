"""Verdicts do not depend on load: a few submissions of each kind, with four endless loops a core beside the engine."""

import os
from pathlib import Path

import pytest
from tests.e2e import load, truth
from tests.waiting import wait_until

import gradebox
from gradebox_engine.worker.queued import Queued

pytestmark = pytest.mark.alone

LOOPS = load.BUSY_A_CORE * (os.cpu_count() or 1)
EVERY = {"humaneval_mixed": 100, "mbpp_mixed": 100, "gentests_gpt35_on_mixed": 150, "apps_coderl": 8}


def test_delicate_programs(engine: gradebox.Engine) -> None:
    with load.busy(LOOPS):
        assert not load.delicate_deviations(engine, rounds=1)


def test_labelled_data(engine: gradebox.Engine, repository: Path) -> None:
    folder = repository.parent / "shared" / "data"
    if not (folder / "truth").is_dir():
        pytest.skip("no ../shared/data beside the repository")
    makers = truth.groups(truth.Data(folder))
    chosen = [s for group, every in EVERY.items() for s in list(makers[group]())[::every] if not s.slow]
    idle = truth.grade(engine, chosen)
    with load.busy(LOOPS):
        assert not load.compared(chosen, idle, truth.grade(engine, chosen))


def test_waiting_for_a_processor_is_seen_in_threads_and_descendants() -> None:
    """Twice as many endless loops as cores, below one process that only waits: someone always stands in the queue."""
    source = (
        "import os\nfor _ in range(2 * os.cpu_count()):\n    if os.fork() == 0:\n        while True: pass\nos.wait()\n"
    )
    with load.running(source) as process:
        queued = Queued(process.pid)
        assert wait_until(lambda: queued.look() > 0.3)
        before_s = queued.queued_s
        queued.restart()
        assert queued.look() < before_s
