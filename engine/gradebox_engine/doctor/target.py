"""What the attacks are run on: a started jail, programs in it, and a look at their processes from outside."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradebox_engine.doctor.check import Missing
from gradebox_engine.jail.launch import Jail
from gradebox_engine.jail.process import SandboxedProcess
from gradebox_engine.limits import Limits
from gradebox_engine.worker import stdio
from gradebox_engine.worker.programs import python_program
from gradebox_engine.worker.watch import OomWatch

TRY = """
def attempt(what, action):
    try:
        found = action()
    except (OSError, ValueError):
        return
    print("got", what, found if isinstance(found, (int, str)) else "")
"""
LIMITS = Limits(cpu_time_s=10, wall_time_s=60, memory_bytes=128 << 20, disk_bytes=4 << 20)


@dataclass(frozen=True)
class Process:
    """A process as the host sees it."""

    pid: int

    def read(self, name: str) -> str:
        """A file of /proc/PID."""
        return Path(f"/proc/{self.pid}/{name}").read_text()

    def status(self, name: str) -> str:
        """A field of its status, such as "CapEff"."""
        for line in self.read("status").splitlines():
            if line.startswith(f"{name}:"):
                return line.partition(":")[2].strip()
        raise Missing(f"/proc does not tell of {name}")

    def namespace(self, kind: str) -> str:
        """Its namespace of this kind, as the kernel names it."""
        return os.readlink(f"/proc/{self.pid}/ns/{kind}")

    @property
    def uid(self) -> int:
        """Its real uid, as this process counts uids."""
        return int(self.status("Uid").split()[0])


class Target:
    """A started jail."""

    def __init__(self, jail: Jail) -> None:
        self.jail = jail

    def run(self, source: str, **limits: Any) -> stdio.Ran:
        """Runs a program in a sandbox of its own."""
        oom = OomWatch(self.jail)
        return stdio.run(self.jail, python_program(source.encode()), b"", replace(LIMITS, **limits), oom, lambda: False)

    def says(self, source: str, **limits: Any) -> str:
        """What a program printed. Raises Missing when it did not end well."""
        ran = self.run(source, **limits)
        if ran.fault is not None:
            raise Missing(f"the attack itself failed: {ran.fault.message}")
        return ran.stdout.decode(errors="replace").strip()

    def refused(self, source: str, **limits: Any) -> str:
        """Runs a program that tries things, and prints "got …" for every one that it should not have been able to do.

        Raises Missing with what it got.
        """
        said = self.says(source, **limits)
        got = [line for line in said.splitlines() if line.startswith("got ")]
        if got:
            raise Missing("; ".join(got)[:300])
        return said

    @contextmanager
    def standing(self) -> Iterator[tuple[Process, Process]]:
        """A sandboxed process that waits for its program, and the fork server that made it."""
        with SandboxedProcess.start(self.jail, LIMITS) as started:
            process = Process(started.host_pid)
            yield process, Process(int(process.status("PPid")))

    def apart(self, kind: str) -> None:
        """Raises Missing when a program shares its namespace of this kind with the host."""
        with self.standing() as (process, _):
            if process.namespace(kind) == Process(os.getpid()).namespace(kind):
                raise Missing(f"programs share the host's {kind} namespace")
