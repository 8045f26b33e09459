"""Hugging Face `datasets`, both ways: any file or folder of rows as a Dataset, any Dataset as a file of rows.

to_dataset(Path("pairs/train.parquet"))      # problems, programs, labels, pairs
from_dataset(load_dataset("…"), Path("rows.jsonl.gz"))
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradebox_command.errors import InputError
from gradebox_command.rows import read_rows, row_files
from gradebox_command.writing import PARQUET_SUFFIXES, write_rows

if TYPE_CHECKING:
    import datasets


def to_dataset(path: Path) -> "datasets.Dataset":
    """A Dataset of the rows of a file or a folder, on disk where it is large.

    Tests of several kinds in one column need a `datasets` that has a type for JSON (5); an older one refuses them.

    Raises:
        InputError: the rows cannot be read, or have no one type for a column.
    """
    import datasets

    files = row_files(path)
    try:
        if all(file.suffix in PARQUET_SUFFIXES for file in files):
            return datasets.Dataset.from_parquet([str(file) for file in files])
        return datasets.Dataset.from_generator(_rows, gen_kwargs={"path": str(path)}, split="train")
    except datasets.exceptions.DatasetGenerationError as error:
        reason = error.__cause__ or error
        if isinstance(reason, InputError):
            raise reason from None
        raise InputError(path, None, "", f"does not fit a Dataset: {reason}") from None


def _rows(path: str) -> Iterator[dict[str, Any]]:
    for _, row in read_rows(Path(path)):
        yield row


def from_dataset(dataset: "datasets.Dataset", path: Path) -> int:
    """Writes the rows of a Dataset (also one that streams) to a file; returns how many. Raises CommandError."""
    return write_rows(path, ({name: value for name, value in row.items() if value is not None} for row in dataset))


def saved_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of what `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote. Raises InputError."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise InputError(path, None, "", str(error)) from None
    splits = loaded.values() if isinstance(loaded, dict) else (loaded,)
    number = 0
    for split in splits:
        for row in split:
            number += 1
            yield number, {name: value for name, value in row.items() if value is not None}
