"""Which engines a command talks to, and how."""

from pathlib import Path

import pytest

from gradebox_engine.cli import main


@pytest.fixture
def program(tmp_path: Path) -> str:
    file = tmp_path / "program.py"
    file.write_text("print()")
    return str(file)


def test_the_environment_s_token_is_sent_nowhere_in_the_clear(
    program: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADEBOX_TOKEN", "a-secret")
    assert main(["run", program, "--engine", "engine.test:1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("gradebox: InvalidRequest: token: would travel to engine.test:1 in the clear")
    assert said.count("\n") == 1
    assert "a-secret" not in said


@pytest.mark.parametrize("flag", ["--ca-file", "--key-file"])
def test_a_file_that_is_not_there_is_named(program: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", program, "--engine", "engine.test:1", flag, "/nowhere.pem"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ca_file: cannot be read" in said or "cert_file: missing: it goes with key_file" in said
