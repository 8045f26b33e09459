"""What `gradebox images` does."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gradebox_command.errors import BAD_INPUT, DONE, FAILED, BadArgument, CommandError, one_line
from gradebox_command.terminal import console
from gradebox_engine.config import InvalidConfig, load_config
from gradebox_engine.images.build import Options, build, is_outdated
from gradebox_engine.images.commands import BuildError
from gradebox_engine.images.host import host_python
from gradebox_engine.images.manifest import MANIFEST_NAME, InvalidManifest, load_manifest
from gradebox_engine.images.oci import import_image
from gradebox_engine.images.recipe import InvalidRecipe, recipe_names, recipes_folder
from gradebox_engine.images.store import BuiltImage, ImageChanged, ImageError, ImageNotBuilt, Store
from gradebox_engine.images.tree import BadArchive

_BAD_INPUT = (InvalidRecipe, InvalidManifest, BadArchive)


class _BadInput(CommandError):
    exit_status = BAD_INPUT


@dataclass(frozen=True)
class Places:
    """Where images are built to, and from what."""

    store: Store
    recipes: Path

    @classmethod
    def given(cls, store: Path | None, recipes: Path | None) -> "Places":
        """By the command line, else by the settings. Raises BadArgument."""
        if recipes is not None and not recipes.is_dir():
            raise BadArgument(f"--recipes: {recipes}: no such folder")
        try:
            config = load_config({"image_store": store})
        except InvalidConfig as error:
            raise BadArgument(str(error)) from None
        return cls(Store(config.image_store), recipes or recipes_folder())


@contextmanager
def _told(name: str) -> Iterator[Callable[[str], None]]:
    """Shows what is being done: a line that moves on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda step: None
        return
    started = time.monotonic()
    with Console(stderr=True).status(name) as status:
        yield lambda step: status.update(f"{name}: {step} ({time.monotonic() - started:.0f} s)")


def _fields(image: BuiltImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "digest": f"sha256:{image.digest}",
        "size_bytes": image.size_bytes,
        "built_s": image.built_s,
        "root": str(image.root),
    }


def _state(places: Places, name: str) -> dict[str, Any]:
    try:
        image = places.store.find(name)
    except ImageNotBuilt:
        return {"name": name, "state": "not built", "build": f"gradebox images build {name}"}
    except ImageError as error:
        return {"name": name, "state": "changed", "error": str(error)}
    if not image.is_as_listed():
        return {**_fields(image), "state": "touched"}
    try:
        outdated = is_outdated(image, places.recipes / name)
    except (InvalidRecipe, BuildError) as error:
        return {**_fields(image), "state": "built", "error": str(error)}
    if outdated:
        return {**_fields(image), "state": "outdated", "build": f"gradebox images build {name}"}
    return {**_fields(image), "state": "built"}


def _languages(places: Places, name: str) -> list[str]:
    for folder in (places.store.folder / name / "current", places.recipes / name):
        try:
            return list(load_manifest(folder).languages)
        except InvalidManifest:
            continue
    return []


def list_images(places: Places, *, as_json: bool) -> int:
    """Prints a row an image. State: embedded, built, not built; outdated: its recipe has changed since it was built;
    touched: verify tells whether its content changed.
    """
    host = host_python()
    rows: list[dict[str, Any]] = [
        {"name": host.name, "state": "embedded", "digest": f"sha256:{host.digest}", "languages": ["python"]}
    ]
    for name in sorted({*recipe_names(places.recipes), *places.store.names()}):
        rows.append({**_state(places, name), "languages": _languages(places, name)})
    if as_json:
        print(json.dumps(rows))
        return DONE
    table = Table(box=None, pad_edge=False)
    for title in ("image", "languages", "state", "size", "digest"):
        table.add_column(title, justify="right" if title == "size" else "left")
    for row in rows:
        size = f"{row['size_bytes'] / 1e6:.0f} MB" if "size_bytes" in row else ""
        state = f"{row['state']}: {row['build']}" if "build" in row else row["state"]
        table.add_row(row["name"], ", ".join(row["languages"]), state, size, row.get("digest", "")[:23])
    console().print(table)
    return DONE


def build_images(
    places: Places,
    names: list[str],
    *,
    update_lock: bool,
    force: bool,
    python: Path | None,
    apt_sources: Path | None,
    as_json: bool,
) -> int:
    """Builds these images, or all; prints a line each. Raises CommandError at the first that cannot be built."""
    known = recipe_names(places.recipes)
    for name in names:
        if name not in known:
            raise BadArgument(f"{name}: there is no such recipe; there are: {', '.join(known) or 'none'}")
    options = Options(
        cache=Path.home() / ".cache" / "gradebox" / "images",
        update_lock=update_lock,
        force=force,
        python=python,
        apt_sources=apt_sources,
    )
    for name in names or known:
        started = time.monotonic()
        with _errors(name), _told(name) as told:
            image, done = build(places.recipes / name, places.store, options, told)
        took_s = time.monotonic() - started if done else None
        _print_built(image, "up to date" if took_s is None else f"built in {took_s:.0f} s", as_json)
    return DONE


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """What can be wrong with an image ends the command in one line."""
    try:
        yield
    except _BAD_INPUT as error:
        raise _BadInput(one_line(str(error))) from None
    except (BuildError, ImageError, ValueError, OSError) as error:
        raise CommandError(one_line(f"{name}: {error}", 4000)) from None


def _print_built(image: BuiltImage, what: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_fields(image)), flush=True)
    else:
        print(f"{image.name}: {what}, {image.size_bytes / 1e6:.0f} MB, sha256:{image.digest}", flush=True)


def verify_images(places: Places, names: list[str], *, as_json: bool) -> int:
    """Prints a line an image; FAILED when one is not as it was built, or not there."""
    rows = []
    for name in names or places.store.names():
        try:
            with _told(name) as told:
                image = places.store.find(name)
                told("reading")
                image.verify()
            rows.append({"name": name, "ok": True, "digest": f"sha256:{image.digest}"})
        except (ImageNotBuilt, ImageChanged) as error:
            rows.append({"name": name, "ok": False, "error": str(error)})
        if not as_json:
            print(f"{name}: {rows[-1].get('digest') or rows[-1]['error']}", flush=True)
    if as_json:
        print(json.dumps(rows))
    return DONE if all(row["ok"] for row in rows) else FAILED


def import_archive(places: Places, source: Path, name: str, manifest: Path | None, *, as_json: bool) -> int:
    """Imports an OCI image; prints a line. Raises CommandError."""
    if not source.exists():
        raise BadArgument(f"{source}: no such file or folder")
    described = manifest or places.recipes / name / MANIFEST_NAME
    try:
        text = described.read_bytes()
    except OSError as error:
        raise BadArgument(f"{described}: {error.strerror}; give the image's manifest with --manifest") from None
    started = time.monotonic()
    with _errors(name), _told(name) as told:
        image = import_image(source, name, text, places.store, told, manifest_name=str(described))
    _print_built(image, f"imported in {time.monotonic() - started:.0f} s", as_json)
    return DONE
