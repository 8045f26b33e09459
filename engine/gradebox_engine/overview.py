"""One engine as people and Prometheus see it, made of what its fronts say of themselves.

Each front's last snapshot counts as long as the front lives. Of one that is gone, the counters stay, so that they never
go backwards, and the gauges go; what it counted after its last snapshot, a second's worth at most, is lost. A
process with a single front has one, too, of itself.
"""

import json
import time
from collections import deque
from dataclasses import asdict, dataclass
from itertools import pairwise

from gradebox_engine.families import Family, by, exposition, lasting, merged, total
from gradebox_engine.readiness import Readiness
from gradebox_engine.recent import KEPT, ErrorEvent, Recent
from gradebox_engine.snapshot import INTERVAL_S, Facts, Snapshot

SILENT_S = 5.0  # a front that says nothing for so long does not count as ready
HISTORY_S = 300
RATES_S = 60  # what is shown as "now" is the mean of so much
_HISTOGRAMS = {
    "queue": "gradebox_queue_wait_seconds",
    "worker": "gradebox_worker_chunk_seconds",
    "call": "gradebox_grpc_call_seconds",
}
# A stream lasts as long as its caller likes, and other calls grade nothing.
_CALL_METHODS = frozenset({"", "Grade", "GradeBatch", "Run"})


@dataclass(frozen=True, slots=True)
class _Past:
    """What is kept of one second."""

    at_s: float
    submissions: float
    cpu_s: float
    queued: float
    buckets: dict[str, dict[float, float]]  # by stage: cumulative counts by upper bound in seconds


class Overview:
    """Fed with snapshots; `recent` is of the process that has it.

    `metrics` and `state` are made once for every change, however often they are asked for.
    """

    def __init__(self, fronts: int, recent: Recent) -> None:
        self._fronts = fronts
        self._recent = recent
        self._restarts = 0  # of fronts
        self._started_s = time.time()
        self._latest: dict[int, tuple[float, Snapshot]] = {}
        self._gone: list[Family] = []
        self._facts: Facts | None = None
        self._errors: deque[ErrorEvent] = deque(maxlen=KEPT)
        self._history: deque[_Past] = deque(maxlen=int(HISTORY_S / INTERVAL_S))
        self._metrics: bytes | None = None
        self._state: bytes | None = None

    async def update(self, snapshot: Snapshot) -> None:
        """A front has said what it does. Does not wait."""
        self._latest[snapshot.front] = (time.monotonic(), snapshot)
        self._facts = snapshot.facts or self._facts
        self._errors.extend(snapshot.errors)
        self._changed()

    def lost(self, front: int) -> None:
        """A front has ended."""
        _, last = self._latest.pop(front, (0.0, None))
        self._restarts += 1
        if last is not None:
            self._gone = merged([self._gone, lasting(last.families)])
        self._changed()

    def tick(self) -> None:
        """To be called every INTERVAL_S: keeps the past that charts show, and what this process has logged itself."""
        self._errors.extend(self._recent.take())
        families = self._families()
        self._history.append(
            _Past(
                at_s=time.time(),
                submissions=total(families, "gradebox_submissions_total"),
                cpu_s=total(families, "gradebox_program_cpu_seconds_total"),
                queued=total(families, "gradebox_queue_programs"),
                buckets={stage: _buckets(families, name) for stage, name in _HISTOGRAMS.items()},
            )
        )
        self._changed()

    @property
    def readiness(self) -> Readiness:
        """Ready when any front is: the kernel gives connections only to those that listen."""
        now_s = time.monotonic()
        reasons = []
        for front, (said_s, snapshot) in sorted(self._latest.items()):
            if now_s - said_s > SILENT_S:
                reasons.append(f"front {front} is silent")
            elif snapshot.readiness.ready:
                return Readiness(True)
            else:
                reasons.append(snapshot.readiness.reason)
        return Readiness(False, "; ".join(dict.fromkeys(reasons)) or "no front has started")

    @property
    def metrics(self) -> bytes:
        """Prometheus's text format."""
        if self._metrics is None:
            self._metrics = exposition([*self._families(), *self._own_families()])
        return self._metrics

    @property
    def state(self) -> bytes:
        """What the live page shows, as JSON. Holds no text of programs or tests."""
        if self._state is None:
            self._state = json.dumps(self._page(), separators=(",", ":")).encode()
        return self._state

    # --- inside ---------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._metrics = self._state = None

    def _families(self) -> list[Family]:
        return merged([self._gone, *(snapshot.families for _, snapshot in self._latest.values())])

    def _own_families(self) -> list[Family]:
        facts = self._facts
        labels = {"version": facts.version, "tier": facts.tier, "image": facts.image} if facts else {}
        return [
            _gauge("gradebox_ready", "1: work can be sent.", float(self.readiness.ready)),
            _gauge("gradebox_fronts", "Front processes.", float(len(self._latest))),
            Family(
                "gradebox_front_restarts",
                "Front processes that ended by themselves.",
                "counter",
                [("gradebox_front_restarts_total", (), float(self._restarts))],
            ),
            _gauge("gradebox_start_time_seconds", "When the engine was started, Unix time.", self._started_s),
            _gauge("gradebox_engine_info", "What this engine is.", 1.0, **labels),
        ]

    def _page(self) -> dict[str, object]:
        families = self._families()
        now_s = time.monotonic()
        readiness = self.readiness
        workers = [worker for _, snapshot in self._latest.values() for worker in snapshot.workers]
        return {
            "now_s": time.time(),
            "started_s": self._started_s,
            "readiness": asdict(readiness),
            "facts": asdict(self._facts) if self._facts else None,
            "fronts": {
                "wanted": self._fronts,
                "silent": sum(now_s - said_s > SILENT_S for said_s, _ in self._latest.values()),
                "seen": len(self._latest),
                "restarts": self._restarts,
            },
            "queue": {
                "programs": total(families, "gradebox_queue_programs"),
                "bytes": total(families, "gradebox_queue_bytes"),
                "in_flight": total(families, "gradebox_in_flight_programs"),
            },
            "rates": self._rates(),
            "history": self._chart(),
            "latency_s": self._latencies(),
            "workers": [asdict(worker) for worker in sorted(workers, key=lambda worker: worker.number)],
            "restarts": {
                "workers": total(families, "gradebox_worker_restarts_total"),
                "jails": total(families, "gradebox_jail_restarts_total"),
            },
            "verdicts": {key[0]: n for key, n in by(families, "gradebox_submissions_total", "verdict").items()},
            "cache": _cache(families),
            "tenants": _tenants(families),
            "calls": [
                {"method": method, "code": code, "count": count}
                for (method, code), count in sorted(by(families, "gradebox_grpc_calls_total", "method", "code").items())
            ],
            "errors": [asdict(event) for event in sorted(self._errors, key=lambda event: event.time, reverse=True)],
        }

    def _rates(self) -> dict[str, float]:
        """Per second, over the last RATES_S."""
        first, last = self._span()
        if first is None or last is None or last.at_s <= first.at_s:
            return {"submissions": 0.0, "cpu_s": 0.0}
        seconds = last.at_s - first.at_s
        return {
            "submissions": max(0.0, last.submissions - first.submissions) / seconds,
            "cpu_s": max(0.0, last.cpu_s - first.cpu_s) / seconds,
        }

    def _chart(self) -> list[tuple[float, float, float]]:
        """A point a second: Unix time, submissions a second, programs in the queue."""
        past = list(self._history)
        return [
            (
                round(now.at_s, 1),
                round(max(0.0, now.submissions - before.submissions) / max(0.1, now.at_s - before.at_s), 1),
                now.queued,
            )
            for before, now in pairwise(past)
        ]

    def _latencies(self) -> dict[str, dict[str, float | None]]:
        """Median and 95th percentile of each stage over the last RATES_S, as upper bounds of their buckets."""
        first, last = self._span()
        found = {}
        for stage in _HISTOGRAMS:
            was = first.buckets[stage] if first else {}
            counts = {bound: n - was.get(bound, 0.0) for bound, n in (last.buckets[stage] if last else {}).items()}
            found[stage] = {"p50": _quantile(counts, 0.5), "p95": _quantile(counts, 0.95)}
        return found

    def _span(self) -> tuple[_Past | None, _Past | None]:
        if not self._history:
            return None, None
        past = list(self._history)[-int(RATES_S / INTERVAL_S) - 1 :]
        return past[0], past[-1]


def _gauge(name: str, text: str, value: float, **labels: str) -> Family:
    return Family(name, text, "gauge", [(name, tuple(sorted(labels.items())), value)])


def _buckets(families: list[Family], histogram: str) -> dict[float, float]:
    counts: dict[float, float] = {}
    for (bound, method), count in by(families, f"{histogram}_bucket", "le", "method").items():
        if method in _CALL_METHODS:
            counts[float(bound)] = counts.get(float(bound), 0.0) + count
    return counts


def _quantile(cumulative: dict[float, float], share: float) -> float | None:
    """None where nothing was counted. The last bucket has no bound: then, the greatest that there is."""
    bounds = sorted(cumulative)
    if not bounds or cumulative[bounds[-1]] <= 0:
        return None
    wanted = share * cumulative[bounds[-1]]
    bound = next(bound for bound in bounds if cumulative[bound] >= wanted)
    return bound if bound != float("inf") else bounds[-2]


def _cache(families: list[Family]) -> dict[str, float] | None:
    if not any(family.name == "gradebox_cache_hits" for family in families):
        return None
    return {
        "hits": total(families, "gradebox_cache_hits_total"),
        "misses": total(families, "gradebox_cache_misses_total"),
        "entries": total(families, "gradebox_cache_entries"),
        "bytes": total(families, "gradebox_cache_bytes"),
        "disk_bytes": total(families, "gradebox_cache_disk_bytes"),
    }


def _tenants(families: list[Family]) -> list[dict[str, object]]:
    submissions = by(families, "gradebox_submissions_total", "tenant")
    failed = by(families, "gradebox_submissions_total", "tenant", verdict="ENGINE_ERROR")
    cpu_s = by(families, "gradebox_program_cpu_seconds_total", "tenant")
    flying = by(families, "gradebox_in_flight_programs", "tenant")
    return [
        {
            "tenant": key[0],
            "submissions": submissions.get(key, 0.0),
            "engine_errors": failed.get(key, 0.0),
            "cpu_s": cpu_s.get(key, 0.0),
            "in_flight": flying.get(key, 0.0),
        }
        for key in sorted({*submissions, *(key for key, count in flying.items() if count)})
    ]
