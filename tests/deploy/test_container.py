"""The real engine with exactly the rights that compose.yaml and the manifests give it; see `container`."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.ports import free_port

import gradebox
from gradebox import Verdict

pytestmark = pytest.mark.usefixtures("jails")

SMALL = {"memory_bytes": 200 << 20, "cpu_time_s": 1.0}
FORKS = "import os\ndef f(x):\n    if (pid := os.fork()) == 0: os._exit(0)\n    os.waitpid(pid, 0)\n    return x + 1\n"
CASES: list[tuple[str, Any, dict[str, Any], Verdict]] = [
    ("def f(x): return x + 1", "assert f(1) == 2", {}, Verdict.PASSED),
    ("def f(x): return x", "assert f(1) == 2", {}, Verdict.WRONG_ANSWER),
    ("def f(x):\n    while True: pass", "assert f(1) == 2", SMALL, Verdict.TIME_LIMIT),
    ("def f(x): return bytearray(10 ** 10)", "assert f(1) == 2", SMALL, Verdict.MEMORY_LIMIT),
    ("import os; os._exit(0)", "assert f(1) == 2", {}, Verdict.RUNTIME_ERROR),
    ("import socket; socket.socket()", "assert True", {}, Verdict.RUNTIME_ERROR),
    (FORKS, "assert f(1) == 2", {"processes": 4}, Verdict.PASSED),
    ("def f(x):\n    open('/tmp/a', 'w').write('x')\n    return 2", "assert f(1) == 2", {}, Verdict.PASSED),
    ("def f(x): return 2", "for _ in range(2):\n    assert f(1) == 2", {}, Verdict.PASSED),
    ("print(input())", {"stdin": "3\n", "expected_stdout": "3\n"}, {}, Verdict.PASSED),
]


def compose(repository: Path, service: str) -> tuple[str, list[str]]:
    """Tier, and options of `container`, of a service in compose.yaml."""
    given = yaml.safe_load((repository / "deploy/compose.yaml").read_text())["services"][service]
    security = given["security_opt"]
    options = [word for name in given["cap_add"] for word in ("--cap", name)]
    options += ["--user"] if "user" in given else []
    options += ["--whole-proc"] if "systempaths=unconfined" in security else []
    options += ["--no-new-privs"] if "no-new-privileges:true" in security else []
    profile = next(word.removeprefix("seccomp=") for word in security if word.startswith("seccomp="))
    return given["command"][1], [*options, "--seccomp", str(repository / "deploy" / profile)]


def kubernetes(repository: Path, name: str) -> tuple[str, list[str]]:
    """The same of a manifest."""
    (engine,) = yaml.safe_load_all((repository / "deploy/kubernetes" / name).read_text())
    pod = engine["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    context = container["securityContext"]
    assert context["seccompProfile"]["localhostProfile"] == "gradebox.json"
    options = [word for name in context["capabilities"]["add"] for word in ("--cap", name)]
    options += ["--user-namespace"] if pod.get("hostUsers") is False else []
    options += ["--whole-proc"] if context.get("procMount") == "Unmasked" else []
    return container["args"][-1], [*options, "--seccomp", str(repository / "deploy/seccomp.json")]


KINDS = {
    "compose-full": (compose, "engine"),
    "compose-rootless": (compose, "engine-rootless"),
    "kubernetes-full": (kubernetes, "engine-full.yaml"),
    "kubernetes-rootless": (kubernetes, "engine-rootless.yaml"),
}


class NotStarted(RuntimeError):
    """The engine has ended before it served."""


@contextlib.contextmanager
def started(
    repository: Path, log: Path, tier: str, options: list[str]
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The entry point's engine in a container. Raises NotStarted."""
    target = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "tests.deploy.container", *options, "sh", str(repository / "deploy/entrypoint.sh")]
    command += ["--listen", target, "--workers", "1", "--require-tier", tier]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, cwd=repository, env=environment)
    try:
        end_s = time.monotonic() + 60
        while '"serving"' not in log.read_text():
            if process.poll() is not None:
                raise NotStarted(log.read_text()[-2000:])
            assert time.monotonic() < end_s, log.read_text()
            time.sleep(0.05)
        yield target, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def check_verdicts(target: str, tier: str) -> None:
    """That the engine there is of this tier, and gives CASES their verdicts."""
    with gradebox.Client(target) as client:
        for program, test, limits, verdict in CASES:
            (result,) = client.grade([program], tests=[test], limits=limits)
            assert (program, result.verdict, result.tests[0].message) == (program, verdict, result.tests[0].message)
        protections = client.info().protections
    assert any(name.startswith("cgroup") for name in protections) == (tier == "full")


def one_right_less(options: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each capability of these options, with the options that are left without it."""
    for place in [at for at, word in enumerate(options) if word == "--cap"]:
        yield options[place + 1], options[:place] + options[place + 2 :]


@pytest.mark.parametrize("kind", KINDS)
def test_verdicts_with_the_rights_that_it_is_given(repository: Path, tmp_path: Path, kind: str) -> None:
    read, name = KINDS[kind]
    tier, options = read(repository, name)
    with started(repository, tmp_path / "log", tier, options) as (target, process):
        check_verdicts(target, tier)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize("kind", ["compose-full", "compose-rootless"])
def test_each_right_is_needed(repository: Path, tmp_path: Path, kind: str) -> None:
    """With one capability less there is no engine, or none that can run a program."""
    read, name = KINDS[kind]
    tier, options = read(repository, name)
    for capability, fewer in one_right_less(options):
        verdict = Verdict.ENGINE_ERROR
        with contextlib.suppress(NotStarted), started(repository, tmp_path / "log", tier, fewer) as (target, _):
            with gradebox.Client(target) as client:
                verdict = client.grade(["def f(x): return x + 1"], tests=["assert f(1) == 2"])[0].verdict
        assert verdict is Verdict.ENGINE_ERROR, f"{capability} is not needed"
