"""Packages of the operator's, and modules that are imported ahead for the programs that use them."""

from pathlib import Path

import pytest

import gradebox
from gradebox_engine.bench.packages import copy_numpy

HEAVY = "import time\nBORN = time.monotonic()\ndef double(x):\n    return 2 * x\n"
USES = "import heavy\nprint(heavy.BORN)\n"


@pytest.fixture
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    for place in (folder, *folder.parents[:2]):
        place.chmod(0o755)  # programs are nobody
    (folder / "heavy.py").write_text(HEAVY)
    (folder / "light.py").write_text(HEAVY)
    return folder


def settings(monkeypatch: pytest.MonkeyPatch, packages: Path, warm: str) -> None:
    monkeypatch.setenv("GRADEBOX_PACKAGES", str(packages))
    monkeypatch.setenv("GRADEBOX_WARM_MODULES", warm)


def printed(engine: gradebox.Engine, source: str) -> str:
    ran = engine.run(source)
    assert ran.verdict is gradebox.Verdict.PASSED, ran
    return ran.stdout.decode().strip()


def test_who_uses_one_finds_it_imported(jails: None, monkeypatch: pytest.MonkeyPatch, packages: Path) -> None:
    settings(monkeypatch, packages, '["heavy"]')
    with gradebox.Engine(workers=1) as engine:
        assert printed(engine, USES) == printed(engine, USES)
        light = USES.replace("heavy", "light")
        assert printed(engine, light) != printed(engine, light)  # imported each time
        assert printed(engine, "import sys\nprint('heavy' in sys.modules, '/gradebox/packages' in sys.path)") == (
            "False True"
        )
        results = engine.grade(
            ["from heavy import double as f", "def f(x): return x + x", "f = None"],
            tests=["assert f(2) == 4", "import heavy\nfor n in range(3):\n    assert f(n) == heavy.double(n)"],
        )
        assert [result.pass_rate for result in results] == [1.0, 1.0, 0.0]


def test_a_jail_that_dies_is_replaced_by_one_of_its_kind(
    jails: None, monkeypatch: pytest.MonkeyPatch, packages: Path
) -> None:
    settings(monkeypatch, packages, '["heavy"]')
    bomb = "import heavy\nheld = []\ndef f(x):\n    while True: held.append(bytearray(1 << 20))\n"
    with gradebox.Engine(workers=1) as engine:
        born = printed(engine, USES)
        (result,) = engine.grade([bomb], tests=["assert f(1)"], limits={"memory_bytes": 64 << 20})
        assert result.verdict is gradebox.Verdict.MEMORY_LIMIT
        assert printed(engine, USES) == born


def test_no_such_module(jails: None, monkeypatch: pytest.MonkeyPatch, packages: Path) -> None:
    settings(monkeypatch, packages, '["absent_module"]')
    with pytest.raises(gradebox.GradeboxError, match="No module named 'absent_module'"):
        gradebox.Engine(workers=1)


def test_no_such_folder(jails: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings(monkeypatch, tmp_path / "nowhere", "[]")
    with pytest.raises(gradebox.GradeboxError, match="packages"):
        gradebox.Engine(workers=1)


def test_numpys_random_numbers_are_not_those_of_the_last_program(
    jails: None, monkeypatch: pytest.MonkeyPatch, packages: Path
) -> None:
    assert copy_numpy(packages)
    settings(monkeypatch, packages, '["numpy.random"]')
    with gradebox.Engine(workers=1) as engine:
        draw = "import numpy\nprint(numpy.random.rand())"
        assert printed(engine, draw) != printed(engine, draw)
