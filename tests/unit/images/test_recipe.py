"""Recipes and locks: what is wrong with one is said with its file, its field or line, and what to do."""

from pathlib import Path

import pytest

from gradebox_engine.images.commands import BuildError
from gradebox_engine.images.debian import LockOutdated, check_fetched, locked_name
from gradebox_engine.images.manifest import load_manifest
from gradebox_engine.images.recipe import (
    NODE_MODULES,
    PACKAGES,
    REQUIREMENTS,
    InvalidRecipe,
    Locked,
    load_lock,
    load_recipe,
    recipe_names,
    recipes_folder,
    save_lock,
)

RECIPE = 'suite = "bookworm"\npackages = ["libc6"]\n'
SHA = "0" * 64


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("suite = ", "not TOML"),
        ('suite = "bookworm"\n', "packages: Field required"),
        ('suite = "book worm"\npackages = ["a1"]\n', "suite: String should match"),
        ('suite = "bookworm"\npackages = []\n', "packages: Tuple should have at least 1"),
        ('suite = "bookworm"\npackages = ["a;b"]\n', "packages.0: String should match"),
        ('suite = "bookworm"\npackages = ["--help"]\n', "packages.0: String should match"),
        (RECIPE + 'requirements = ["--index-url=x"]\n', "requirements.0: String should match"),
        (RECIPE + 'requirements = ["a @ https://host/x.whl"]\n', "requirements.0: String should match"),
        (RECIPE + 'node_modules = ["lodash"]\n', "node_modules.0: String should match"),
        (RECIPE + 'remove = ["../etc"]\n', "remove: Value error, '../etc' leads out of the image"),
        (RECIPE + 'remove = ["/etc"]\n', "remove.0: String should match"),
        (RECIPE + '[links]\n"usr/../../x" = "y"\n', "leads out of the image"),
        (RECIPE + 'prepare = "../x.py"\n', "prepare: String should match"),
        (RECIPE + 'prepare = "none.py"\n', "none.py: no such file"),
        (RECIPE + "mirror = 1\n", "mirror: Extra inputs are not permitted"),
    ],
)
def test_a_bad_recipe_is_named_with_its_field(image: Path, text: str, said: str) -> None:
    (image / "recipe.toml").write_text(text)
    with pytest.raises(InvalidRecipe, match=r"recipe\.toml: ") as raised:
        load_recipe(image)
    assert said in str(raised.value)


def test_a_missing_recipe_is_named(image: Path) -> None:
    with pytest.raises(InvalidRecipe, match=r"recipe\.toml: cannot be read"):
        load_recipe(image)


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (PACKAGES, f"libstdc++6=12.2.0-14+deb12u1 sha256:{SHA}"),
        (PACKAGES, f"zlib1g=1:1.2.13.dfsg-1 sha256:{SHA}"),
        (REQUIREMENTS, f"PyYAML==6.0.4 --hash=sha256:{SHA}"),
        (NODE_MODULES, "@types/node@18.19.130 sha512-" + "A" * 86 + "=="),
    ],
)
def test_locks_are_read_as_they_were_written(image: Path, kind: object, line: str) -> None:
    assert isinstance(kind, type(PACKAGES))
    file = kind.file(image, "amd64")
    file.write_text(f"# a comment\n\n{line}\n")
    locked = load_lock(kind, image, "amd64")
    save_lock(kind, image, "amd64", [*locked])
    assert file.read_text().splitlines()[1:] == [line]
    assert load_lock(kind, image, "amd64") == locked
    save_lock(kind, image, "amd64", [])
    assert not file.exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("libc6=2.36", "1: not of the form"),
        (f"libc6=2.36 sha256:{SHA[1:]}", "1: not of the form"),
        (f"libc6=$(id) sha256:{SHA}", "1: not of the form"),
        (f"libc6=1 sha256:{SHA}\nlibc6=2 sha256:{SHA}", "2: libc6 stands there twice"),
    ],
)
def test_a_bad_lock_is_named_with_its_line_and_the_command(image: Path, line: str, said: str) -> None:
    PACKAGES.file(image, "amd64").write_text(line)
    with pytest.raises(InvalidRecipe, match=said) as raised:
        load_lock(PACKAGES, image, "amd64")
    assert str(raised.value).endswith("gradebox images build small --update-lock")


def test_a_lock_of_another_architecture_is_none(image: Path) -> None:
    PACKAGES.file(image, "amd64").write_text("")
    with pytest.raises(InvalidRecipe, match=r"packages\.arm64\.lock: there is no lock .* --update-lock"):
        load_lock(PACKAGES, image, "arm64")


def test_what_was_fetched_is_held_against_the_lock() -> None:
    locked = (Locked("a", "1", SHA), Locked("b", "1:2", SHA))
    check_fetched([*locked], locked)
    with pytest.raises(BuildError, match=r"a=1: what the mirror has is not what is locked .* --update-lock"):
        check_fetched([Locked("a", "1", "1" * 64), locked[1]], locked)
    with pytest.raises(LockOutdated, match=r"c=3 is needed now, and not in the lock.* --update-lock"):
        check_fetched([*locked, Locked("c", "3", SHA)], locked)
    with pytest.raises(LockOutdated, match="b=1:2 is locked, and not needed any more"):
        check_fetched([locked[0]], locked)


def test_a_packages_file_tells_its_version() -> None:
    assert locked_name("zlib1g_1%3a1.2.13.dfsg-1_amd64.deb") == ("zlib1g", "1:1.2.13.dfsg-1")


@pytest.mark.parametrize("name", recipe_names(recipes_folder()))
def test_every_image_of_ours_is_whole(name: str) -> None:
    """Its recipe and manifest can be read, it is locked for one architecture at least, and has a Containerfile."""
    folder = recipes_folder() / name
    recipe = load_recipe(folder)
    assert load_manifest(folder).name == name
    for kind in (PACKAGES, REQUIREMENTS):
        if getattr(recipe, kind.field):
            assert len(load_lock(kind, folder, "amd64")) >= len(getattr(recipe, kind.field))
    if recipe.node_modules:
        assert len(load_lock(NODE_MODULES, folder, "amd64")) == len(recipe.node_modules)
    assert "/opt/python" in (folder / "Containerfile").read_text()
    containerfile = (folder / "Containerfile").read_text()
    for step in (*recipe.remove, *recipe.links, *recipe.links.values(), *([recipe.prepare] if recipe.prepare else [])):
        assert step in containerfile
    for lock in folder.glob("*.lock"):
        assert "://" not in lock.read_text()  # names and hashes, no hosts


def test_all_the_images_are_there() -> None:
    assert set(recipe_names(recipes_folder())) == {
        "bash", "cpp", "go", "java", "javascript", "python-3.12", "python-scientific", "rust", "typescript",
    }  # fmt: skip
