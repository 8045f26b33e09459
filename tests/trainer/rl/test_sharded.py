"""Two processes with sharded weights (FSDP2, gloo) make the update that one process makes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.trainer.rl import sharded_update

from gradebox_trainer.training.checkpoint import load_state
from gradebox_trainer.training.distributed import Processes


@pytest.mark.parametrize("estimator", ["reinforce++", "grpo"])
def test_two_processes_do_what_one_does(tmp_path: Path, repository: Path, estimator: str) -> None:
    sharded_update.update(estimator, Processes(0, 1, torch.device("cpu")), tmp_path / "one")
    script = repository / "tests/trainer/rl/sharded_update.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, str(script), str(tmp_path / "two"), estimator],
        capture_output=True,
        text=True,
        env=environment,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    one, two = (load_state(tmp_path / name) for name in ("one", "two"))
    assert one["weights"].keys() == two["weights"].keys()
    for name, weight in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], weight, atol=2e-5, rtol=1e-3)
