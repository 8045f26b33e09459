"""What a command shows: tables on stdout; a progress bar on stderr, where that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

_TABLE_WIDTH = 120  # where stdout is no terminal


def console() -> Console:
    """Stdout, wide enough for a table where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else _TABLE_WIDTH, highlight=False)


@contextmanager
def progress_bar(total: int | None, done: int = 0, what: str = "grading") -> Iterator[Callable[[int], None]]:
    """Yields a function that moves the bar on by so many submissions (or whatever `what` says is done).

    `total` is None when it is not known; `done` were there before.
    """
    if not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total, completed=done)
        yield lambda count: progress.advance(task, count)
