"""The trainer's commands in the command line: quick to list, clear where an extra is missing."""

import subprocess
import sys

import pytest
import typer

from gradebox_command.errors import CommandError
from gradebox_trainer import cli

HEAVY = ("datasets", "gradebox", "grpc", "jinja2", "matplotlib", "numpy", "openai", "pyarrow", "ray", "torch", "vllm")

PROBE = f"""
import sys
from gradebox_engine.cli import main
status = main(["--help"])
heavy = sorted(set({HEAVY!r}) & set(sys.modules))
assert not heavy, f"gradebox --help imports {{heavy}}"
sys.exit(status)
"""


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    shown = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)

    assert shown.returncode == 0, shown.stderr
    for command in cli.COMMANDS:
        assert f" {command.name} " in shown.stdout


def test_a_command_whose_extra_is_missing_says_what_to_install() -> None:
    def needs() -> int:
        import a_package_that_is_not_there  # type: ignore[import-not-found]  # noqa: F401

        return 0

    run = cli._with_extra("synthesize", "data", needs)

    with pytest.raises(CommandError, match=r"needs a_package_that_is_not_there, .*pip install 'gradebox\[data\]'"):
        run()


def test_a_module_of_ours_that_is_missing_is_no_missing_extra() -> None:
    def broken() -> int:
        raise ModuleNotFoundError("no", name="gradebox_trainer.nothing")

    with pytest.raises(ModuleNotFoundError):
        cli._with_extra("synthesize", "data", broken)()


def test_commands_keep_their_arguments() -> None:
    app = typer.Typer()

    cli.add_commands(app)

    assert [command.name for command in app.registered_commands] == [command.name for command in cli.COMMANDS]
