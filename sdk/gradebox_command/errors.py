"""Errors of the command line and their exit statuses."""

DONE = 0
FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130


class CommandError(Exception):
    """Ends a command with one line on stderr.

    `exit_status` is FAILED unless a subclass says otherwise.
    """

    exit_status = FAILED


class BadArgument(CommandError):
    """An argument that makes no sense, or that does not go with another one."""

    exit_status = BAD_INPUT


class InputError(CommandError):
    """Bad input: which file, which line (or row) of it, which field, and what is wrong.

    Args:
        path: the file as the user named it.
        line: from 1; None when the file as a whole is meant. Parquet files count rows.
        field: such as `tests[3].stdin`; empty when the row as a whole is meant.
        problem: what is wrong, in a few words.
    """

    exit_status = BAD_INPUT

    def __init__(self, path: object, line: int | None, field: str, problem: str) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        text = f"{where}: {field}: {problem}" if field else f"{where}: {problem}"
        super().__init__(one_line(text))
        self.field = field
        self.problem = problem


def one_line(text: str, limit: int = 1000) -> str:
    """`text` on one printable line of at most `limit` characters."""
    text = text.strip().replace("\n", " | ")
    if len(text) > limit:
        text = text[:limit] + "…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
