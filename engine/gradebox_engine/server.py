"""The front process: `run_server` serves gRPC until SIGINT, SIGTERM or, embedded, its owner's end.

Theory of operation. One process, one asyncio thread; it runs no program and parses no answer of
one. It starts the worker processes (see pool) and routes between them and the callers. An embedded
engine has a lifeline on stdin: the owner holds the other end of that pipe, and end of file,
however the owner went, ends the engine. A fork of the owner may hold the pipe open, so the engine
also looks whether its parent is still the one that started it.
"""

import asyncio
import contextlib
import io
import logging
import os
import signal
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import TextIO, cast

import grpc
import structlog

from gradebox_engine import tier
from gradebox_engine.cache import Cache, open_cache
from gradebox_engine.config import EngineConfig
from gradebox_engine.convert import limits_to_wire
from gradebox_engine.limits import Limits
from gradebox_engine.pool import Pool
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.service import GradingService
from gradebox_engine.suites import Image
from gradebox_proto.v1 import grading_pb2 as wire

STOP_GRACE_S = 5.0  # for calls under way, when the engine is asked to end
OWNER_CHECK_S = 1.0
_log = structlog.get_logger("server")


def run_server(config: EngineConfig) -> int:
    """Serves until told to end. Returns 0, or 1 when the engine cannot work or cannot listen.

    Raises TierMissing, before anything is started, when the machine gives less than the configuration asks for.
    """
    configure_logging(config.log_level)
    chosen = tier.choose(config.require_tier)
    if chosen.warning:
        _log.warning(chosen.warning)
    try:
        asyncio.run(_serve(config.with_machine(), chosen.tier))
    except RuntimeError as error:  # no worker starts; the address is taken; the cache's file is something else
        _log.error("cannot serve", reason=str(error))
        return 1
    return 0


def configure_logging(level: str) -> None:
    """JSON lines to stderr. What is logged never holds text of programs or tests."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )


class _Stderr(io.TextIOBase):
    """stderr; what cannot be written, since whoever read it is gone, is dropped."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


async def _serve(config: EngineConfig, of_tier: tier.Tier) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if config.embedded:
        os.set_blocking(0, False)
        loop.add_reader(0, _lifeline, stop)
        owner = asyncio.create_task(_watch_owner(stop))

    cache = open_cache(config)
    scheduler = Scheduler(max_programs=config.max_queued_programs, max_bytes=config.max_queued_bytes)
    assert config.workers is not None
    settings = {
        "image": config.image,
        "packages": str(config.packages.absolute()) if config.packages else None,
        "warm_modules": config.warm_modules,
        "ceilings": asdict(config.ceilings),
        "tier": of_tier,
    }
    pool = Pool(scheduler, size=config.workers, config=settings)
    starting = asyncio.create_task(pool.start())
    ended = asyncio.create_task(stop.wait())
    server = None
    try:
        await asyncio.wait({starting, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await starting
            server = await listen(config, scheduler, pool, cache)
            _log.info("serving", listen=config.listen, workers=config.workers, tier=of_tier)
            await stop.wait()
    finally:
        if server is not None:
            await server.stop(0 if config.embedded else STOP_GRACE_S)
        await pool.stop()
        if cache is not None:
            await cache.close()
        if config.embedded and config.listen.startswith("unix:"):
            _remove_socket(config.listen.removeprefix("unix:"))
        for task in (starting, ended, *([owner] if config.embedded else [])):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RuntimeError):
                await task
        _log.info("ended")


async def listen(config: EngineConfig, scheduler: Scheduler, pool: Pool, cache: Cache | None = None) -> grpc.aio.Server:
    """Serves on the configured address, for a pool that has started. Raises RuntimeError."""
    name, _, digest = pool.hello["image"].partition("@")
    image = Image(name, digest)
    info = wire.InfoResponse(
        version=version("gradebox"),
        images=[wire.ImageInfo(name=name, digest=digest, languages=image.languages)],
        ceilings=limits_to_wire(config.ceilings),
        defaults=limits_to_wire(Limits()),
        protections=pool.hello["protections"],
        workers=config.workers,
        max_message_bytes=config.max_message_bytes,
        max_program_bytes=config.max_program_bytes,
    )
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", config.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.so_reuseport", 0),  # a second engine on the same port is a mistake
        ]
    )
    server.add_generic_rpc_handlers((GradingService(config, scheduler, image, info, cache).handlers(),))
    server.add_insecure_port(config.listen)
    await server.start()
    return server


def _remove_socket(path: str) -> None:
    """An owner that was killed cannot remove the folder that it made for the socket."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))


def _lifeline(stop: asyncio.Event) -> None:
    with contextlib.suppress(BlockingIOError):
        if os.read(0, 4096) == b"":
            asyncio.get_running_loop().remove_reader(0)
            stop.set()


async def _watch_owner(stop: asyncio.Event) -> None:
    owner = os.getppid()
    while os.getppid() == owner:
        await asyncio.sleep(OWNER_CHECK_S)
    stop.set()
