"""Whether an engine is to be given work."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """reason: one line for people, empty where the engine is ready."""

    ready: bool
    reason: str = ""


def readiness(workers: int, *, ending: bool) -> Readiness:
    """Ready once there is a worker, whose jail is warm then, until the engine is asked to end."""
    if ending:
        return Readiness(False, "the engine is ending")
    return Readiness(True) if workers else Readiness(False, "no worker is ready")
