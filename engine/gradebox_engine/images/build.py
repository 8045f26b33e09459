"""Builds an image by its recipe.

Debian packages are fetched and unpacked (`debian`), npm's too (`node`), this machine's Python is copied
(`interpreter`), wheels are unpacked into it (`wheels`); then the recipe's own script runs in the image, modules are
compiled, everything gets the same times and plain modes (`finish`), and the result moves into the store (`store`).
Nothing that was fetched runs on this machine outside the image. What was fetched is kept in a cache: a build that was
interrupted fetches only what is missing.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gradebox_engine.images import debian, finish, interpreter, node, recipe, wheels
from gradebox_engine.images.commands import BuildError, run_inside
from gradebox_engine.images.manifest import INTERPRETER, MANIFEST_NAME, Manifest, parse_manifest
from gradebox_engine.images.store import IMPORTED, BuiltImage, ImageError, Store
from gradebox_engine.images.tree import Tree

_SCRIPT = "/tmp/prepare.py"
_FORM = 2  # grows when the same recipe becomes another image


@dataclass(frozen=True)
class Options:
    """update_lock: resolve anew and write the locks. force: build even what is built. python: the interpreter to copy.

    apt_sources: a file in the place of this machine's own sources. cache: where fetched packages are kept.
    """

    cache: Path
    update_lock: bool = False
    force: bool = False
    python: Path | None = None
    apt_sources: Path | None = None


@dataclass(frozen=True)
class _Locks:
    packages: tuple[recipe.Locked, ...]
    requirements: tuple[recipe.Locked, ...]
    node_modules: tuple[recipe.Locked, ...]


def build(folder: Path, store: Store, options: Options, told: Callable[[str], None]) -> tuple[BuiltImage, bool]:
    """Builds the image whose recipe is in `folder`; returns it, and whether there was anything to do.

    told: hears what is being done, a few words each time.
    Raises InvalidRecipe, InvalidManifest, LockOutdated, BuildError, ImageError, BadArchive.
    """
    name = folder.name
    made_of = recipe.load_recipe(folder)
    manifest_bytes, manifest = _manifest(folder)
    architecture = debian.architecture()
    copied = interpreter.find_interpreter(options.python)
    locks = None if options.update_lock else _load_locks(made_of, folder, architecture)
    source = _source(folder, made_of, architecture, copied)
    if not options.update_lock and not options.force and (there := _built(store, name, source)):
        return there, False
    with store.staging(name) as staged:
        contents = staged / "contents"
        contents.mkdir()
        tree = Tree(contents)
        told("Debian packages")
        packages = debian.add_packages(
            tree,
            made_of.suite,
            made_of.packages,
            locks.packages if locks else None,
            apt_sources=debian.sources(made_of.suite, options.apt_sources),
            cache=options.cache,
        )
        modules: list[recipe.Locked] = []
        if made_of.node_modules:
            told("npm packages")
            modules = node.add_modules(tree, made_of.node_modules, locks.node_modules if locks else None)
        told("unpacking")
        root = staged / "rootfs"
        root.mkdir()
        tree.write(root)
        contents.rmdir()
        interpreter.copy_interpreter(copied, root)
        requirements: tuple[recipe.Locked, ...] = ()
        if made_of.requirements:
            told("Python packages")
            requirements = locks.requirements if locks else tuple(wheels.resolve(copied, made_of.requirements))
            wheels.install(copied, requirements, root)
        _complete(root, folder, made_of, manifest, told)
        if options.update_lock:
            recipe.save_lock(recipe.PACKAGES, folder, architecture, packages)
            recipe.save_lock(recipe.REQUIREMENTS, folder, architecture, list(requirements))
            recipe.save_lock(recipe.NODE_MODULES, folder, architecture, modules)
            source = _source(folder, made_of, architecture, copied)
        told("digest")
        return store.add(name, staged, manifest_bytes, source), True


def is_outdated(image: BuiltImage, folder: Path) -> bool:
    """Whether the recipe in `folder`, or the Python it copies, has changed since the image was built of it.

    False for an image that was imported, or has no recipe there. Raises InvalidRecipe, BuildError.
    """
    if image.source.startswith(IMPORTED) or not folder.is_dir():
        return False
    source = _source(folder, recipe.load_recipe(folder), debian.architecture(), interpreter.find_interpreter())
    return image.source != source


def _manifest(folder: Path) -> tuple[bytes, Manifest]:
    file = folder / MANIFEST_NAME
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BuildError(f"{file}: cannot be read: {error.strerror}") from None
    manifest = parse_manifest(content.decode(errors="replace"), str(file))
    if manifest.name != folder.name:
        raise BuildError(f"{file}: name: {manifest.name!r} is not the folder's, {folder.name!r}")
    return content, manifest


def _load_locks(made_of: recipe.Recipe, folder: Path, architecture: str) -> _Locks:
    def load(kind: recipe.LockKind, wanted: tuple[str, ...]) -> tuple[recipe.Locked, ...]:
        return recipe.load_lock(kind, folder, architecture) if wanted else ()

    return _Locks(
        load(recipe.PACKAGES, made_of.packages),
        load(recipe.REQUIREMENTS, made_of.requirements),
        load(recipe.NODE_MODULES, made_of.node_modules),
    )


def _source(folder: Path, made_of: recipe.Recipe, architecture: str, copied: interpreter.Interpreter) -> str:
    """A digest of all that a build depends on."""
    digest = hashlib.sha256(f"{_FORM}\0{architecture}\0{copied.version}\0{copied.prefix}\0".encode())
    files = [folder / recipe.RECIPE_NAME, folder / MANIFEST_NAME]
    files += [kind.file(folder, architecture) for kind in (recipe.PACKAGES, recipe.REQUIREMENTS, recipe.NODE_MODULES)]
    files += [folder / made_of.prepare] if made_of.prepare else []
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes() if file.exists() else b"").digest())
    return digest.hexdigest()


def _built(store: Store, name: str, source: str) -> BuiltImage | None:
    """The image in the store, if it was built of the same and is as it was."""
    try:
        there = store.find(name)
    except ImageError:
        return None
    return there if there.source == source and there.is_as_listed() else None


def _complete(
    root: Path, folder: Path, made_of: recipe.Recipe, manifest: Manifest, told: Callable[[str], None]
) -> None:
    for link, target in made_of.links.items():
        place = root / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        place.symlink_to(target)
    finish.normalise(root)
    if made_of.prepare:
        told("preparing")
        script = {folder / made_of.prepare: _SCRIPT}
        run_inside(root, [INTERPRETER, "-s", "-B", _SCRIPT], tool=f"{folder.name}/{made_of.prepare}", readable=script)
    finish.remove(root, made_of.remove)
    told("compiling Python modules")
    finish.compile_modules(root)
    told("checking")
    finish.check(root, manifest)
    finish.normalise(root)
