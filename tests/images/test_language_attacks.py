"""Hostile programs in every language that is built here; attacks/<attack>/ has what is expected and the programs.

attack.toml: `note`; `expect`, verdicts that a correct engine may give; `limits`; where the attack is one that must be
refused, `stdout`, which an honest judge of it would print; `tests`, how often it runs (2: what the first run leaves is
what the second looks for); `message`, which the result's has to hold; `evidence`, a sign that has to be noted; and
`secret`: the expected output is a secret that must not be in what the program prints.
"""

import secrets
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.images.offered import SUFFIXES, SUMS, need

import gradebox
from gradebox import Verdict

ATTACKS = Path(__file__).with_name("attacks")
PROGRAMS = sorted(file for file in ATTACKS.glob("*/*") if file.suffix in SUFFIXES)
COMPILERS = sorted(Path(__file__).with_name("compilers").iterdir())
# A judge that takes every output but one with the secret in it.
KEEPS_SECRET = """
import json, sys
asked = json.load(sys.stdin)
sys.exit(asked["expected_stdout"] in asked["stdout"])
"""


def _still_works(engine: gradebox.Engine, language: str) -> None:
    """Whatever a program does, the next one is graded as if nothing had happened."""
    tests: list[Any] = [{"stdin": f"{a} 5", "expected_stdout": str(a + 5)} for a in (1, 2)]
    result = engine.grade([SUMS[language]], tests=tests, language=language)[0]
    assert result.verdict is Verdict.PASSED, result.tests


@pytest.mark.parametrize("file", PROGRAMS, ids=lambda file: f"{file.parent.name}-{SUFFIXES[file.suffix]}")
def test_an_attack_comes_to_nothing(engine: gradebox.Engine, file: Path, host_port: int) -> None:
    language = SUFFIXES[file.suffix]
    need(engine, language)
    attack: dict[str, Any] = tomllib.loads((file.parent / "attack.toml").read_text(encoding="utf-8"))
    source = file.read_text(encoding="utf-8").replace("{{PORT}}", str(host_port))
    expected = secrets.token_hex(16) if attack.get("secret") else attack.get("stdout", "")
    test: dict[str, Any] = {"stdin": "", "expected_stdout": expected}
    if attack.get("secret"):
        test["checker"] = {"kind": "judge", "source": KEEPS_SECRET}
    tests = [test] * attack.get("tests", 1)
    result = engine.grade([source], tests=tests, language=language, limits=attack.get("limits"))[0]
    for each in result.tests:
        assert each.verdict.name in attack["expect"], (each, result.evidence)
        assert attack.get("message", "") in each.message
    if "evidence" in attack:
        assert attack["evidence"] in [sign.name for sign in result.evidence]
    _still_works(engine, language)


@pytest.mark.parametrize("file", COMPILERS, ids=lambda file: file.name)
def test_a_compiler_that_is_attacked_refuses_the_program(hurried_engine: gradebox.Engine, file: Path) -> None:
    language = SUFFIXES[file.suffix]
    need(hurried_engine, language)
    tests: list[Any] = [{"stdin": "", "expected_stdout": "none of it compiles"}]
    result = hurried_engine.grade([file.read_text(encoding="utf-8")], tests=tests, language=language)[0]
    assert result.verdict is Verdict.COMPILE_ERROR, result.tests
    assert 0 < len(result.tests[0].message) <= 2100
    _still_works(hurried_engine, language)


@pytest.mark.parametrize("language", [language for language in SUMS if language != "python"])
def test_an_honest_program_leaves_no_sign(engine: gradebox.Engine, language: str) -> None:
    """What a run-time asks of the kernel when it starts is allowed or refused, and no attack."""
    need(engine, language)
    tests: list[Any] = [{"stdin": "20 22", "expected_stdout": "42"}]
    result = engine.grade([SUMS[language]], tests=tests, language=language)[0]
    assert (result.verdict, list(result.evidence)) == (Verdict.PASSED, []), result
