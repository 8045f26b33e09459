"""What a check of the doctor says, and how one is made of a trial."""

from collections.abc import Callable
from dataclasses import dataclass

# From the weakest on; each asks for all that stands before it. `rootless` and `full` are what an engine runs in,
# `hardened` adds settings of the host that close what no jail can, or that keep figures steady.
TIERS = ("rootless", "full", "hardened")


@dataclass(frozen=True, slots=True)
class Check:
    """One protection: whether this machine gives it, how that was tried, and what mends it.

    `found` is what the trial showed; `mend` is a command or an advice, empty when `ok`.
    """

    name: str
    ok: bool
    tier: str
    tested: str
    found: str
    mend: str = ""


class Missing(Exception):
    """A trial that did not succeed; the message is what it showed."""


def tried(name: str, tier: str, tested: str, trial: Callable[[], str], mend: str) -> Check:
    """The check that comes of a trial. Never raises: a trial that cannot even run shows no protection.

    trial: gives what it found. Raises Missing.
    """
    try:
        return Check(name, True, tier, tested, trial())
    except Missing as missing:
        found = str(missing)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    return Check(name, False, tier, tested, found, mend)
