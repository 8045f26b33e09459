"""`gradebox grade` with a client that answers by itself: order, resuming, interruption, bad input.

That programs are graded right is shown elsewhere, with real engines (tests/e2e).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import gradebox
from gradebox_command.rows import read_rows
from gradebox_engine.cli import grade as command
from gradebox_engine.cli import main

STAMP = gradebox.EngineStamp("1", "python@0", ("a",))


class Client:
    """Passes programs that say so; ends itself after `lasts` items."""

    def __init__(self, lasts: int | None = None, error: BaseException | None = None, image: str = "sha256:0") -> None:
        self.lasts = lasts
        self.error = error
        self.image = image
        self.graded = 0
        self.programs: list[str] = []

    def info(self) -> gradebox.EngineInfo:
        image = gradebox.ImageInfo("python", self.image, ("python",))
        limits = gradebox.Limits(cpu_time_s=5.0)
        return gradebox.EngineInfo("1", (image,), limits, limits, (), 1, 1, 1)

    def grade_many(self, items: Iterable[gradebox.GradeItem], *, stop_early: bool = False) -> Iterator[gradebox.Graded]:
        for item in items:
            if self.error is not None and self.graded == self.lasts:
                raise self.error
            self.graded += 1
            if "refused" in item.problem.id:
                error = gradebox.InvalidRequest("no such image", "image")
                yield gradebox.Graded(item.key, error, ())
                continue
            self.programs += map(str, item.programs)
            results = [result(item.problem.id, index, str(program)) for index, program in enumerate(item.programs)]
            yield gradebox.Graded(item.key, None, tuple(results))


def result(id: str, index: int, program: str) -> gradebox.SubmissionResult:
    passed = "pass" in program
    verdict = gradebox.Verdict.PASSED if passed else gradebox.Verdict.WRONG_ANSWER
    if "broken" in program:
        verdict = gradebox.Verdict.ENGINE_ERROR
    test = gradebox.TestResult(verdict, gradebox.Seal.SEALED, 0.1, 0.2, 1)
    digest = hashlib.sha256(program.encode("utf-8", "surrogatepass")).hexdigest()
    return gradebox.SubmissionResult(index, id, digest, verdict, float(passed), (test,), STAMP)


class Work:
    """A folder with input files, and the command on it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.labels = folder / "labels.jsonl"
        self.slash = ""
        self.problems([{"id": "p", "tests": ["x"]}, {"id": "q", "tests": ["x"]}])
        self.programs(
            [
                {"id": "p", "programs": [f"pass {i}" for i in range(20)]},
                {"id": "q", "programs": []},
                {"id": "q", "programs": ["\x00", "\ud800"]},
                {"id": "p", "programs": ["one more"]},
            ]
        )

    def problems(self, rows: list[dict[str, Any]]) -> None:
        (self.folder / "problems.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def programs(self, rows: list[dict[str, Any]]) -> None:
        (self.folder / "programs.jsonl").write_text("\n".join(map(json.dumps, rows)))

    def grade(self, *flags: str, client: Client | None = None) -> int:
        used = client or Client()

        @contextmanager
        def open_client(*args: object) -> Iterator[Client]:
            yield used

        self.monkeypatch.setattr(command, "open_client", open_client)
        self.monkeypatch.setattr("signal.signal", lambda *args: None)
        files = [str(self.folder / "problems.jsonl"), str(self.folder / "programs.jsonl")]
        return main(["grade", *files, "-o", f"{self.labels}{self.slash}", *flags])

    def rows(self) -> list[dict[str, Any]]:
        return [row for _, row in read_rows(self.labels)]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(tmp_path, monkeypatch)


def test_labels_come_in_the_order_of_the_input(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    assert work.grade("--json") == 0
    rows = work.rows()
    places = [(row["id"], row["program_index"]) for row in rows]
    assert places == [*(("p", i) for i in range(20)), ("q", 0), ("q", 1), ("p", 0)]
    assert rows[0]["engine"] == {"version": "1", "image": "python@0", "protections": ["a"]}
    assert rows[0]["tests"][0]["seal"] == "SEALED"
    summary = json.loads(capsys.readouterr().out)
    assert summary["submissions"] == 23
    assert summary["verdicts"] == {"PASSED": 20, "WRONG_ANSWER": 3}


@pytest.mark.parametrize("cut", range(0, 4000, 333))
def test_resume_after_any_cut_gives_the_same_file(work: Work, cut: int) -> None:
    work.grade()
    whole = work.labels.read_bytes()
    work.labels.write_bytes(whole[:cut])
    assert work.grade("--resume") == 0
    assert work.labels.read_bytes() == whole


def test_resume_of_a_whole_file_grades_nothing(work: Work) -> None:
    work.grade()
    client = Client()
    assert work.grade("--resume", client=client) == 0
    assert client.graded == 0
    assert len(work.rows()) == 23


def test_resume_wants_the_same_input(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    work.grade()
    before = work.labels.read_bytes()
    work.programs([{"id": "p", "programs": ["pass 0", "another"]}])
    assert work.grade("--resume") == 2
    said = capsys.readouterr().err
    assert f"{work.labels}:2: program_sha256: not that of program 2" in said
    assert said.count("\n") == 1
    assert work.labels.read_bytes() == before


def test_an_interruption_keeps_what_is_done(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    with work.monkeypatch.context() as patch:
        patch.setattr(command, "progress_bar", _interrupting_progress_bar)
        assert work.grade() == 130
    kept = work.rows()
    assert [row["program_index"] for row in kept] == list(range(16))
    assert "16 of 23 labels" in capsys.readouterr().err
    assert work.grade("--resume") == 0
    assert work.rows()[:16] == kept
    assert len(work.rows()) == 23


@contextmanager
def _interrupting_progress_bar(*args: object) -> Iterator[Any]:
    def advance(count: int) -> None:
        raise KeyboardInterrupt

    yield advance


def test_an_engine_that_fails_keeps_what_is_done(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    client = Client(lasts=2, error=gradebox.Unavailable("nobody\nthere"))
    assert work.grade(client=client) == 1
    assert capsys.readouterr().err == "gradebox: Unavailable: nobody | there\n"
    assert len(work.rows()) == 20


def test_what_the_engine_refuses_is_told_by_line(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    work.problems([{"id": "p", "tests": ["x"]}, {"id": "q", "tests": ["x"]}])
    work.problems([{"id": "p", "tests": ["x"]}, {"id": "refused", "tests": ["x"]}])
    work.programs([{"id": "p", "programs": ["pass"]}, {"id": "refused", "programs": ["x"]}])
    assert work.grade() == 2
    said = capsys.readouterr().err
    assert said == f"gradebox: {work.folder}/problems.jsonl:2: image: no such image\n"
    assert len(work.rows()) == 1


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["grade"], "gradebox: Missing argument 'PROBLEMS'."),
        (["nonsense"], "gradebox: No such command 'nonsense'."),
        (["demo", "--limit", "x"], "gradebox: Invalid value for '--limit'"),
        (["doctor", "--tier", "x"], "gradebox: --tier must be one of rootless, full, hardened, is 'x'"),
        (["run", "/none"], "gradebox: /none: No such file or directory"),
        (
            ["grade", "p", "g", "-o", "l", "--min-seal", "wax"],
            "gradebox: --min-seal must be one of in_process, compared, sealed, is 'wax'",
        ),
        (
            ["grade", "p", "g", "-o", "l", "--engine", "h:1", "--workers", "2"],
            "gradebox: --workers is for an embedded engine",
        ),
        (["grade", "p", "g", "-o", "g"], "gradebox: g is an input, too"),
        (["grade", "/none/p", "g", "-o", "l"], "gradebox: /none/p: No such file or directory"),
        (["serve", "--config", "/none.toml"], "gradebox: /none.toml: no such file"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == 1
