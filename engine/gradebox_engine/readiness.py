"""Whether an engine is to be given work."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """reason: one line for people, empty where the engine is ready."""

    ready: bool
    reason: str = ""


def readiness(workers: int, *, ending: bool, unhealthy: str | None) -> Readiness:
    """Ready from the first canary that was graded on, as the health service says, until the engine is asked to end.

    unhealthy: why the health service says that it is not serving; None when it is.
    """
    if ending:
        return Readiness(False, "the engine is ending")
    if not workers:
        return Readiness(False, "no worker is ready")
    return Readiness(unhealthy is None, unhealthy or "")
