"""Metrics of a run: a JSON line a step, and TensorBoard, trackio or Weights & Biases where asked for."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from gradebox_command.errors import BadArgument, CommandError

Sink = Literal["tensorboard", "trackio", "wandb"]
FILE = "metrics.jsonl"


class _Writer(Protocol):
    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def close(self) -> None: ...


class Metrics:
    """Where a run's numbers go. `metrics.jsonl` in its folder always; rows after `step` of an earlier try are dropped.

    Raises:
        BadArgument: a sink's package is not installed.
        CommandError: the file cannot be written.
    """

    def __init__(self, folder: Path, sinks: Sequence[Sink], *, name: str, config: Mapping[str, Any], step: int) -> None:
        self.path = folder / FILE
        rows = read_metrics(folder) if step else []
        partial = self.path.with_name(FILE + ".partial")
        try:
            partial.write_text("".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step))
            os.replace(partial, self.path)
            self._file = self.path.open("a", buffering=1)
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}") from None
        self._writers = [_open(sink, folder, name, config, step) for sink in sinks]

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One row. Numbers that are not finite are null in the file."""
        row = {key: value if math.isfinite(value) else None for key, value in values.items()}
        try:
            self._file.write(json.dumps({"step": step, **row}) + "\n")
        except OSError as error:
            raise CommandError(f"{self.path}: {error.strerror}") from None
        for writer in self._writers:
            writer.log(values, step)

    def close(self) -> None:
        """Writes what is left."""
        self._file.close()
        for writer in self._writers:
            writer.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """All whole rows of a run's metrics; none where there is no file."""
    try:
        lines = (folder / FILE).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


class _TensorBoard:
    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def log(self, values: Mapping[str, float], step: int) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def close(self) -> None:
        self._writer.close()


class _Run:
    """trackio and wandb: the same three functions."""

    def __init__(self, package: Any, name: str, config: Mapping[str, Any]) -> None:
        self._package = package
        package.init(project="gradebox", name=name, config=dict(config), resume="allow")

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._package.log(dict(values), step=step)

    def close(self) -> None:
        self._package.finish()


def _open(sink: Sink, folder: Path, name: str, config: Mapping[str, Any], step: int) -> _Writer:
    import importlib

    try:
        if sink == "tensorboard":
            return _TensorBoard(folder, step)
        return _Run(importlib.import_module(sink), name, config)
    except ModuleNotFoundError:
        raise BadArgument(f"report_to: {sink} is not installed: pip install {sink}") from None
