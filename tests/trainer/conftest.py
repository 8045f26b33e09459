"""The trainer's tests run where torch and TRL are (`make test-trainer`); nothing asks the network for anything."""

import os

import pytest

for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "WANDB_DISABLED"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small tensors: more threads only get in each other's way, and sums differ with their number."""
    import torch

    torch.set_num_threads(1)
