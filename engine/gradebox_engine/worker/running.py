"""Waits for a process that runs to its end by itself, and takes what it says meanwhile."""

from collections.abc import Callable

from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.worker.session import Cancelled
from gradebox_engine.worker.watch import Fault, Watch

type Take = Callable[[bytes], Fault | None]


def until_exit(process: SandboxedProcess, watch: Watch, cancelled: Callable[[], bool], take: Take) -> Fault | None:
    """Waits until the process has ended (None), or has broken a limit, or `take` finds fault with a message of it.

    Raises Cancelled.
    """
    while True:
        if (fault := _taken(process, take) or watch.exceeded()) is not None:
            return fault
        process.wait(watch.timeout_s(), also=process.pidfd)
        if process.ended():
            while process.wait(0.0) and not process.closed:  # what it said last
                if (fault := _taken(process, take)) is not None:
                    return fault
            return _taken(process, take)
        if cancelled():
            raise Cancelled


def _taken(process: SandboxedProcess, take: Take) -> Fault | None:
    while (payload := process.next_payload()) is not None:
        if (fault := take(payload)) is not None:
            return fault
    return None
