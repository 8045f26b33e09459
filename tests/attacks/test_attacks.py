"""Runs corpus.jsonl: hostile, cheating and honest programs, and what a correct engine says of each.

A row: `id`, `category`, `mode` (assert, stdio, unittest), `program`, `tests`, `expect` (`PASSED`,
`not_passed`, `any`, or verdicts separated by `|`), `note`, and where needed `expect_tests` (pass or
fail for each test), `limits`, `max_elapsed_s`, `host_checks`. Two rows with one `sequence` run one
after the other (`concurrent`: at once) on one engine, and the second must not see the first. Probes
are written so that their tests pass only where the attack works.
"""

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import gradebox

Row = dict[str, Any]

CORPUS = Path(__file__).with_name("corpus.jsonl")
LIMITS: dict[str, Any] = {
    "cpu_time_s": 2,
    "wall_time_s": 6,
    "memory_bytes": 512 << 20,
    "output_bytes": 4 << 20,
    "disk_bytes": 64 << 20,
}
SLOWEST_S = 30.0
"""No row may keep a caller longer, whatever its limits."""

GOOD = "def inc(x):\n    return x + 1\n"
BAD = "def inc(x):\n    return x + 2\n"


def _groups() -> list[tuple[Row, ...]]:
    """The rows, those of a sequence together."""
    groups: dict[str, list[Row]] = {}
    for line in CORPUS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        groups.setdefault(row.get("sequence", row["id"]), []).append(row)
    return [tuple(rows) for rows in groups.values()]


@dataclass
class Host:
    """What stands on the host for programs to reach: a file, listeners."""

    folder: Path
    secret: str = field(default_factory=lambda: "canary-" + secrets.token_hex(8))
    connections: list[str] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def canary(self) -> Path:
        return self.folder / "secret.txt"

    def open(self) -> None:
        self.folder.chmod(0o755)
        self.canary.write_text(self.secret + "\n")
        self.canary.chmod(0o644)
        tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        self.port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", self.port))
        self.abstract = f"gradebox-attack-{self.port}"
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0{self.abstract}")
        for name, listener in (("tcp", tcp), ("abstract", abstract)):
            listener.listen(16)
            self._watch(lambda listener=listener: listener.accept()[0].close(), name)  # type: ignore[misc]
        self._watch(lambda: udp.recv(100), "udp")
        self.sockets = [tcp, udp, abstract]

    def _watch(self, receive: Callable[[], object], name: str) -> None:
        def run() -> None:
            while True:
                try:
                    receive()
                except OSError:  # closed: the tests are over
                    return
                self.connections.append(name)

        threading.Thread(target=run, daemon=True).start()

    def close(self) -> None:
        for listener in self.sockets:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes its thread
            except OSError:
                pass
            listener.close()

    def expand(self, text: str) -> str:
        """Fills in the names that rows use for things of the host."""
        names = {
            "{{CANARY_CONTENT}}": self.secret,
            "{{CANARY}}": str(self.canary),
            "{{PORT}}": str(self.port),
            "{{ABSTRACT}}": self.abstract,
        }
        for name, value in names.items():
            text = text.replace(name, value)
        return re.sub(r"\{\{RANGE:(\d+)\}\}", lambda m: "\n".join(map(str, range(int(m[1])))), text)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(tmp_path_factory.mktemp("host"))
    for folder in host.folder.parents:  # readable for all, as a careless host's files are
        if folder != Path("/tmp") and str(folder).startswith("/tmp/"):
            folder.chmod(0o755)
    host.open()
    yield host
    host.close()


def _tests(row: Row, host: Host) -> list[Any]:
    if row["mode"] == "unittest":
        return [{"unittest": host.expand(test)} for test in row["tests"]]
    return [
        host.expand(test) if isinstance(test, str) else {k: host.expand(v) for k, v in test.items()}
        for test in row["tests"]
    ]


def _grade(engine: gradebox.Engine, row: Row, host: Host) -> tuple[gradebox.SubmissionResult, float]:
    start = time.monotonic()
    limits = LIMITS | row.get("limits", {})
    (result,) = engine.grade([host.expand(row["program"])], tests=_tests(row, host), limits=limits)
    return result, time.monotonic() - start


def _at_once(
    engine: gradebox.Engine, rows: tuple[Row, ...], host: Host
) -> list[tuple[gradebox.SubmissionResult, float]]:
    """Grades the second row while the first one runs."""
    first: list[tuple[gradebox.SubmissionResult, float]] = []
    thread = threading.Thread(target=lambda: first.append(_grade(engine, rows[0], host)))
    thread.start()
    time.sleep(0.5)
    second = _grade(engine, rows[1], host)
    thread.join()
    return [*first, second]


def _as_expected(expect: str, verdict: str) -> bool:
    if verdict == "ENGINE_ERROR":
        return False
    if expect == "any":
        return True
    return verdict != "PASSED" if expect == "not_passed" else verdict in expect.split("|")


def _check(row: Row, result: gradebox.SubmissionResult, elapsed_s: float, host: Host) -> None:
    said = f"{result.verdict.name}: " + "; ".join(
        f"{test.verdict.name} {test.message or ''}" for test in result.tests[:10]
    )
    assert _as_expected(row["expect"], result.verdict.name), f"expected {row['expect']}, got {said}"
    if wanted := row.get("expect_tests"):
        got = ["pass" if t.verdict is gradebox.Verdict.PASSED else "fail" for t in result.tests]
        assert got == wanted, said
    assert elapsed_s < row.get("max_elapsed_s", SLOWEST_S), f"took {elapsed_s:.1f} s"
    for check in row.get("host_checks", []):
        if check["type"] == "no_file":
            path = Path(check["path"])
            left = os.path.lexists(path)
            path.unlink(missing_ok=True)
            assert not left, f"{path} on the host"
        else:
            assert check["type"] == "no_connection"
            assert not host.connections
    assert host.canary.read_text() == host.secret + "\n"
    if row["expect"] != "PASSED":
        assert host.secret not in said


@pytest.mark.parametrize("rows", _groups(), ids=lambda rows: rows[0].get("sequence", rows[0]["id"]))
def test_row(rows: tuple[Row, ...], engine: gradebox.Engine, host: Host) -> None:
    if rows[0].get("concurrent"):
        results = _at_once(engine, rows, host)
    else:
        results = [_grade(engine, row, host) for row in rows]
    for row, (result, elapsed_s) in zip(rows, results, strict=True):
        _check(row, result, elapsed_s, host)

    start = time.monotonic()
    good, bad = engine.grade([GOOD, BAD], tests=["assert inc(1) == 2", "assert inc(-1) == 0"])
    assert good.verdict is gradebox.Verdict.PASSED, good
    assert bad.verdict is gradebox.Verdict.WRONG_ANSWER, bad
    assert time.monotonic() - start < 5, "the engine is slow after this row"


def test_corpus_has_every_category() -> None:
    rows = [row for group in _groups() for row in group]
    assert len(rows) >= 60
    assert {row["category"] for row in rows} == {
        "resource",
        "filesystem",
        "network",
        "kernel_surface",
        "supervisor_attack",
        "reward_hack",
        "isolation_sequence",
        "honest_guard",
    }
