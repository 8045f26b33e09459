"""What the coverage-guided fuzzers share: they run until something breaks, or as long as they are told to.

A target's corpus is kept in `.fuzz/<name>` of the current folder, and starts with real messages. A failing input is
left in `.fuzz/`, to become a test in tests/fuzz/test_findings.py.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import atheris  # type: ignore[import-untyped]

__all__ = ["atheris", "run"]

_MAX_BYTES = 4096


def run(name: str, target: Callable[[bytes], None], seeds: list[bytes]) -> None:
    """Runs a target for as long as libFuzzer's options (`-max_total_time=…`) say."""
    corpus = Path(".fuzz") / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    defaults = [f"-max_len={_MAX_BYTES}", "-timeout=100", "-rss_limit_mb=2048", f"-artifact_prefix=.fuzz/{name}-"]
    atheris.Setup([sys.argv[0], *defaults, *sys.argv[1:], str(corpus)], target)
    atheris.Fuzz()
