"""Which protections this machine gives: each tried, most by attacking it, none guessed from versions."""

from collections.abc import Iterator

from gradebox_engine.doctor import host
from gradebox_engine.doctor.check import TIERS, Check
from gradebox_engine.doctor.jailed import attacked

__all__ = ["TIERS", "Check", "checks"]


def checks() -> Iterator[Check]:
    """Tries every protection in turn: what the host gives, then attacks in a jail. Never raises, leaves nothing."""
    for trial in host.TRIALS:
        yield trial()
    yield from attacked()
    for trial in host.ADVICE:
        yield trial()
