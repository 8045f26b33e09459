"""Metrics, probes and state of whole engines, with one front and with two; and that HTTP is not in grading's way."""

import contextlib
import json
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.e2e.serving import Server, send
from tests.ports import free_port
from tests.waiting import wait_until

import gradebox
from gradebox import GradeItem, Problem, Verdict
from gradebox_engine.http.server import MAX_CONNECTIONS

pytestmark = pytest.mark.usefixtures("jails")

GOOD = "def f(x):\n    return x + 1\n"
WRONG = "def f(x):\n    return x  # a-text-of-a-program\n"
TESTS = ["assert f(1) == 2"]


def lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class Shown:
    """A server with HTTP, and what it shows."""

    def __init__(self, folder: Path, *, fronts: int) -> None:
        self.port = free_port()
        environment = {"GRADEBOX_HTTP": f"127.0.0.1:{self.port}", "GRADEBOX_CACHE_BYTES": str(1 << 20)}
        self.server = Server(folder, workers=2, fronts=fronts, environment=environment)

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, response.read(), lower(response.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), lower(error.headers)

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/api/state")[1]))

    def metric(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.get("/metrics")[1].decode())
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def graded(self, verdict: str) -> float:
        return self.metric("gradebox_submissions_total", verdict=verdict)


@pytest.fixture(params=[1, 2], ids=["one-front", "two-fronts"])
def shown(request: pytest.FixtureRequest, folder: Path) -> Iterator[Shown]:
    shown = Shown(folder, fronts=request.param)

    def is_ready() -> bool:
        state = shown.state()
        return len(state["workers"]) == 2 and state["readiness"]["ready"]

    with shown.server.start():
        assert wait_until(is_ready)
        yield shown


def test_what_was_graded_is_shown(shown: Shown) -> None:
    with gradebox.Client(shown.server.target) as client:
        items = [GradeItem(Problem(TESTS), [f"{GOOD}# {key}", f"{WRONG}# {key}"], key) for key in range(30)]
        assert sum(len(graded.results) for graded in client.grade_many(items)) == 60
        assert client.grade([GOOD + "# 1"], tests=TESTS)[0].verdict is Verdict.PASSED
    assert wait_until(lambda: shown.graded("PASSED") == 31)
    assert shown.graded("WRONG_ANSWER") == 30
    assert shown.metric("gradebox_program_cpu_seconds_total") > 0
    assert shown.metric("gradebox_queue_wait_seconds_count") >= 30
    assert shown.metric("gradebox_worker_chunk_seconds_count") >= 15
    assert shown.metric("gradebox_workers") == 2
    assert shown.metric("gradebox_cache_misses_total") + shown.metric("gradebox_cache_hits_total") == 61
    assert wait_until(lambda: shown.metric("gradebox_grpc_calls_total", method="GradeBatch", code="OK") == 1)
    assert shown.metric("gradebox_ready") == 1
    state = shown.state()
    assert state["verdicts"] == {"PASSED": 31, "WRONG_ANSWER": 30}
    assert sum(worker["graded"] for worker in state["workers"]) >= 60
    assert state["facts"]["tier"] in ("full", "rootless")
    assert state["facts"]["image"].startswith("python@sha256:")
    assert "sealed-judge" in state["facts"]["protections"]
    assert b"a-text-of-a-program" not in shown.get("/api/state")[1] + shown.get("/metrics")[1]


def test_what_fails_is_shown(shown: Shown) -> None:
    (worker,) = shown.server.members("worker")[:1]
    assert send(worker, signal.SIGKILL)
    assert wait_until(lambda: shown.metric("gradebox_worker_restarts_total") == 1)
    assert wait_until(lambda: {one["state"] for one in shown.state()["workers"]} == {"idle"})

    def is_shown() -> bool:
        errors = shown.state()["errors"]
        return any(error["event"] == "worker ended" and "SIGKILL" in error["detail"] for error in errors)

    assert wait_until(is_shown)  # fronts tell it once a second


def test_probes_headers_and_methods(shown: Shown) -> None:
    assert shown.get("/healthz")[:2] == (200, b"alive\n")
    assert shown.get("/readyz")[:2] == (200, b"ready\n")
    assert shown.get("/nothing")[0] == 404
    for method in ("POST", "PUT", "DELETE"):
        assert shown.get("/api/state", method)[0] == 405
    for path in ("/", "/page.js", "/page.css", "/page.svg", "/metrics", "/nothing"):
        status, body, headers = shown.get(path)
        assert status == (404 if path == "/nothing" else 200)
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["connection"] == "close"
        assert b"http://" not in body.replace(b"http://www.w3.org", b"") and b"https://" not in body


def test_connections_are_few_and_short(shown: Shown) -> None:
    """Whoever opens many, and says nothing, has some of them, for a while; gradings do not notice."""
    with contextlib.ExitStack() as held:
        for _ in range(4 * MAX_CONNECTIONS):
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_connection(("127.0.0.1", shown.port), timeout=30))
        with gradebox.Client(shown.server.target) as client:
            assert client.grade([GOOD], tests=TESTS)[0].verdict is Verdict.PASSED
        assert wait_until(lambda: established(shown.port) <= MAX_CONNECTIONS)
        assert wait_until(lambda: established(shown.port) == 0)  # those who say nothing are not waited for
        assert shown.get("/healthz")[0] == 200


def established(port: int) -> int:
    """Connections that a server at this port of 127.0.0.1 has."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[1] == f"0100007F:{port:04X}" and line[3] == "01" for line in lines)


def test_an_engine_that_ends_is_not_ready_and_still_alive(shown: Shown) -> None:
    with gradebox.Client(shown.server.target, retry_s=0) as client:
        slow = "import time\ndef f(x):\n    time.sleep(4)\n    return x + 1\n"
        answers = client.grade_many(GradeItem(Problem(TESTS), [f"{slow}# {key}"], key) for key in range(2))
        verdicts: list[Verdict] = []
        reader = threading.Thread(target=lambda: verdicts.extend(one.results[0].verdict for one in answers))
        reader.start()
        assert wait_until(lambda: {worker["state"] for worker in shown.state()["workers"]} == {"busy"})
        shown.server.process.send_signal(signal.SIGTERM)
        assert wait_until(lambda: shown.get("/readyz")[0] == 503)
        assert shown.get("/healthz")[0] == 200
        reader.join()
        assert verdicts == [Verdict.PASSED] * 2
    assert shown.server.process.wait(30) == 0


def test_a_front_that_dies_takes_no_counts_with_it(folder: Path) -> None:
    shown = Shown(folder, fronts=2)
    with shown.server.start(), gradebox.Client(shown.server.target) as client:
        for key in range(20):
            client.grade([f"{GOOD}# {key}"], tests=TESTS)
        assert wait_until(lambda: shown.graded("PASSED") == 20)
        for front in shown.server.members("front"):
            assert send(front, signal.SIGKILL)
            assert wait_until(lambda: len(shown.server.members("forkserver")) == 2)
        assert wait_until(lambda: shown.state()["fronts"]["restarts"] == 2)
        assert shown.graded("PASSED") == 20
        assert wait_until(lambda: shown.state()["readiness"]["ready"] and len(shown.state()["workers"]) == 2)
        assert [error["event"] for error in shown.state()["errors"]].count("front ended") == 2
        client.grade([f"{GOOD}# again"], tests=TESTS)
        assert wait_until(lambda: shown.graded("PASSED") == 21)


def test_an_address_that_is_taken_is_an_error(folder: Path) -> None:
    for fronts in (1, 2):
        shown = Shown(folder, fronts=fronts)
        with socket.create_server(("127.0.0.1", shown.port)):
            with pytest.raises(RuntimeError, match="cannot serve HTTP on"):
                shown.server.start()
        assert shown.server.process.wait(30) == 1
