"""Python that models wrote, as a syntax tree. It is parsed and looked at, never run."""

import ast
import warnings


def parse_python(source: str) -> ast.Module | None:
    """The module, or None for what is no Python (or nested beyond what Python's parser takes)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of invalid escapes and the like: the text is not ours
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
