"""The front process: serves gRPC until SIGINT, SIGTERM or, where it has an owner, the owner's end.

Theory of operation. One process, one asyncio thread; it runs no program and parses no answer of
one. It starts the worker processes (see pool) and routes between them and the callers. An embedded
engine, and one of several fronts (see fronts; started as `python -m gradebox_engine.server CONFIG
TIER SHARE`), has a lifeline on stdin: the owner holds the other end, and end of file, however the
owner went, ends the engine. A fork of the owner may hold it open, so the engine also looks whether
its parent is still the one that started it.

The end, on SIGINT or SIGTERM: the health service says NOT_SERVING, no new call is taken, and the calls under way have
`drain_s` to come to their end; what is not answered by then is handed back as UNAVAILABLE, which clients ask for again,
here or elsewhere. A second signal cuts the wait short. SIGHUP reads the tenants again, where there is a file with them.
"""

import asyncio
import contextlib
import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn, cast

import grpc
import structlog

from gradebox_engine import fronts, tier
from gradebox_engine.cache import Cache, check_cache, open_cache
from gradebox_engine.calls import CallObserver
from gradebox_engine.config import EngineConfig
from gradebox_engine.convert import limits_to_wire
from gradebox_engine.fronts import Share
from gradebox_engine.images.catalog import Offered, known, offered
from gradebox_engine.images.manifest import InvalidManifest
from gradebox_engine.images.recipe import recipes_folder
from gradebox_engine.images.store import Store
from gradebox_engine.limits import Limits
from gradebox_engine.logs import configure_logging
from gradebox_engine.metrics import Meter
from gradebox_engine.pool import Pool
from gradebox_engine.readiness import Readiness, readiness
from gradebox_engine.recent import Recent
from gradebox_engine.reporting import SERVES, Lifeline, View
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.service import GradingService
from gradebox_engine.suites import Image, Images, offered_image
from gradebox_engine.tenants import Tenants
from gradebox_engine.tls import server_credentials
from gradebox_engine.tracing import Tracing, open_tracing
from gradebox_proto.v1 import grading_pb2 as wire

if TYPE_CHECKING:
    from gradebox_engine.health import Health

LAST_WORDS_S = 1.0  # for what was handed back to reach its callers
# When its owner is gone, or going. Not 0: gRPC would tell a client that is just closing its connection of an
# error, and the client's gRPC writes that to stderr.
OWNED_STOP_GRACE_S = 0.5
OWNER_CHECK_S = 1.0
_log = structlog.get_logger("server")


def run_server(config: EngineConfig) -> int:
    """Serves until told to end. Returns 0, or 1 when the engine cannot work or cannot listen.

    Raises TierMissing, before anything is started, when the machine gives less than the configuration asks for.
    """
    recent = configure_logging(config.log_level)
    chosen = tier.choose(config.require_tier)
    if chosen.warning:
        _log.warning(chosen.warning)
    config = config.with_machine()
    assert config.workers is not None and config.fronts is not None
    try:
        offered(Store(config.image_store), config.images, check=not config.embedded)
        if config.fronts > 1:
            check_cache(config)
            server_credentials(config)
            return fronts.supervise(config, chosen.tier, recent)
        asyncio.run(_serve(config, chosen.tier, Share(1, 1, 0, config.workers), recent))
    except (RuntimeError, InvalidManifest) as error:
        # No worker starts; the address is taken; the cache's file is something else; an image was changed.
        _log.error("cannot serve", reason=str(error))
        return 1
    return 0


def main() -> int:
    """Runs one of several fronts. Returns 0, or 1 when it cannot work or cannot listen."""
    config_json, of_tier, share_json = sys.argv[1:]
    config, share = EngineConfig(**json.loads(config_json)), Share(**json.loads(share_json))
    recent = configure_logging(config.log_level, share.number)
    try:
        asyncio.run(_serve(config, cast(tier.Tier, of_tier), share, recent))
    except RuntimeError as error:
        _log.error("cannot serve", reason=str(error))
        return 1
    return 0


async def _serve(config: EngineConfig, of_tier: tier.Tier, share: Share, recent: Recent) -> None:
    stop, hurry, orphaned = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: hurry.set() if stop.is_set() else stop.set())
    tenants = Tenants(config, share.fronts)
    if config.config_file is not None:
        loop.add_signal_handler(signal.SIGHUP, tenants.reload)
    has_owner = config.embedded or share.fronts > 1
    if has_owner:
        os.set_blocking(0, False)
        loop.add_reader(0, _lifeline, orphaned)
        owner = asyncio.create_task(_watch_owner(orphaned, stop))

    lifeline = Lifeline() if share.fronts > 1 else None
    tracing = open_tracing(config)
    cache = open_cache(config, share.fronts)
    offer = offered(Store(config.image_store), config.images, check=False)
    meter = Meter()
    scheduler = Scheduler(
        max_programs=max(1, config.max_queued_programs // share.fronts),
        max_bytes=max(1, config.max_queued_bytes // share.fronts),
        observer=meter,
    )
    settings = {
        "images": [image.settings() for image in offer],
        "packages": str(config.packages.absolute()) if config.packages else None,
        "warm_modules": config.warm_modules,
        "ceilings": asdict(config.ceilings),
        "tier": of_tier,
    }
    pool = Pool(scheduler, size=share.workers, first_index=share.first_worker, config=settings)
    meter.watch(scheduler, pool, cache)
    shows = contextlib.AsyncExitStack()
    starting = asyncio.create_task(pool.start())
    ended = asyncio.create_task(stop.wait())
    serving = None
    try:

        def ready() -> Readiness:
            unhealthy = serving.unhealthy if serving is not None else "it does not listen yet"
            return readiness(scheduler.workers, ending=stop.is_set(), unhealthy=unhealthy)

        view = View(config, of_tier, pool, meter, recent, ready)
        await shows.enter_async_context(view.shown(share.number, lifeline))
        await asyncio.wait({starting, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await starting
            serving = await listen(config, scheduler, pool, cache, share, meter, tracing, tenants, offer)
            serving.watch()
            _log.info("serving", listen=config.listen, workers=share.workers, tier=of_tier)
            if lifeline is not None:
                await lifeline.send(SERVES)
            await stop.wait()
    finally:
        if serving is not None:
            drain_s = OWNED_STOP_GRACE_S if config.embedded or orphaned.is_set() else config.drain_s
            await serving.stop(drain_s, hurry)
        await pool.stop()
        if cache is not None:
            await cache.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)
        await shows.aclose()
        if config.embedded and config.listen.startswith("unix:"):
            _remove_socket(config.listen.removeprefix("unix:"))
        for task in (starting, ended, *([owner] if has_owner else [])):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, RuntimeError):
                await task
        _log.info("ended")


class Serving:
    """A front's gRPC server, and what belongs to it. health: None for an embedded engine."""

    def __init__(
        self, server: grpc.aio.Server, service: GradingService, tenants: Tenants, health: "Health | None"
    ) -> None:
        self._server = server
        self._service = service
        self._tenants = tenants
        self._health = health
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def unhealthy(self) -> str | None:
        """Why the health service says that it is not serving; None when it is, or there is none."""
        return self._health.reason if self._health is not None else None

    def watch(self) -> None:
        """From now on looks whether the engine works, and whether the tenants have changed."""
        self._tasks.append(asyncio.create_task(self._tenants.watch()))
        if self._health is not None:
            self._tasks.append(asyncio.create_task(self._health.watch()))

    async def stop(self, drain_s: float, hurry: asyncio.Event | None = None) -> None:
        """Ends it, within `drain_s` and a little; at once when `hurry` is set."""
        for task in self._tasks:
            task.cancel()
        if self._health is not None:
            await self._health.end()
        # From now on no call is taken. Those that grade are waited for; a client that watches our health has no end.
        refusing = asyncio.create_task(self._server.stop(math.inf))
        draining = asyncio.create_task(self._service.drain(drain_s))
        hurrying = asyncio.create_task((hurry or asyncio.Event()).wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not draining.done():
            draining.cancel()
        await self._service.drain(0)
        await asyncio.wait({refusing}, timeout=LAST_WORDS_S)
        if not refusing.done():  # no second grace: gRPC crashes where one runs out just as another stop is done
            await self._server.stop(None)
        await refusing


async def listen(
    config: EngineConfig,
    scheduler: Scheduler,
    pool: Pool,
    cache: Cache | None = None,
    share: Share | None = None,
    meter: Meter | None = None,
    tracing: Tracing | None = None,
    tenants: Tenants | None = None,
    offer: Sequence[Offered] = (),
) -> Serving:
    """Serves on the configured address, for a pool that has started. Raises RuntimeError."""
    tenants = tenants or Tenants(config)
    name, _, digest = pool.hello["image"].partition("@")
    unbuilt = {name: tuple(manifest.languages) for name, manifest in known(recipes_folder()).items()}
    images = Images([Image(name, digest), *(offered_image(one, config.ceilings) for one in offer)], unbuilt)
    info = wire.InfoResponse(
        version=version("gradebox"),
        images=[wire.ImageInfo(name=i.name, digest=i.digest, languages=i.languages) for i in images.offered],
        ceilings=limits_to_wire(config.ceilings),
        defaults=limits_to_wire(Limits()),
        protections=pool.hello["protections"],
        workers=config.workers,
        max_message_bytes=config.max_message_bytes,
        max_program_bytes=config.max_program_bytes,
        fronts=share.fronts if share else 1,
        front=share.number if share else 1,
    )
    several = share is not None and share.fronts > 1
    meter = meter or Meter()
    age: list[tuple[str, int]] = []
    if config.max_connection_age_s is not None:  # without a bound to the grace that follows: calls are finished
        age.append(("grpc.max_connection_age_ms", round(config.max_connection_age_s * 1000)))
    server = grpc.aio.server(
        interceptors=[CallObserver(meter, tracing, all_lines=config.log_level == "debug")],
        options=[
            ("grpc.max_receive_message_length", min(2 * config.max_message_bytes, 2**31 - 1)),
            ("grpc.max_send_message_length", -1),
            ("grpc.keepalive_time_ms", 60_000),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),  # of a client; a third one too early ends it
            ("grpc.http2.max_ping_strikes", 2),
            ("grpc.so_reuseport", int(several)),  # else, a second engine on the same port is a mistake
            *age,
        ],
    )
    service = GradingService(config, scheduler, images, info, cache, meter, tenants)
    server.add_generic_rpc_handlers((service.handlers(),))
    credentials = server_credentials(config)
    if credentials is None:
        server.add_insecure_port(config.listen)
    else:
        server.add_secure_port(config.listen, credentials)
    health = None
    if not config.embedded:
        from gradebox_engine.health import Health  # dear, and of no use to an owner

        health = Health(scheduler, service.suites, config.canary_s)
        await health.add_to(server)
    await server.start()
    return Serving(server, service, tenants, health)


def _remove_socket(path: str) -> None:
    """An owner that was killed cannot remove the folder that it made for the socket."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))


def _lifeline(orphaned: asyncio.Event) -> None:
    with contextlib.suppress(BlockingIOError):
        if os.read(0, 4096) == b"":
            asyncio.get_running_loop().remove_reader(0)
            orphaned.set()


async def _watch_owner(orphaned: asyncio.Event, stop: asyncio.Event) -> None:
    owner = os.getppid()
    while os.getppid() == owner and not orphaned.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(orphaned.wait(), OWNER_CHECK_S)
    orphaned.set()
    stop.set()


def end_process(status: int) -> NoReturn:
    """Ends this process at once: gRPC's polling thread may outlive the interpreter that it calls into, and crash it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    end_process(main())
