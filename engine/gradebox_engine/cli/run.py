"""`gradebox run`: one program, its output and its resource use."""

import json
import sys
from pathlib import Path

import gradebox
from gradebox_command.errors import DONE, FAILED, BadArgument, InputError
from gradebox_command.session import Engines, grading_errors, open_client

_LANGUAGES = {
    ".py": "python", ".c": "c", ".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp", ".js": "javascript", ".ts": "typescript",
    ".java": "java", ".go": "go", ".rs": "rust", ".sh": "bash",
}  # fmt: skip


def run(
    file: Path,
    *,
    stdin: Path | None,
    image: str | None,
    language: str | None,
    files: list[str],
    fetch: list[str],
    engines: Engines,
    as_json: bool,
) -> int:
    """Runs a file and passes its output on; DONE when it ended with status 0, else FAILED.

    files: PATH or NAME=PATH, put into the program's folder. fetch: NAME or NAME=PATH, written here when it is there.
    """
    source = _read(file)
    given = _read(stdin) if stdin is not None else b""
    put = {name: _read(Path(path)) for name, path in (_pair(one, of_path=True) for one in files)}
    wanted = dict(_pair(one, of_path=False) for one in fetch)
    if language is None and image is None:
        language = _LANGUAGES.get(file.suffix.lower())
    with open_client(engines) as client, grading_errors():
        try:
            result = client.run(source, stdin=given, language=language, image=image, files=put, fetch=list(wanted))
        except gradebox.InvalidRequest as error:
            raise BadArgument(str(error)) from None
    for name, content in result.files.items():
        _write(Path(wanted[name]), content)
    missing = [name for name in wanted if name not in result.files]
    if as_json:
        print(
            json.dumps(
                {
                    "verdict": result.verdict.name,
                    "exit_code": result.exit_code,
                    "stdout": result.stdout.decode("utf-8", "replace"),
                    "stderr": result.stderr.decode("utf-8", "replace"),
                    "cpu_time_s": result.cpu_time_s,
                    "wall_time_s": result.wall_time_s,
                    "memory_bytes": result.memory_bytes,
                    "message": result.message,
                    "files": {name: wanted[name] for name in result.files},
                }
            )
        )
    else:
        sys.stdout.buffer.write(result.stdout)
        sys.stdout.flush()
        sys.stderr.buffer.write(result.stderr)
        ended = "" if result.exit_code is None else f", exit status {result.exit_code}"
        message = f" ({result.message})" if result.message else ""
        print(
            f"{result.verdict.name}{ended}{message}: {result.cpu_time_s:.3f} s CPU, "
            f"{result.wall_time_s:.3f} s wall, {result.memory_bytes / (1 << 20):.1f} MiB",
            file=sys.stderr,
        )
        if missing:
            print(f"not there, or too large: {', '.join(missing)}", file=sys.stderr)
    return DONE if result.verdict == gradebox.Verdict.PASSED else FAILED


def _pair(given: str, *, of_path: bool) -> tuple[str, str]:
    """The name in the program's folder and the path here: NAME=PATH, or one of them, which says the other, too."""
    name, separator, path = given.partition("=")
    if separator:
        return name, path
    return (Path(given).name, given) if of_path else (given, Path(given).name)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(path, None, "", error.strerror or str(error)) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(path, None, "", error.strerror or str(error)) from None
