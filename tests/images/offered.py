"""Which languages can be tried here, and the engine for that; loud where an image is not built."""

import functools

import pytest
from tests.conftest import in_ci
from tests.images.conftest import NAMES

import gradebox
from gradebox_engine.config import load_config
from gradebox_engine.images.build import is_outdated
from gradebox_engine.images.recipe import recipes_folder
from gradebox_engine.images.store import Store

SUFFIXES = {
    ".c": "c", ".cpp": "cpp", ".js": "javascript", ".ts": "typescript", ".java": "java", ".go": "go", ".rs": "rust",
    ".sh": "bash", ".py": "python",
}  # fmt: skip
BUILT_IN_CI = ("cpp",)


def need(engine: gradebox.Engine, language: str) -> None:
    """Skips the test when no image of the present recipe has the language; fails where CI builds that image."""
    image_name = {"c": "cpp", "cpp20": "cpp", "tstranspiled": "typescript"}.get(language, language)
    reason = f"image {image_name} is not built (gradebox images build {image_name})"
    for image in engine.info().images:
        if language in image.languages:
            if image.name in NAMES or not _is_outdated(image.name):  # those were built for this run
                return
            reason = f"image {image.name} was built of another recipe (gradebox images build {image.name})"
    if in_ci() and image_name in BUILT_IN_CI:
        pytest.fail(f"{reason}; in continuous integration that is a failure", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")


@functools.cache
def _is_outdated(image_name: str) -> bool:
    recipe = recipes_folder() / image_name
    return recipe.is_dir() and is_outdated(Store(load_config({}).image_store).find(image_name), recipe)
