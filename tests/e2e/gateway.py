"""`gradebox gateway` as a process, and requests to it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.ports import free_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0


class Gateway:
    """A gateway on `url`, in front of these engines, or of an embedded one."""

    def __init__(
        self, folder: Path, engines: Sequence[str] = (), *more: str, environment: dict[str, str] | None = None
    ):
        self.log = folder / "gateway-log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-P", "-m", "gradebox_engine", "gateway", "--listen", f"127.0.0.1:{self.port}"]
        command += [word for engine in engines for word in ("--engine", engine)]
        clean = {name: value for name, value in os.environ.items() if name not in ("GRADEBOX_ENGINE", "GRADEBOX_TOKEN")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean
            )
        end_s = time.monotonic() + START_TIMEOUT_S
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > end_s:
                raise RuntimeError(f"the gateway does not start: {self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ask(self, path: str, body: Any = None, *, token: str | None = None, timeout_s: float = 60.0) -> tuple[int, Any]:
        """The status and the JSON of one request; a POST where there is a body (JSON, or bytes as they are)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            headers = {"authorization": f"Bearer {token}"} if token else {}
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request("GET" if data is None else "POST", path, data, headers)
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in b'[{"' else text.decode()
        finally:
            connection.close()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
