"""What a folder of labels was made of and what is in it, as JSON beside the shards."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradebox_command.errors import InputError
from gradebox_command.tally import Tally
from gradebox_command.writing import write_text

MANIFEST = "_manifest.json"


class Contents:
    """Counts all labels of a folder, those of earlier runs, too."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._engines: Counter[str] = Counter()
        self._generators: Counter[str] = Counter()

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        rows = list(rows)
        self._tally.add(rows)
        for row in rows:
            self._engines[json.dumps(row.get("engine"))] += 1
            if row.get("generator"):
                self._generators[row["generator"]] += 1

    def counts(self) -> dict[str, Any]:
        """Numbers of rows: in all, by verdict, seal, evidence and generator."""
        tally = self._tally
        return {
            "submissions": tally.submissions,
            "tests": tally.tests,
            "verdicts": dict(sorted(tally.verdicts.items())),
            "seals": {str(seal): count for seal, count in sorted(tally.seals.items(), key=str)},
            "evidence": dict(sorted(tally.evidence.items())),
            "generators": dict(sorted(self._generators.items())),
            "mean_pass_rate": tally.mean_pass_rate(),
        }

    def engines(self) -> list[dict[str, Any]]:
        """The engines that gave the labels, each with how many it gave."""
        return [{**json.loads(stamp), "submissions": count} for stamp, count in sorted(self._engines.items())]


def write_manifest(
    folder: Path, contents: Contents, *, inputs: Mapping[str, Path], settings: Mapping[str, Any]
) -> None:
    """Raises CommandError when it cannot be written."""
    manifest = {
        "inputs": {name: {"path": str(path.absolute())} for name, path in inputs.items()},
        "settings": dict(settings),
        "engines": contents.engines(),
        "counts": contents.counts(),
        "shards": sorted(file.name for file in folder.iterdir() if file.name.startswith("labels-")),
    }
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of labels. Raises InputError where there is none, or it cannot be read."""
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except OSError as error:
        raise InputError(
            path, None, "", f"{error.strerror}: `gradebox grade -o FOLDER/` writes it at its end"
        ) from None
    except ValueError as error:
        raise InputError(path, None, "", f"not JSON: {error}") from None
    return manifest
