"""An attack on one layer, tried twice: with all others off that could stop it, and with that layer off, too."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.sandbox.partial import PRELUDE, PartialJail, without

from gradebox_engine.judge.suite import Verdict
from gradebox_engine.worker.stdio import Ran

STOPPED, THROUGH = b"stopped\n", b"through\n"


@dataclass(frozen=True)
class Attack:
    """`program` prints "through" when it works. With the layers in `others` off it must not, thanks to `layer`.

    first: a program that runs before it, in the same jail, and leaves something. `$name` in both: see `Host`.
    killed: it is no error that stops it, but this verdict.
    """

    layer: str
    name: str
    program: str
    others: frozenset[str] = frozenset()
    first: str = ""
    limits: dict[str, Any] = field(default_factory=dict)
    killed: Verdict | None = None


def says(expression: str, before: str = "") -> str:
    """A program that says whether an expression is true."""
    return f"{PRELUDE}\n{before}\nprint('through' if {expression} else 'stopped')\n"


def identity(attack: Attack) -> str:
    """The attack's name in pytest's report."""
    return f"{attack.layer}: {attack.name}"


@dataclass(frozen=True)
class Host:
    """What stands on the host to be reached: names for the programs, and the folder bound at /opt/extra."""

    names: dict[str, Any]
    extra: Path

    def expand(self, text: str) -> str:
        """Fills in the names: `$port` and so on."""
        return re.sub(r"\$(\w+)", lambda match: str(self.names[match[1]]), text)

    def run(self, attack: Attack, off: frozenset[str]) -> Ran:
        """Runs the attack in a jail of its own without the layers in `off`."""
        with without(*off, binds=((self.extra, "/opt/extra"),)) as jail:
            self._set_uid_file(jail)
            if attack.first:
                first = jail.run(self.expand(attack.first), **attack.limits)
                assert first.stdout == b"done\n", first
            return jail.run(self.expand(attack.program), **attack.limits)

    def _set_uid_file(self, jail: PartialJail) -> None:
        """Makes /opt/extra/id belong to the jail's root, whichever id of the host that is, with the set-uid bit."""
        owner = jail.root_uid
        program = self.extra / "id"
        if program.stat().st_uid != owner:
            os.chown(program, owner, owner)
        program.chmod(0o4755)


def check(attack: Attack, host: Host) -> None:
    """Shows that the layer alone stops the attack, and that without it the attack works."""
    stopped = host.run(attack, attack.others)
    if attack.killed is None:
        assert stopped.stdout == STOPPED, stopped
    else:
        assert stopped.stdout == b"", stopped
        assert stopped.fault is not None and stopped.fault.verdict is attack.killed, stopped
    control = host.run(attack, attack.others | {attack.layer})
    assert control.stdout == THROUGH, ("the control: without the layer, the attack should have worked", control)
