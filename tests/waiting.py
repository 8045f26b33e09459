"""Waiting for what a test has caused, as long as it needs."""

import time
from collections.abc import Callable

import psutil


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> bool:
    """Whether it comes to hold in that time; that it held once counts, though it may not hold any more."""
    end_s = time.monotonic() + timeout_s
    while not (holds := condition()) and time.monotonic() < end_s:
        time.sleep(0.05)
    return bool(holds)


def has_ended(process: psutil.Process) -> bool:
    """Whether it has ended: one that the machine's process 1 has yet to take note of (a zombie) has."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
