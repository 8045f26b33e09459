"""Settings of a run: from a TOML file, or one that is shipped (`--config` takes its name), and from flags over it."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gradebox_command.errors import BadArgument

_FOLDER = Path(__file__).resolve().parent.parent / "recipes"


def recipes(kind: str) -> list[str]:
    """Names of the shipped recipes of a command: `rm` for train-rm, `rl` for train-rl."""
    return sorted(path.stem for path in _FOLDER.glob(f"{kind}-*.toml"))


def read_values(file: Path | None, kind: str) -> dict[str, Any]:
    """What stands in a TOML file, or in the recipe of that name; nothing without a file.

    Raises:
        BadArgument: it cannot be read, or is not TOML.
    """
    if file is None:
        return {}
    path = _FOLDER / f"{file}.toml" if not file.exists() and str(file) in recipes(kind) else file
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise BadArgument(f"{file}: {error.strerror}; recipes: {', '.join(recipes(kind))}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadArgument(f"{file}: not TOML: {error}") from None


def validated[S: BaseModel](
    settings: type[S], file: Path | None, values: Mapping[str, Any], given: Mapping[str, Any]
) -> S:
    """The settings of a file's values with the given ones over them.

    Raises:
        BadArgument: a setting is unknown or has a value that it cannot have; the text names it.
    """
    try:
        return settings.model_validate(_merged(values, given))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = f"{file}: " if file is not None and first["loc"] and first["loc"][0] not in given else ""
        problem = first["msg"].removeprefix("Value error, ")
        raise BadArgument(f"{where}{name + ': ' if name else ''}{problem}") from None


def set_values(assignments: Sequence[str], flags: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """`["lora.rank=8", "mode=pairwise"]` as nested settings; a value is TOML, or else plain text.

    flags: settings with options of their own, which go before; None where one was not given.

    Raises:
        BadArgument: one is no assignment.
    """
    values: dict[str, Any] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise BadArgument(f"--set {text!r}: write KEY=VALUE")
        try:
            one = tomllib.loads(f"{key} = {value}")
        except tomllib.TOMLDecodeError:
            try:
                one = tomllib.loads(f"{key} = {json.dumps(value)}")
            except tomllib.TOMLDecodeError:
                raise BadArgument(f"--set {text!r}: no such key can be") from None
        values = _merged(values, one)
    return _merged(values, {key: value for key, value in (flags or {}).items() if value is not None})


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if both else value
    return result
