"""The child in which the doctor attacks a jail: `python -m gradebox_engine.doctor`, see jailed.py."""

import functools
import json
import os
import sys
from dataclasses import asdict

from gradebox_engine import images
from gradebox_engine.doctor.attacks import ATTACKS
from gradebox_engine.doctor.check import tried
from gradebox_engine.doctor.target import Target
from gradebox_engine.jail import cgroup, rootfs, rootless
from gradebox_engine.jail.launch import Jail


def main() -> int:
    """The child. Returns its exit status."""
    try:
        if os.geteuid() != 0:
            rootless.enter()
        rootfs.enter_private_mounts()
        jail = Jail(images.host_python(), 0, with_cgroup=cgroup.missing() is None)
        jail.start()
    except Exception as error:
        print(" ".join(f"{type(error).__name__}: {error}".split()), file=sys.stderr)
        return 1
    try:
        target = Target(jail)
        for attack in ATTACKS:
            trial = functools.partial(attack.run, target)
            check = tried(attack.name, attack.tier, attack.tested, trial, attack.mend)
            print(json.dumps(asdict(check)), flush=True)
    finally:
        jail.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
