"""Which image a request means, and what is said of those that are not there."""

import pytest

from gradebox_engine.convert import InvalidSuite, check_files
from gradebox_engine.limits import Ceilings, Limits
from gradebox_engine.suites import Image, Images, Suites
from gradebox_engine.work import SuiteEntry
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

OWN = Image("python", "sha256:1")
CPP = Image("cpp", "sha256:2", ("c", "cpp"), {"processes": 3}, 10.0)
SCIENTIFIC = Image("python-scientific", "sha256:3")
IMAGES = Images([OWN, CPP, SCIENTIFIC], {"cpp": ["c", "cpp"], "java": ["java"], "rust": ["rust"]})
CODE = wire.Test(code=b"int main() {}")


@pytest.mark.parametrize(
    ("image", "language", "found"),
    [
        ("", "", (OWN, "python")),
        ("", "python", (OWN, "python")),
        ("", "c++", (CPP, "cpp")),
        ("", "C", (CPP, "c")),
        ("cpp", "", (CPP, "cpp")),
        ("cpp@sha256:2", "cpp", (CPP, "cpp")),
        ("python-scientific", "", (SCIENTIFIC, "python")),
        ("python-scientific", "py", (SCIENTIFIC, "python")),
    ],
)
def test_what_is_meant(image: str, language: str, found: tuple[Image, str]) -> None:
    assert IMAGES.find(image, language, "") == found


@pytest.mark.parametrize(
    ("image", "language", "field", "said"),
    [
        ("moon", "", "image", "there is python@sha256:1, cpp@sha256:2"),
        ("cpp@sha256:9", "", "image", "is not offered"),
        ("java", "", "image", "gradebox images build java"),
        ("", "java", "language", "gradebox images build java"),
        ("", "cobol", "language", "there is python, c, cpp"),
        ("cpp", "python", "language", "is not in image cpp, which has c, cpp"),
    ],
)
def test_what_is_not_there(image: str, language: str, field: str, said: str) -> None:
    with pytest.raises(InvalidSuite) as caught:
        IMAGES.find(image, language, "suite.")
    assert (caught.value.field, said in caught.value.message) == (f"suite.{field}", True), caught.value


def entry_of(suite: wire.Suite) -> tuple[wire.Suite, SuiteEntry]:
    entry = Suites(IMAGES, Ceilings()).find(routed.RoutedGradeRequest(suite=suite.SerializeToString()))
    return wire.Suite.FromString(entry.data), entry


def test_a_suite_is_completed_by_its_image() -> None:
    full, entry = entry_of(wire.Suite(tests=[CODE], language="c++"))
    assert (full.language, full.image, full.limits.processes) == ("cpp", "cpp@sha256:2", 3)
    assert entry.image == "cpp@sha256:2"
    assert entry_of(wire.Suite(tests=[CODE], language="cpp", limits=wire.Limits(processes=1)))[0].limits.processes == 1
    own, entry = entry_of(wire.Suite(tests=[CODE]))
    assert (own.language, own.image, own.limits.processes, entry.image) == (
        "python",
        "python@sha256:1",
        1,
        "",
    )


@pytest.mark.parametrize("kind", ["call", "unittest"])
def test_tests_of_python_alone(kind: str) -> None:
    test = wire.Test(unittest=b"x") if kind == "unittest" else wire.Test(call=wire.Call(expected_json="1"))
    with pytest.raises(InvalidSuite) as caught:
        entry_of(wire.Suite(tests=[CODE, test], language="cpp", entry_point="f"))
    assert caught.value.field == f"suite.tests[1].{kind}"
    assert "not cpp" in caught.value.message


def test_too_many_files() -> None:
    with pytest.raises(InvalidSuite, match="files: 300 are more"):
        check_files([wire.File(name=f"f{n}") for n in range(300)], [], Limits())
    with pytest.raises(InvalidSuite, match="there already"):
        check_files([wire.File(name="f"), wire.File(name="f")], [], Limits())
