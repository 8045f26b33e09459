"""Names of the files that a command keeps beside its output."""

from pathlib import Path


def beside(output: Path, what: str) -> Path:
    """The file `what` of an output: `problems.jsonl.gz` → `problems.answers.jsonl`."""
    return output.with_name(f"{output.name.partition('.')[0] or output.name}.{what}.jsonl")
