"""How much of its protection an engine has: tiers, each tried before the engine starts, never taken silently.

`full` is everything. `rootless` is the same jails without a control group: memory and CPU time of a jail are looked
after by its worker (see `jail.tree`), tasks by RLIMIT_NPROC. Which one an engine has depends on the control group
alone: an ordinary user to whom one was delegated has `full`, and root without one has not.
"""

import os
from dataclasses import dataclass
from typing import Literal

from gradebox_engine.jail import cgroup, rootless

Tier = Literal["full", "rootless"]
TIERS: tuple[Tier, ...] = ("rootless", "full")  # from the weaker on

MEND_AS_USER = "systemd-run --user --scope -p Delegate=yes gradebox serve, or run as root"
MEND_AS_ROOT = "mount -o remount,rw /sys/fs/cgroup; in docker: --privileged"


class TierMissing(RuntimeError):
    """The machine gives less than was asked for; the text, of one line, says what is missing and what mends it."""


@dataclass(frozen=True)
class Chosen:
    """The tier that an engine runs in. warning: one line for the log, empty when there is nothing to warn of."""

    tier: Tier
    warning: str = ""


def choose(required: Tier | None) -> Chosen:
    """Tries what this process can have. Makes, and removes, a control group and, as an ordinary user, namespaces.

    required: the weakest tier to accept. None accepts `rootless` from an ordinary user, but not from root, who would
    have the control group unless something is wrong. Raises TierMissing.
    """
    as_root = os.geteuid() == 0
    if not as_root:
        try:
            rootless.try_out()
        except rootless.RootlessError as error:
            raise TierMissing(f"no jail can be made: {error}") from None
    missing = cgroup.missing()
    if missing is None:
        return Chosen("full")
    mend = MEND_AS_ROOT if as_root else MEND_AS_USER
    if required == "full":
        raise TierMissing(f"tier full is required, and there is {missing}; mend it: {mend}")
    if required is None and as_root:
        raise TierMissing(f"there is {missing}; mend it: {mend}; or do without it: --require-tier rootless")
    return Chosen("rootless", f"tier rootless: there is {missing}; for tier full: {mend}")
