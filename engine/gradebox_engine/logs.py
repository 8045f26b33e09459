"""The engine's log: JSON lines to stderr. What is logged never holds text of programs or tests.

But for those of `log_programs`, for who asks for them.
"""

import contextlib
import io
import logging
import sys
from typing import TextIO, cast

import structlog

from gradebox_engine.recent import Recent


def configure_logging(level: str, front: int = 0) -> Recent:
    """To be called once a process. front: the number of this front where there are several, to stand in each line.

    Returns what keeps the last errors.
    """
    recent = Recent()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            recent,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, _Stderr())),
        cache_logger_on_first_use=True,
    )
    if front:
        structlog.contextvars.bind_contextvars(front=front)
    return recent


class _Stderr(io.TextIOBase):
    """stderr; what cannot be written, since whoever read it is gone, is dropped."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
