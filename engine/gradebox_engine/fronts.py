"""Several fronts on one port: which workers each has, and the supervisor that keeps them running.

Theory of operation. One front can route a few thousand gradings a second; for machines with more than
that there are several, and the process that the user started becomes their supervisor. It opens no
gRPC, reads no request, and has one asyncio thread. Each front is a process of its own, a `server` with
its share of the workers, of the queue and of the memory for results (the file for them, if there is
one, is the same for all), and listens on the same port with SO_REUSEPORT: the kernel gives every new
connection to one of them.

- The port: SO_REUSEPORT lets in every process of the same user, and a second engine on a port is a
  mistake. So the supervisor binds it first, and alone (see `Claim`). It never listens, so no connection
  ever reaches it, and the port is its own also while a front is being replaced.
- Lifelines: a front's stdin is one end of a socket pair. The supervisor holds the other; end of file,
  however the supervisor went, ends the front, and with it its workers and their jails. The front says
  on it when it serves, and how it fares (see reporting). It also looks whether its parent is still the same.
- HTTP, where it is asked for, is served here, of what the fronts say of themselves.
- SIGHUP is passed on: each front reads the tenants again.
- Ends: SIGTERM and SIGINT are passed on; fronts finish the calls under way as a single one does. One
  that takes too long is killed, and its workers see end of file.
- Faults: a front that ends by itself is replaced, later and later as long as new ones end before they
  serve. If one does so before any front has served, the engine cannot work, and ends with status 1.
"""

import asyncio
import contextlib
import errno
import json
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from typing import Self

import structlog

from gradebox_engine.config import EngineConfig
from gradebox_engine.overview import Overview
from gradebox_engine.recent import Recent
from gradebox_engine.reporting import MAX_LINE_BYTES, SERVES
from gradebox_engine.snapshot import from_line
from gradebox_engine.tier import Tier

STOP_TIMEOUT_S = 15.0  # for a front to end its workers, beyond the time for calls under way
_WILDCARDS = ("", "0.0.0.0", "[::]")  # for each of them, gRPC listens on IPv4 and IPv6
LAST_WORDS_S = 1.0  # for what a front that has ended still had to say
RESTART_MIN_S, RESTART_MAX_S = 0.1, 5.0
_log = structlog.get_logger("fronts")


@dataclass(frozen=True)
class Share:
    """What one front has of the engine: `workers` of its workers, numbered from `first_worker` on."""

    number: int  # from 1 on
    fronts: int
    first_worker: int
    workers: int


def shares(workers: int, fronts: int) -> list[Share]:
    """Workers dealt out evenly; `fronts` is at most `workers`."""
    each, more = divmod(workers, fronts)
    counts = [each + (place < more) for place in range(fronts)]
    return [Share(place + 1, fronts, sum(counts[:place]), count) for place, count in enumerate(counts)]


class Claim:
    """A port that is ours and that only sockets with SO_REUSEPORT of our own user can share.

    Bound without SO_REUSEPORT, which fails if anybody has the port, and with SO_REUSEADDR, since
    connections of an engine before us may linger. Once bound it is the other way round, so that our fronts
    can share it, and another engine that binds in the same way cannot.
    """

    def __init__(self, listen: str) -> None:
        """Raises RuntimeError when the address is taken or makes no sense."""
        host, _, port = listen.rpartition(":")
        name = None if host in _WILDCARDS else host.strip("[]")
        self._sockets: list[socket.socket] = []
        failures = []
        try:
            found = socket.getaddrinfo(name, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, address in found:
                try:
                    self._bind(family, kind, protocol, (*address[:1], int(port), *address[2:]))
                except OSError as error:
                    failures.append(error)
                port = str(self._sockets[0].getsockname()[1]) if self._sockets else port
        except (OSError, OverflowError) as error:
            raise RuntimeError(f"cannot listen on {listen}: {error}") from None
        taken = next((error for error in failures if error.errno == errno.EADDRINUSE), None)
        if taken is not None or not self._sockets:
            self.close()
            raise RuntimeError(f"cannot listen on {listen}: {(taken or failures[0]).strerror}")
        self.address = f"{host}:{port}"  # with the kernel's choice for port 0

    def _bind(self, family: int, kind: int, protocol: int, address: tuple[str | int, ...]) -> None:
        claim = socket.socket(family, kind, protocol)
        try:
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                claim.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has a socket of its own
            claim.bind(address)
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except BaseException:
            claim.close()
            raise
        self._sockets.append(claim)

    def close(self) -> None:
        """Gives the port back."""
        for claim in self._sockets:
            claim.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def supervise(config: EngineConfig, tier: Tier, recent: Recent) -> int:
    """Runs the fronts of a configuration that is complete, until SIGINT or SIGTERM.

    Returns 0, or 1 when a front had to be killed. Raises RuntimeError when the engine cannot work.
    """
    with Claim(config.listen) as claim:
        return asyncio.run(_Supervisor(config.model_copy(update={"listen": claim.address}), tier, recent).run())


class _Supervisor:
    """The fronts' processes."""

    def __init__(self, config: EngineConfig, tier: Tier, recent: Recent) -> None:
        assert config.fronts is not None
        self._config = config
        self._overview = Overview(config.fronts, recent)
        self._tier = tier
        self._stopping = asyncio.Event()
        self._has_served = False
        self._was_killed = False
        self._processes: set[asyncio.subprocess.Process] = set()

    async def run(self) -> int:
        """See supervise."""
        if self._config.http is None:
            return await self._run_fronts()
        from gradebox_engine.http.server import bind, serve_http  # dear, and for those alone who ask for it

        async with serve_http(bind(self._config.http), self._overview):
            return await self._run_fronts()

    async def _run_fronts(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        if self._config.config_file is not None:
            loop.add_signal_handler(signal.SIGHUP, self._tell_all, signal.SIGHUP)
        assert self._config.workers is not None and self._config.fronts is not None
        keepers = [
            asyncio.create_task(self._keep(share)) for share in shares(self._config.workers, self._config.fronts)
        ]
        try:
            await asyncio.gather(*keepers)
        finally:
            self._stopping.set()
            await asyncio.wait(keepers)
        _log.info("all fronts ended")
        return 1 if self._was_killed else 0

    def _stop(self, number: signal.Signals) -> None:
        if self._stopping.is_set():
            self._tell_all(number)  # the second time: they are to hurry
        self._stopping.set()

    def _tell_all(self, number: signal.Signals) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, share: Share) -> None:
        """Runs one front after the other. Raises RuntimeError when the engine cannot work."""
        failures = 0
        while not self._stopping.is_set():
            status, served = await self._run(share)
            if self._stopping.is_set():
                return
            if not self._has_served:
                raise RuntimeError(f"front {share.number} ended with status {status} before it served")
            _log.error("front ended", front=share.number, status=status)
            failures = 1 if served else failures + 1
            await self._stops_within(min(RESTART_MAX_S, RESTART_MIN_S * 2**failures))

    async def _run(self, share: Share) -> tuple[int, bool]:
        """One front, from its start to its end: its exit status, and whether it has served."""
        writer = None
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                reader, writer = await asyncio.open_connection(sock=ours, limit=MAX_LINE_BYTES)
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "gradebox_engine.server"),
                    *(self._config.model_dump_json(), self._tier, json.dumps(asdict(share))),
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                )
        except OSError as error:
            if writer is not None:
                writer.close()
            _log.error("no front can be started", front=share.number, reason=str(error))
            return 1, False
        self._processes.add(process)
        ended = asyncio.create_task(process.wait())
        serves = asyncio.Event()
        hearing = asyncio.create_task(self._hear(reader, serves))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await self._end(process, ended)
            status = await ended
            await asyncio.wait({hearing}, timeout=LAST_WORDS_S)
            return status, serves.is_set()
        finally:
            for task in (hearing, stopping):
                task.cancel()
            self._processes.discard(process)
            writer.close()
            self._overview.lost(share.number)

    async def _hear(self, reader: asyncio.StreamReader, serves: asyncio.Event) -> None:
        """What a front says, until it is gone."""
        try:
            while (line := await reader.readline()).endswith(b"\n"):
                if line == SERVES:
                    serves.set()
                    self._has_served = True
                else:
                    await self._overview.update(from_line(line))
        except OSError:
            pass
        except ValueError as error:
            _log.error("a front says what cannot be read", reason=str(error)[:300])

    async def _end(self, process: asyncio.subprocess.Process, ended: "asyncio.Task[int]") -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        done, _ = await asyncio.wait({ended}, timeout=self._config.drain_s + STOP_TIMEOUT_S)
        if not done:
            self._was_killed = True
            _log.error("a front had to be killed", pid=process.pid)
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def _stops_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
