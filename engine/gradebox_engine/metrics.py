"""What an engine counts of itself, as Prometheus metrics.

One Meter a front. Labels have few values: a tenant is one of the configuration's, and past MAX_TENANTS of them all
others are `other`; methods, codes, verdicts and stages are fixed lists. What others know anyway (the queue, the
workers, the cache) is asked of them when it is to be shown; the rest is counted where results leave for a caller, a
list of them at a time, since that is on the way of every program.
"""

from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass, field

import prometheus_client
import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gradebox_engine.cache import Cache
from gradebox_engine.families import Family, families_of
from gradebox_engine.places import WorkerState
from gradebox_engine.pool import Pool
from gradebox_engine.scheduler import Scheduler
from gradebox_engine.work import Call
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

MAX_TENANTS = 100
OTHER_TENANT = "other"
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
WORKER_STATES: tuple[WorkerState, ...] = ("starting", "idle", "busy", "new jail")
_VERDICTS: dict[int, str] = {number: name for name, number in wire.Verdict.items()}
_log = structlog.get_logger("metrics")


@dataclass(slots=True)
class _Tenant:
    """What is counted of one tenant."""

    label: str
    cpu: Counter
    work: Counter
    waits: Histogram
    verdicts: dict[int, Counter] = field(default_factory=dict)


class Meter:
    """Counts; also the scheduler's Observer. `families` is everything as plain data."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._tenants: dict[str, _Tenant] = {}
        self._open: dict[Call, None] = {}
        registry = self._registry
        self._submissions = Counter(
            "gradebox_submissions", "Programs answered, by verdict.", ["tenant", "verdict"], registry=registry
        )
        self._cpu = Counter(
            "gradebox_program_cpu_seconds", "CPU time of programs in their tests.", ["tenant"], registry=registry
        )
        self._work = Counter("gradebox_worker_seconds", "Time that workers spent.", ["tenant"], registry=registry)
        self._waits = Histogram(
            "gradebox_queue_wait_seconds",
            "From a request's arrival in the queue until its first programs go to a worker.",
            ["tenant"],
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._chunks = Histogram(
            "gradebox_worker_chunk_seconds",
            "Of a worker, for programs that it was given at once.",
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._calls = Counter(
            "gradebox_grpc_calls", "gRPC calls that have ended.", ["tenant", "method", "code"], registry=registry
        )
        self._call_s = Histogram(
            "gradebox_grpc_call_seconds", "Of whole gRPC calls.", ["method"], buckets=BUCKETS_S, registry=registry
        )

    def watch(self, scheduler: Scheduler, pool: Pool, cache: Cache | None) -> None:
        """What else is to be shown, asked for each time."""
        self._registry.register(_Parts(scheduler, pool, cache, self))

    def families(self) -> list[Family]:
        """All metrics as they are now."""
        return families_of(self._registry)

    def _tenant(self, name: str) -> "_Tenant":
        """The counters of a tenant, found once: looking them up by their labels costs more than counting."""
        if (found := self._tenants.get(name)) is not None:
            return found
        if name != OTHER_TENANT and len(self._tenants) >= MAX_TENANTS:
            return self._tenant(OTHER_TENANT)
        made = self._tenants[name] = _Tenant(
            name, self._cpu.labels(name), self._work.labels(name), self._waits.labels(name)
        )
        return made

    # --- results --------------------------------------------------------------------------------

    def results(self, call: Call, results: list[bytes]) -> None:
        """These serialized SubmissionResults leave for a caller."""
        verdicts: dict[int, int] = {}
        cpu_time_s = 0.0
        for data in results:
            head = routed.ResultHead.FromString(data)
            verdicts[head.verdict] = verdicts.get(head.verdict, 0) + 1
            if not head.cached:
                cpu_time_s += head.cpu_time_s
        self._answered(call, verdicts, cpu_time_s)

    def run(self, call: Call, response: wire.RunResponse) -> None:
        """This answer to Run leaves for a caller."""
        self._answered(call, {response.verdict: 1}, response.cpu_time_s)

    def _answered(self, call: Call, verdicts: dict[int, int], cpu_time_s: float) -> None:
        tenant = self._tenant(call.tenant)
        for verdict, count in verdicts.items():
            call.answered += count
            counter = tenant.verdicts.get(verdict)
            if counter is None:
                counter = self._submissions.labels(tenant.label, _VERDICTS.get(verdict, "VERDICT_UNSPECIFIED"))
                tenant.verdicts[verdict] = counter
            counter.inc(count)
        if cpu_time_s > 0.0:
            tenant.cpu.inc(cpu_time_s)
        if failed := verdicts.get(wire.ENGINE_ERROR):
            _log.warning("answered with ENGINE_ERROR", programs=failed, tenant=call.tenant)

    # --- calls ----------------------------------------------------------------------------------

    def began(self, call: Call) -> None:
        """A gRPC call has programs of its own."""
        self._open[call] = None

    def ended(self, call: Call) -> None:
        """It has no more."""
        self._open.pop(call, None)

    def in_flight(self) -> dict[str, int]:
        """Programs that are not answered, by tenant."""
        count: Tally[str] = Tally()
        for call in self._open:
            count[self._tenant(call.tenant).label] += call.in_flight
        return count

    def called(self, tenant: str, method: str, code: str, seconds: float) -> None:
        """A gRPC call has ended."""
        self._calls.labels(self._tenant(tenant).label, method, code).inc()
        self._call_s.labels(method).observe(seconds)

    # --- Observer -------------------------------------------------------------------------------

    def waited(self, call: Call, since_s: float, until_s: float) -> None:
        """See Observer."""
        self._tenant(call.tenant).waits.observe(until_s - since_s)
        if call.trace is not None:
            call.trace.waited(since_s, until_s)

    def worked(self, call: Call, since_s: float, until_s: float, programs: int) -> None:
        """See Observer."""
        self._chunks.observe(until_s - since_s)
        self._tenant(call.tenant).work.inc(until_s - since_s)
        if call.trace is not None:
            call.trace.worked(since_s, until_s, programs)


class _Parts(Collector):
    """What the parts of an engine say of themselves."""

    def __init__(self, scheduler: Scheduler, pool: Pool, cache: Cache | None, meter: Meter) -> None:
        self._scheduler = scheduler
        self._pool = pool
        self._cache = cache
        self._meter = meter

    def describe(self) -> list[prometheus_client.Metric]:
        """Nothing before it is asked: what it would say depends on what there is."""
        return []

    def collect(self) -> Iterator[prometheus_client.Metric]:
        """All of it."""
        programs, size = self._scheduler.queued
        yield GaugeMetricFamily("gradebox_queue_programs", "Programs that wait for a worker.", programs)
        yield GaugeMetricFamily("gradebox_queue_bytes", "Programs and tests that wait for a worker.", size)
        flying = GaugeMetricFamily("gradebox_in_flight_programs", "Programs not answered.", labels=["tenant"])
        for tenant, count in self._meter.in_flight().items():
            flying.add_metric([tenant], count)
        yield flying

        places = self._pool.view()
        workers = GaugeMetricFamily("gradebox_workers", "Worker processes.", labels=["state"])
        states = Tally(place.state for place in places)
        for state in WORKER_STATES:
            workers.add_metric([state.replace(" ", "_")], states[state])
        yield workers
        restarts = sum(place.worker_restarts for place in places)
        yield CounterMetricFamily("gradebox_worker_restarts", "Worker processes that ended by themselves.", restarts)
        jails = sum(place.jail_restarts for place in places)
        yield CounterMetricFamily("gradebox_jail_restarts", "Jails that failed and were replaced.", jails)

        if self._cache is not None:
            info = self._cache.info()
            yield CounterMetricFamily("gradebox_cache_hits", "Programs answered from kept results.", info.hits)
            yield CounterMetricFamily("gradebox_cache_misses", "Programs not found among kept results.", info.misses)
            yield GaugeMetricFamily("gradebox_cache_entries", "Results kept in memory.", info.entries)
            yield GaugeMetricFamily("gradebox_cache_bytes", "Of results kept in memory.", info.bytes)
            yield GaugeMetricFamily("gradebox_cache_disk_bytes", "Of results kept in the file.", info.disk_bytes)
