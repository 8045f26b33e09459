"""The package's whole interface, and that the synchronous half has the shape of the other."""

import inspect
import pickle
import subprocess
import sys

import pytest

import gradebox
from gradebox._errors import from_status

NAMES = """
AccessDenied AsyncClient AsyncEngine CacheInfo CallTest Checker Client CodeTest DeadlineExceeded Engine EngineFault
EngineInfo EngineStamp Evidence GradeItem Graded GradeboxError ImageInfo InvalidRequest Limits Overloaded
Problem RunResult Seal StdioTest SubmissionResult TestResult Unavailable UnittestTest Verdict
extract_code
""".split()


def test_exactly_these_names() -> None:
    assert sorted(gradebox.__all__) == sorted(NAMES)
    public = {name for name, value in vars(gradebox).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert public == set(NAMES)
    assert all(getattr(gradebox, name).__module__ == "gradebox" for name in NAMES)


@pytest.mark.parametrize("name", ["grade", "grade_many", "run", "info", "close"])
def test_synchronous_and_asynchronous_agree(name: str) -> None:
    ours = inspect.signature(getattr(gradebox.Client, name))
    theirs = inspect.signature(getattr(gradebox.AsyncClient, name))
    assert ours.parameters == theirs.parameters


def test_engines_are_clients() -> None:
    assert issubclass(gradebox.Engine, gradebox.Client)
    assert issubclass(gradebox.AsyncEngine, gradebox.AsyncClient)
    ours, theirs = inspect.signature(gradebox.Engine), inspect.signature(gradebox.AsyncEngine)
    assert ours.parameters == theirs.parameters


def test_importing_pulls_in_nothing_heavy() -> None:
    code = (
        "import sys, gradebox; print([m for m in sys.modules if m.split('.')[0] in "
        "{'torch', 'ray', 'numpy', 'pydantic', 'structlog', 'psutil', 'gradebox_engine'}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, gradebox.Unavailable),
        (2, gradebox.EngineFault),
        (3, gradebox.InvalidRequest),
        (4, gradebox.DeadlineExceeded),
        (5, gradebox.InvalidRequest),
        (8, gradebox.Overloaded),
        (12, gradebox.EngineFault),
        (13, gradebox.EngineFault),
        (14, gradebox.Unavailable),
    ],
)
def test_the_table_of_errors(code: int, kind: type[gradebox.GradeboxError]) -> None:
    error = from_status(code, "why")
    assert type(error) is kind
    assert isinstance(error, gradebox.GradeboxError)


def test_an_error_names_its_field() -> None:
    error = from_status(3, "missing", "suite.tests[1].stdio")
    assert isinstance(error, gradebox.InvalidRequest)
    assert (error.field, error.problem) == ("tests[1].stdio", "missing")
    assert str(error) == "tests[1].stdio: missing"
    large = from_status(8, "Received message larger than max (9 vs. 5)")
    assert isinstance(large, gradebox.InvalidRequest)


def test_an_error_survives_its_way_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(gradebox.InvalidRequest("missing", "tests")))
    assert (str(error), error.field, error.problem) == ("tests: missing", "tests", "missing")
