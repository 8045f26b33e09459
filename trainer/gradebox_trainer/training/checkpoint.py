"""Checkpoints that are there whole or not at all.

A checkpoint is a folder `step-00000100`, written as `step-00000100.partial`, synced and then renamed. What ends the
process, or fills the disk, in the middle leaves a `.partial` that nothing reads, and the checkpoints before it.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradebox_command.errors import CommandError

_NAME = re.compile(r"step-(\d{8})")
STATE = "training_state.pt"


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of every whole checkpoint, the oldest first."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in found if match)


@contextmanager
def saving(folder: Path) -> Iterator[None]:
    """Turns what goes wrong while files are written into one clear error.

    Raises:
        CommandError: with the reason, and the last checkpoint that is whole.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # torch.save: RuntimeError, the reason in its text
        last = checkpoints(folder)
        kept = f"the last whole checkpoint is {last[-1][1]}; --resume goes on from it" if last else "none was whole yet"
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).split("\n", 1)[0]
        free = shutil.disk_usage(folder).free >> 20
        raise CommandError(f"could not save to {folder} ({free:,} MiB free): {reason}; {kept}") from None


def save_checkpoint(folder: Path, step: int, write: Callable[[Path], None], *, keep: int) -> Path:
    """Writes one checkpoint with `write(its folder)`, then deletes all but the newest `keep`.

    Raises:
        CommandError: it could not be written; the others are untouched.
    """
    target = folder / f"step-{step:08d}"
    with saving(folder):
        write_whole(target, write)
    for _, old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old)
    return target


def write_whole(target: Path, write: Callable[[Path], None]) -> None:
    """Makes the folder `target` with what `write` puts into it, all or nothing."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write(partial)
        for path in partial.rglob("*"):
            _sync(path)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
        _sync(target.parent)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def publish(folder: Path, write: Callable[[Path], None]) -> None:
    """Puts files straight into `folder`: all are written aside first, then renamed into place."""
    aside = folder / ".final"
    with saving(folder / "checkpoints"):
        write_whole(aside, write)
        for path in aside.iterdir():
            os.replace(path, folder / path.name)
        aside.rmdir()


def load_state(path: Path) -> dict[str, Any]:
    """A checkpoint's state of the training; tensors and plain values only, nothing is executed."""
    import torch

    state: dict[str, Any] = torch.load(path / STATE, map_location="cpu", weights_only=True)
    return state


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
