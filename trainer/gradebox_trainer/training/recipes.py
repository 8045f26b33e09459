"""Shipped settings: TOML files that `--config` takes by name."""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent.parent / "recipes"


def recipes(kind: str) -> list[str]:
    """Names of the shipped recipes of a command: `rm` for train-rm."""
    return sorted(path.stem for path in _FOLDER.glob(f"{kind}-*.toml"))


def settings_file(given: Path, kind: str) -> Path:
    """The file itself where there is one, else the recipe of that name, else what was given."""
    return _FOLDER / f"{given}.toml" if not given.exists() and str(given) in recipes(kind) else given
