"""Built images: `make test` builds those that GRADEBOX_TEST_IMAGES names, `make test-images` all of them.

They are built into the store that engines use, and stay there: a later run finds them.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import in_ci

import gradebox
from gradebox_engine.config import load_config
from gradebox_engine.images.build import Options, build
from gradebox_engine.images.debian import LockOutdated
from gradebox_engine.images.recipe import recipe_names, recipes_folder
from gradebox_engine.images.store import BuiltImage, Store

CACHE = Path.home() / ".cache" / "gradebox" / "images"
OFTEN = "cpp python-scientific"
NAMED = os.environ.get("GRADEBOX_TEST_IMAGES", OFTEN)


def chosen(named: str) -> list[str]:
    """The images of these names, or all of them."""
    return list(recipe_names(recipes_folder())) if named == "all" else named.split()


NAMES = chosen(NAMED)


@pytest.fixture(scope="session")
def builder(jails: None) -> None:
    """For tests that build: where mmdebstrap is missing, fails in CI, else skips."""
    if shutil.which("mmdebstrap"):
        return
    reason = "mmdebstrap is missing: make setup-test"
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def store() -> Store:
    return Store(load_config({}).image_store)


_built: dict[str, BuiltImage] = {}


def built(name: str, store: Store, folder: Path) -> BuiltImage:
    """The image, built if it is not. A mirror that has dropped what is locked is the lock's fault, not the code's."""
    if name not in _built:
        recipe = recipes_folder() / name
        try:
            _built[name], _ = build(recipe, store, Options(CACHE), print)
        except LockOutdated as error:
            print(f"{name}: {error}")
            newer = folder / name
            shutil.copytree(recipe, newer)
            _built[name], _ = build(newer, store, Options(CACHE, update_lock=True), print)
    return _built[name]


@pytest.fixture(scope="session", params=NAMES)
def image(
    request: pytest.FixtureRequest, builder: None, store: Store, tmp_path_factory: pytest.TempPathFactory
) -> BuiltImage:
    """Each of the chosen images, built."""
    return built(str(request.param), store, tmp_path_factory.mktemp("recipes"))


@pytest.fixture(scope="session")
def engine(builder: None, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gradebox.Engine]:
    """An engine that was started when all of the chosen images were there."""
    for name in NAMES:
        built(name, store, tmp_path_factory.mktemp("recipes"))
    with gradebox.Engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def hurried_engine(engine: gradebox.Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gradebox.Engine]:
    """An engine whose compilers have few seconds and little memory: those that attack them would take all there is."""
    config = tmp_path_factory.mktemp("hurried") / "engine.toml"
    config.write_text("[ceilings]\ncpu_time_s = 6\nmemory_bytes = 536870912\n", encoding="utf-8")
    with gradebox.Engine(workers=1, config_file=config) as made:
        yield made


@pytest.fixture(scope="session")
def host_port() -> Iterator[int]:
    """A port of this machine at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="session")
def small(builder: None, store: Store, tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """The smallest image, built."""
    return built("python-3.12", store, tmp_path_factory.mktemp("recipes"))


@pytest.fixture
def copied(small: BuiltImage, store: Store, tmp_path: Path) -> Iterator[Store]:
    """A store of its own with a copy of the smallest image, to be damaged."""
    place = tmp_path / "images"
    shutil.copytree(store.folder / small.name, place / small.name, symlinks=True)
    yield Store(place)
    shutil.rmtree(place)


def gradebox_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`gradebox` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "gradebox_engine", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **environment},
    )
