"""`gradebox serve` as a process that tests start, kill and start again on the same port."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from tests.e2e import footprint
from tests.ports import free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class Server:
    """An engine that listens on `target`; all that it writes is below `folder`, its TMPDIR too.

    It keeps no results unless its environment says so. config: TOML, in `config_file` then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        fronts: int = 1,
        temporary: Path | None = None,
        environment: Mapping[str, str] | None = None,
        config: str = "",
        before_exec: Callable[[], None] | None = None,
    ) -> None:
        self.temporary = temporary or folder / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.log = folder / "log"
        self.pids: list[int] = []  # of every process that served
        own = {"TMPDIR": str(self.temporary), "GRADEBOX_CACHE_BYTES": "0"}
        self._environment = {**os.environ, **own, **(environment or {})}
        self._before_exec = before_exec
        self.target = f"127.0.0.1:{free_port()}"
        self._command = [sys.executable, "-P", "-m", "gradebox_engine", "serve", "--listen", self.target]
        self._command += ["--workers", str(workers), "--fronts", str(fronts)]
        self.config_file = folder / "engine.toml"
        if config:
            self.config_file.write_text(config)
            self._command += ["--config", str(self.config_file)]
        self._workers = workers
        self._fronts = fronts
        self.process: subprocess.Popen[bytes]

    def start(self) -> Self:
        """Starts it; returns once it listens and all its workers are ready."""
        begun = self.said("worker ready"), self.said('"serving"')
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                preexec_fn=self._before_exec,
            )
        self.pids.append(self.process.pid)
        end_s = time.monotonic() + START_TIMEOUT_S
        while self.said("worker ready") < begun[0] + self._workers or self.said('"serving"') < begun[1] + self._fronts:
            if self.process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"the engine does not start: {self.log.read_text()[-4000:]}")
            time.sleep(0.02)
        return self

    def said(self, text: str) -> int:
        """How often a text stands in its log."""
        return self.log.read_text().count(text) if self.log.exists() else 0

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Asks it to end, and waits. Returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)

    def members(self, role: str) -> list[footprint.Process]:
        """Its processes of a role: front (of several), worker, nsjail, forkserver, or program (what is below that)."""
        family = {process.pid: process for process in footprint.family(self.pids[-1:])}
        servers = {p.pid for p in family.values() if p.parent in family and family[p.parent].name == "nsjail"}
        return [
            process
            for process in family.values()
            if process.state != "Z"
            and (
                (role == "front" and "gradebox_engine.server" in process.command)
                or (role == "worker" and "gradebox_engine.worker" in process.command and process.name != "nsjail")
                or (role == "nsjail" and process.name == "nsjail" and process.parent not in servers)
                or (role == "forkserver" and process.pid in servers)
                or (role == "program" and process.parent in servers)
            )
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()


def send(process: footprint.Process, number: int) -> bool:
    """Signals a process, unless it is gone or its pid is another's by now."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_bytes().decode(errors="replace")
        if int(stat[stat.rindex(")") + 2 :].split()[1]) != process.parent:
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


StartServer = Callable[..., Server]
