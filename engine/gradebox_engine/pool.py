"""The worker processes of an engine and the sockets to them.

Theory of operation. The front process starts `workers` worker processes, each with one end of a
unix socket pair and nothing else but stderr. A worker builds its jail, says hello, and from then on
answers chunks. It ends at end of file on its socket: when the pool closes it, or when the front
dies in any way, since the kernel then closes the front's end. Whoever dies first, nobody is left.

The pool replaces a worker that ends by itself, later and later when new ones keep dying before they
say hello, or cannot even be started (no descriptors, no processes); after START_FAILURES of those in
a row and with no worker left it tells the scheduler to give up on what is queued, and goes on trying.

Frames, both ways: u32 length, little-endian, of what follows; u8 type; payload.
  1  front→worker GradeRequest, worker→front GradeResponse; request_id is the chunk's number
  2  u64 chunk number, then RunRequest or RunResponse
  3  u64 chunk number: give it up (the answer is a last, empty response)
  4  worker→front, once: JSON {"pid", "python", "image", "protections", …}, the jail is warm
  5  worker→front: JSON {"job": chunk number, "message"}, the jail died under it, a new one is being
     made; with null for the job, the worker's last words: why it cannot start, or go on
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import structlog

from gradebox_engine.places import Place, WorkerState, WorkerView
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.work import Chunk, Worker
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

GRADE, RUN, CANCEL, HELLO, FAULT = range(1, 6)
MAX_FRAME_BYTES = 1 << 30
START_FAILURES = 4
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
STATUS_WAIT_S = 0.05
RESPAWN_MIN_S, RESPAWN_MAX_S = 0.05, 5.0
SILENCE_CHECK_S = 1.0

_HEADER = struct.Struct("<IB")
_NUMBER = struct.Struct("<Q")
_log = structlog.get_logger("pool")


class _Connection(asyncio.Protocol):
    """One worker's socket: a WorkerLink for the scheduler, frames for the worker."""

    def __init__(self, pool: "Pool", process: "subprocess.Popen[bytes]") -> None:
        self._pool = pool
        self._scheduler = pool.scheduler
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._start_timer: asyncio.TimerHandle | None = None
        self.process = process
        self.pid = process.pid
        self.worker: Worker | None = None
        self.hello: dict[str, Any] | None = None
        self.reason = ""
        self.is_replacing = False  # its jail: it has begun nothing since it said so
        self.jails_replaced = 0
        self.graded = 0
        self.lost = asyncio.Event()

    # --- asyncio.Protocol -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=1 << 30)  # the scheduler bounds what is under way
        loop = asyncio.get_running_loop()
        self._start_timer = loop.call_later(START_TIMEOUT_S, self.kill, "did not start in time")

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start, end = 0, len(buffer)
        while end - start >= _HEADER.size:
            length, kind = _HEADER.unpack_from(buffer, start)
            if length > MAX_FRAME_BYTES:
                self.kill(f"sent a frame of {length} bytes")
                return
            if end - start < 4 + length:
                break
            payload = bytes(memoryview(buffer)[start + _HEADER.size : start + 4 + length])
            start += 4 + length
            self._frame(kind, payload)
        del buffer[:start]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._start_timer is not None:
            self._start_timer.cancel()
        self.lost.set()

    # --- WorkerLink -----------------------------------------------------------------------------

    def send(self, chunk: Chunk, with_suite: bool) -> None:
        job = chunk.job
        if job.run:
            self._send(RUN, _NUMBER.pack(chunk.number) + chunk.programs[chunk.first_index])
            return
        request = routed.RoutedGradeRequest(
            request_id=str(chunk.number),
            programs=chunk.programs.values(),
            stop_early=job.stop_early,
            first_index=chunk.first_index,
        )
        if with_suite:
            request.suite = job.suite.data
        else:
            request.suite_sha256 = job.suite.key
        self._send(GRADE, request.SerializeToString())

    def cancel(self, number: int) -> None:
        self._send(CANCEL, _NUMBER.pack(number))

    def kill(self, reason: str) -> None:
        self.reason = self.reason or reason
        self.process.kill()

    # --- AtWork ---------------------------------------------------------------------------------

    @property
    def state(self) -> WorkerState:
        if self.worker is None:
            return "starting"
        if self.is_replacing:
            return "new jail"
        return "busy" if self.worker.chunks else "idle"

    @property
    def programs(self) -> int:
        return sum(len(chunk.programs) for chunk in self.worker.chunks) if self.worker is not None else 0

    # --- inside ---------------------------------------------------------------------------------

    def why(self) -> str:
        """Why the worker is gone; for one whose socket is closed."""
        if not self.reason:
            try:
                self.reason = "the worker " + _ending(self.process.wait(STATUS_WAIT_S))
            except subprocess.TimeoutExpired:
                self.reason = "the worker died"
        return self.reason

    def close(self) -> None:
        """Ends the worker by end of file."""
        if self._transport is not None:
            self._transport.close()

    def _send(self, kind: int, payload: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines((_HEADER.pack(len(payload) + 1, kind), payload))

    def _frame(self, kind: int, payload: bytes) -> None:
        if self.worker is None:
            if kind == HELLO and not self.lost.is_set():
                self._hello(payload)
            elif kind == FAULT:
                self.reason = self.reason or json.loads(payload)["message"]
            return
        match kind:
            case 1:  # GRADE
                self._graded(routed.RoutedGradeResponse.FromString(payload))
            case 2:  # RUN
                self.is_replacing = False
                number = _NUMBER.unpack_from(payload)[0]
                results = [(0, False, payload[_NUMBER.size :])]
                self._scheduler.on_results(self.worker, number, results, True)
            case 5:  # FAULT
                fault = json.loads(payload)
                if fault["job"] is None:
                    self.reason = self.reason or fault["message"]
                    return
                _log.warning("jail died", pid=self.process.pid, reason=fault["message"])
                self.is_replacing = True
                self.jails_replaced += 1
                self._scheduler.on_fault(self.worker, fault["job"], fault["message"])

    def _hello(self, payload: bytes) -> None:
        if self._start_timer is not None:
            self._start_timer.cancel()
        self.hello = json.loads(payload)
        self._pool.on_hello(self)
        self.worker = self._scheduler.add_worker(self)

    def _graded(self, response: routed.RoutedGradeResponse) -> None:
        assert self.worker is not None
        self.is_replacing = False
        self.graded += len(response.results)
        number = int(response.request_id)
        results = []
        for data in response.results:
            head = routed.ResultHead.FromString(data)
            results.append((head.index, head.verdict == wire.ENGINE_ERROR, data))
        self._scheduler.on_results(self.worker, number, results, response.done)


def _ending(status: int) -> str:
    """A process's end in words, from `Popen.wait`'s status."""
    if status >= 0:
        return f"ended with status {status}"
    out_of_memory = "; perhaps the machine is out of memory" if -status == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-status).name}{out_of_memory}"


class Pool:
    """Keeps `size` workers running, numbered from `first_index` on.

    `command` starts one; `--fd N` and the rest are added to it.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        size: int,
        first_index: int = 0,
        config: dict[str, Any],
        command: Sequence[str] = (sys.executable, "-P", "-m", "gradebox_engine.worker"),
    ) -> None:
        self.scheduler = scheduler
        self.hello: dict[str, Any] = {}
        self._places = {place: Place(place + 1) for place in range(first_index, first_index + size)}
        self._config = config
        self._command = tuple(command)
        self._tasks: list[asyncio.Task[None]] = []
        self._connections: dict[int, _Connection] = {}
        self._ready = asyncio.Event()
        self._failures = 0
        self._reason = ""
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Starts the workers and waits for the first to be ready.

        Raises RuntimeError when none can be started.
        """
        self._tasks = [asyncio.create_task(self._keep(place)) for place in self._places]
        self._tasks.append(asyncio.create_task(self._watch()))
        await self._ready.wait()
        if not self.scheduler.workers:
            raise RuntimeError(f"no worker could be started: {self._reason}")

    async def stop(self) -> None:
        """Ends all workers and waits for them."""
        self._stopping.set()
        for connection in self._connections.values():
            connection.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def view(self) -> list[WorkerView]:
        """Its workers as they are now."""
        return [place.view() for place in self._places.values()]

    def on_hello(self, connection: _Connection) -> None:
        """A worker is ready."""
        assert connection.hello is not None
        self.hello = connection.hello
        self._failures = 0
        self._ready.set()
        _log.info("worker ready", pid=connection.process.pid)

    async def _keep(self, place: int) -> None:
        """Runs one worker after the other in a place of the pool."""
        while not self._stopping.is_set():
            try:
                connection = await self._spawn(place)
            except OSError as error:
                _log.error("no worker can be started", reason=str(error))
                await self._after_failure(str(error))
                continue
            await connection.lost.wait()
            if connection.worker is not None and not self._stopping.is_set():
                reason = connection.why()
                self.scheduler.remove_worker(connection.worker, None if connection.is_replacing else reason)
            status = await self._end(connection.process)
            del self._connections[place]
            self._places[place].ends()
            if self._stopping.is_set():
                return
            _log.error("worker ended", pid=connection.process.pid, status=status, reason=connection.why())
            if connection.worker is None:
                await self._after_failure(connection.why())

    async def _spawn(self, place: int) -> _Connection:
        """Starts a worker. Raises OSError."""
        ours, theirs = socket.socketpair()
        config = json.dumps({**self._config, "index": place})
        # Programs choose the texts that a worker hashes: nobody else may choose, or know, how it does.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
        with theirs:
            arguments = ["--fd", str(theirs.fileno()), "--config-json", config]
            try:
                process = subprocess.Popen(
                    [*self._command, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        connection = self._connections[place] = _Connection(self, process)
        self._places[place].begins(connection)
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, sock=ours)
        return connection

    async def _end(self, process: "subprocess.Popen[bytes]") -> int:
        """Waits for a worker whose socket is closed; kills it when that takes too long."""
        for _ in range(int(STOP_TIMEOUT_S / 0.02)):
            if (status := process.poll()) is not None:
                return status
            await asyncio.sleep(0.02)
        process.kill()
        return await asyncio.to_thread(process.wait)

    async def _after_failure(self, reason: str) -> None:
        """A worker could not be started: waits, longer each time."""
        self._failures += 1
        self._reason = reason
        if self._failures >= START_FAILURES:
            self.scheduler.give_up(f"no worker can be started: {reason}")
            self._ready.set()
        delay_s = min(RESPAWN_MAX_S, RESPAWN_MIN_S * 2**self._failures)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            self.scheduler.check_silence()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), SILENCE_CHECK_S)
