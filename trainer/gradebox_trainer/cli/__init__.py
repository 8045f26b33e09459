"""The trainer's commands of `gradebox`: one module each, with the arguments and their help in a function `command`.

Such a module imports typer, gradebox_command and nothing else, since all of them are imported for any
`gradebox --help`; what a command does is imported when it runs.
"""

import functools
import importlib
from collections.abc import Callable
from typing import NamedTuple

import typer

from gradebox_command.errors import CommandError


class Command(NamedTuple):
    """A command: its name, its module in this package, the extra of the distribution that it needs."""

    name: str
    module: str
    extra: str


COMMANDS: tuple[Command, ...] = (
    Command("synthesize", "synthesize", "data"),
    Command("sample", "sample", "data"),
    Command("filter", "filter", "data"),
    Command("agreement", "agreement", "data"),
    Command("select-hard", "select_hard", "data"),
    Command("pairs", "pairs", "data"),
    Command("report", "report", "data"),
    Command("import", "import_", "data"),
    Command("export", "export", "data"),
    Command("train-rm", "train_rm", "trainer"),
    Command("score", "score", "trainer"),
    Command("best-of-n", "best_of_n", "trainer"),
    Command("bench-rm", "bench_rm", "trainer"),
    Command("train-rl", "train_rl", "trainer"),
    Command("evaluate", "evaluate", "trainer"),
)


def add_commands(app: typer.Typer) -> None:
    """Adds all of them to the command line."""
    for name, module, extra in COMMANDS:
        function = importlib.import_module(f"{__name__}.{module}").command
        app.command(name=name)(_with_extra(name, extra, function))


def _with_extra(name: str, extra: str, function: Callable[..., int]) -> Callable[..., int]:
    """The command, saying what to install where a package that it needs is missing."""

    @functools.wraps(function)
    def run(*args: object, **kwargs: object) -> int:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package.startswith("gradebox"):
                raise
            raise CommandError(
                f"gradebox {name} needs {package}, which is not installed: pip install 'gradebox[{extra}]'"
            ) from None

    return run
