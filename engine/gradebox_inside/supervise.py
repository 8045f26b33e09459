"""Commands in the sandbox, of programs that are not Python and of their compilers; and files of a run.

Theory of operation. The process that the fork server made is the init of its PID namespace, and an init dies by no
signal of its own namespace: abort() in it would end otherwise than everywhere else. So it forks, the child becomes the
command, and the init waits, with the channel, which no command inherits. When the command has ended the init tells how,
and which files it left, and ends: everything else in the sandbox ends with it. The command runs under the same uid, but
the init's memory cannot be reached: it is not dumpable.

    worker → init                                  answer
    ("exec", {argv, environment, files, fetch})    ("file", name, content)… then ("exited", wait status, peak bytes)
    ("compile", {commands, environment, files})    the same; ("file", …) only where every command ended with status 0

files: (name, content) pairs that are there before; fetch: names of those to be told. A name may lead into folders.
"""

from __future__ import annotations

import builtins
import os
import stat
from functools import partial

from gradebox_inside.encode import encode
from gradebox_inside.values import Budget

globals()["__builtins__"] = vars(builtins).copy()  # programs patch builtins; functions below keep these

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    type Send = Callable[[bytes], None]

BUILD_FOLDER = "/tmp/build"
LARGEST_FILE_BYTES = 20 << 20  # the worker takes no frame above 24 MiB
MOST_FILES = 1000
_BUDGET = Budget(nodes=100, depth=4, bytes=LARGEST_FILE_BYTES + 4096)
_NOT_FOUND = 127


def put_files(folder: str, files: list[tuple[str, bytes]]) -> None:
    """Writes files below `folder`, making the folders on their way. The worker has checked their names."""
    for name, content in files:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def run_command(order: dict[str, Any], send: Send) -> int:
    """Runs one command in the scratch folder, and tells how it ended. Returns the init's own exit status."""
    put_files(os.getcwd(), order["files"])
    status, peak_bytes = _wait_for(partial(_become, order["argv"], order["environment"]))
    send_fetched(order["fetch"], send)
    return _tell(status, peak_bytes, send)


def run_compiler(order: dict[str, Any], send: Send) -> int:
    """Runs commands one after the other in a folder with the source, and tells what they leave in it."""
    os.mkdir(BUILD_FOLDER)
    os.chdir(BUILD_FOLDER)
    put_files(BUILD_FOLDER, order["files"])
    status = peak_bytes = 0
    for argv in order["commands"]:
        status, peak_bytes = _wait_for(partial(_become, argv, order["environment"]))
        if status:
            return _tell(status, peak_bytes, send)
    for name in sorted(_files_below(BUILD_FOLDER)):
        if not _send_file(BUILD_FOLDER, name, send):
            send(encode(("too_large", name)))
            break
    return _tell(status, peak_bytes, send)


def send_fetched(names: list[str], send: Send) -> None:
    """Tells those of the named files in the scratch folder that are there, and not larger than may be told."""
    for name in names:
        _send_file("/tmp", name, send)


def _tell(status: int, peak_bytes: int, send: Send) -> int:
    send(encode(("exited", status, peak_bytes)))
    code = os.waitstatus_to_exitcode(status)
    return code & 0xFF if code >= 0 else 128 - code


def _become(argv: list[str], environment: dict[str, str]) -> None:
    import signal  # here: it would weigh on every fork of a program in Python

    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; a command has the defaults
        signal.signal(ignored, signal.SIG_DFL)
    path = argv[0]
    if "/" not in path:
        folders = environment.get("PATH", "/usr/bin:/bin").split(":")
        found = (os.path.join(folder, path) for folder in folders)
        path = next((each for each in found if os.access(each, os.X_OK)), path)
    try:
        os.execve(path, argv, environment)
    except OSError as error:
        os.write(2, f"{argv[0]} cannot be run: {error.strerror}\n".encode())


def fork_and_wait(start: Callable[[], int]) -> tuple[int, int]:
    """Runs `start` in a child, for its exit status. Returns the child's wait status and peak memory in bytes."""

    def become() -> None:
        os._exit(start() & 0xFF)

    return _wait_for(become)


def _wait_for(become: Callable[[], None]) -> tuple[int, int]:
    pid = os.fork()
    if pid == 0:
        try:
            become()
        finally:
            os._exit(_NOT_FOUND)
    while True:
        ended, status, usage = os.wait4(-1, 0)  # also what was left behind by the command's children
        if ended == pid:
            return status, usage.ru_maxrss << 10


def _files_below(folder: str) -> Iterator[str]:
    """Names of the regular files below a folder; no link is followed."""
    count = 0
    for place, _, names in os.walk(folder):
        for name in names:
            count += 1
            if count > MOST_FILES:
                return
            yield os.path.relpath(os.path.join(place, name), folder)


def _send_file(folder: str, name: str, send: Send) -> bool:
    """Tells one file; False when it is too large. What is no regular file is left out."""
    try:
        fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return True
        content = bytearray()
        while data := os.read(fd, 1 << 20):
            content += data
            if len(content) > LARGEST_FILE_BYTES:
                return False
    except OSError:
        return True
    finally:
        os.close(fd)
    try:
        send(encode(("file", name, bytes(content)), budget=_BUDGET))
    except (UnicodeError, ValueError):  # a name that is no text
        pass
    return True
