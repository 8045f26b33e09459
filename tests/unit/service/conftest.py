"""An engine's front process inside the test, with fake workers and a real gRPC server."""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gradebox_engine import server
from gradebox_engine.cache import open_cache
from gradebox_engine.config import EngineConfig, load_config
from gradebox_engine.metrics import Meter
from gradebox_engine.pool import Pool
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.tracing import Tracing
from gradebox_engine.work import Job

COMMAND = (sys.executable, str(Path(__file__).with_name("fake_worker.py")))


class CountingScheduler(Scheduler):
    """Counts what it is asked to run, by program."""

    def __init__(self, *, max_programs: int, max_bytes: int, observer: Meter) -> None:
        super().__init__(max_programs=max_programs, max_bytes=max_bytes, observer=observer)
        self.asked = Counter[bytes]()

    def submit(self, job: Job) -> None:
        sources = [source for _, source in job.pending]
        super().submit(job)
        self.asked.update(sources)


@dataclass
class Front:
    """A front process's parts."""

    target: str
    scheduler: CountingScheduler
    pool: Pool
    server: server.Serving
    config: EngineConfig
    log: Path
    meter: Meter

    def logged(self, first: str) -> list[list[str]]:
        """The fake workers' log lines that start with a word."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return [words for words in lines if words[0] == first]


StartFront = Callable[..., Awaitable[Front]]


@pytest.fixture
async def start_front(tmp_path: Path) -> AsyncIterator[StartFront]:
    """Starts fronts with the given settings; ends them after the test."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "front", *, tracing: Tracing | None = None, **settings: Any) -> Front:
            config = load_config({"listen": f"unix:{tmp_path}/{name}.sock", "workers": 2, **settings})
            config = config.with_machine()
            meter = Meter()
            scheduler = CountingScheduler(
                max_programs=config.max_queued_programs, max_bytes=config.max_queued_bytes, observer=meter
            )
            log = tmp_path / f"{name}.log"
            log.touch()
            assert config.workers is not None
            pool = Pool(scheduler, size=config.workers, config={"log": str(log)}, command=COMMAND)
            stack.push_async_callback(pool.stop)
            await pool.start()
            cache = open_cache(config)
            if cache is not None:
                stack.push_async_callback(cache.close)
            meter.watch(scheduler, pool, cache)
            served = await server.listen(config, scheduler, pool, cache, meter=meter, tracing=tracing)
            stack.push_async_callback(served.stop, 0)
            return Front(config.listen, scheduler, pool, served, config, log, meter)

        yield start
