"""Which languages can be tried here, and the engine for that; loud where an image is not built."""

import pytest
from tests.conftest import in_ci

import gradebox

SUFFIXES = {
    ".c": "c", ".cpp": "cpp", ".js": "javascript", ".ts": "typescript", ".java": "java", ".go": "go", ".rs": "rust",
    ".sh": "bash", ".py": "python",
}  # fmt: skip
BUILT_IN_CI = ("cpp",)


def need(engine: gradebox.Engine, language: str) -> None:
    """Skips the test when no image has the language; fails where that is an image that CI builds."""
    for image in engine.info().images:
        if language in image.languages:
            return
    image_name = "cpp" if language in ("c", "cpp20") else language
    reason = f"image {image_name} is not built (gradebox images build {image_name})"
    if in_ci() and image_name in BUILT_IN_CI:
        pytest.fail(f"{reason}; in continuous integration that is a failure", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")
