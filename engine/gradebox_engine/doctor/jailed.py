"""Attacks on a real jail, one a protection, in a child process that is a worker in all but its work.

Theory of operation. `attacked` starts `python -m gradebox_engine.doctor` (__main__.py). That child enters namespaces
and starts a jail as a worker does, then runs the attacks (attacks.py) and prints one line of JSON a check. A check that
the child did not come to, for whatever reason, is not ok: its line says why there is no jail.
"""

import json
import subprocess
import sys
from collections.abc import Iterator

from gradebox_engine.doctor.attacks import ATTACKS
from gradebox_engine.doctor.check import Check

_TIMEOUT_S = 180.0


def attacked() -> Iterator[Check]:
    """The checks of all attacks, in their order. Never raises."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "gradebox_engine.doctor"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        lines, said = done.stdout.splitlines(), done.stderr.strip().splitlines()
        why = said[-1] if said else f"the child ended with status {done.returncode}"
    except (OSError, subprocess.SubprocessError) as error:
        lines, why = [], str(error)
    found = {check.name: check for check in (Check(**json.loads(line)) for line in lines if line.startswith("{"))}
    for attack in ATTACKS:
        missing = Check(attack.name, False, attack.tier, attack.tested, f"no jail: {why}", "mend what is missing above")
        yield found.get(attack.name, missing)
