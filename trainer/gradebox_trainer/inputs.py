"""Which problems and programs a set of labels was made of."""

import json
from pathlib import Path

from gradebox_command.errors import BadArgument
from gradebox_command.manifest import MANIFEST


def named_inputs(labels: Path, problems: Path | None, programs: Path | None) -> tuple[Path, Path]:
    """The problems and the programs: as given, else as the folder of labels names them.

    Raises:
        BadArgument: neither says.
    """
    named = _named(labels) if labels.is_dir() else {}
    found = []
    for option, given in (("problems", problems), ("programs", programs)):
        if given is None and option in named:
            given = Path(named[option])
        if given is None:
            raise BadArgument(
                f"{labels} does not hold the texts: name the {option} that it was made of, --{option} FILE"
            )
        found.append(given)
    return found[0], found[1]


def _named(folder: Path) -> dict[str, str]:
    try:
        inputs = json.loads((folder / MANIFEST).read_text())["inputs"]
        return {name: inputs[name]["path"] for name in ("problems", "programs")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
