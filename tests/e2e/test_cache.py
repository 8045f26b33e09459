"""The verdict cache on a real engine: a second time nothing runs, also after a restart."""

from pathlib import Path

import pytest
from tests.e2e.serving import Server

import gradebox
from gradebox import Verdict

pytestmark = pytest.mark.xdist_group("machine")

PROGRAMS = [
    "def f(x): return x + 1",
    "def f(x): return 2 * x",
    "import os; os._exit(0)",
    "def f(x):\n    while True: pass",
    "def f(x) return",
]
TESTS = ["assert f(1) == 2", "assert f(2) == 3"]
LIMITS = {"cpu_time_s": 0.3}


@pytest.mark.usefixtures("jails")
def test_kept_results_are_the_same_ones_also_after_a_restart(tmp_path: Path) -> None:
    environment = {"GRADEBOX_CACHE_BYTES": str(1 << 20), "GRADEBOX_CACHE_PATH": str(tmp_path / "cache")}
    server = Server(tmp_path, environment=environment)

    def grade(*, fresh: bool = False) -> list[gradebox.SubmissionResult]:
        with gradebox.Client(server.target) as client:
            return client.grade(PROGRAMS, tests=TESTS, limits=LIMITS, fresh=fresh)

    with server.start():
        first, second = grade(), grade()
        assert server.stop() == 0
    with server.start():
        third, fresh = grade(), grade(fresh=True)
        with gradebox.Client(server.target) as client:
            info = client.info()
    verdicts = [Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR, Verdict.TIME_LIMIT, Verdict.COMPILE_ERROR]
    assert [r.verdict for r in first] == [r.verdict for r in fresh] == verdicts
    assert [r.to_label() for r in second] == [r.to_label() for r in third] == [r.to_label() for r in first]
    assert all(r.cached for r in second + third) and not any(r.cached for r in first + fresh)
    assert info.cache is not None and (info.cache.hits, info.cache.misses) == (len(PROGRAMS), 0)


@pytest.mark.usefixtures("jails")
def test_a_file_of_something_else_is_said(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a cache")
    environment = {"GRADEBOX_CACHE_BYTES": "1000000", "GRADEBOX_CACHE_PATH": str(other)}
    server = Server(tmp_path, environment=environment)
    with pytest.raises(RuntimeError, match=r"notes\.txt: is not a cache of verdicts"):
        server.start()
    assert server.process.returncode == 1
    assert other.read_text() == "not a cache"
