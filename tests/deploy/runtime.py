"""The images of the Containerfiles, built and run by a container runtime: `make test-container RUNTIME=podman`.

Beside test_container.py, which needs no runtime and is part of `make test`: the same rights, read from compose.yaml and
the manifests, given by the runtime itself. The base images are fetched by the runtime, if it has none of their names.
Containers and builds share the host's network. GRADEBOX_TEST_IMAGES names the sandbox images to build (or `all`).
"""

import contextlib
import json
import os
import resource
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.test_container import KINDS, check_verdicts, one_right_less
from tests.images.conftest import chosen, gradebox_command
from tests.images.offered import SUMS
from tests.ports import free_port
from tests.waiting import wait_until

import gradebox
from gradebox import Verdict
from gradebox_engine.images.manifest import load_manifest

RUNTIME = os.environ.get("GRADEBOX_TEST_RUNTIME", "podman")
IMAGES = chosen(os.environ.get("GRADEBOX_TEST_IMAGES", "python-3.12"))
IDS = "0:2000000:65536"
PODMAN = RUNTIME == "podman"


def runtime(*arguments: str) -> str:
    """What the runtime prints. Raises AssertionError with what it says, if it fails."""
    done = subprocess.run([RUNTIME, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{RUNTIME} {' '.join(arguments)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()


def succeeds(*arguments: str) -> bool:
    """Whether the runtime does it."""
    return subprocess.run([RUNTIME, *arguments], capture_output=True, check=False).returncode == 0


def translated(options: list[str]) -> list[str]:
    """Options of tests/deploy/container.py, as the runtime has them."""
    words = iter(options)
    found = []
    for word in words:
        match word:
            case "--cap":
                found += ["--cap-add", next(words)]
            case "--seccomp":
                found += ["--security-opt", f"seccomp={next(words)}"]
            case "--whole-proc":
                found += ["--security-opt", "unmask=ALL" if PODMAN else "systempaths=unconfined"]
            case "--no-new-privs":
                found += ["--security-opt", "no-new-privileges"]
            case "--user":
                found += ["--user", "10001:10001"]
            case "--user-namespace":
                found += ["--uidmap", IDS, "--gidmap", IDS]
            case _:
                raise AssertionError(f"{word} is not known here")
    return found


def own_limits() -> list[str]:
    """No more than this machine allows: with few capabilities, a runtime's own defaults could not be set."""
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1 << 20)
    return ["--ulimit", f"nofile={files}:{files}", "--ulimit", "nproc=4096:4096"]


@pytest.fixture(scope="session")
def engine_image(repository: Path) -> str:
    """The name of the image of deploy/Containerfile, built."""
    form = ["--format", "docker"] if PODMAN else []  # the other one has no HEALTHCHECK
    name = "gradebox-engine:tested"
    runtime(
        "build", *form, "--network", "host", "-f", str(repository / "deploy/Containerfile"), "-t", name, str(repository)
    )
    return name


class Running:
    """A container with an engine in it."""

    def __init__(self, name: str, grpc_port: int, http_port: int) -> None:
        self.name = name
        self.target = f"127.0.0.1:{grpc_port}"
        self.ready = f"http://127.0.0.1:{http_port}/readyz"

    def wait(self) -> None:
        """Until it is ready. Raises AssertionError where it has ended, or is not in a minute."""
        end_s = time.monotonic() + 60
        while time.monotonic() < end_s:
            with contextlib.suppress(OSError), urllib.request.urlopen(self.ready, timeout=5) as answer:
                if answer.status == 200:
                    return
            assert self.state("Running") == "true", self.log()
            time.sleep(0.2)
        raise AssertionError(self.log())

    def state(self, name: str) -> str:
        return runtime("inspect", "--format", f"{{{{.State.{name}}}}}", self.name)

    def probe(self) -> list[str]:
        """The command of the image's HEALTHCHECK."""
        ((kind, *words),) = (one["Config"]["Healthcheck"]["Test"] for one in json.loads(runtime("inspect", self.name)))
        assert kind == "CMD"
        return [str(word) for word in words]

    def log(self) -> str:
        done = subprocess.run([RUNTIME, "logs", self.name], stdout=-1, stderr=subprocess.STDOUT, text=True, check=False)
        return done.stdout[-3000:]


@contextlib.contextmanager
def started(image: str, tier: str, options: list[str]) -> Iterator[Running]:
    """An engine in a container with these rights, as compose.yaml gives them."""
    grpc_port, http_port = free_port(), free_port()
    name = f"gradebox-tested-{grpc_port}"
    given = ["--network", "host", "--read-only", "--tmpfs", "/tmp:mode=1777,size=256m,exec", "--cgroupns", "private"]
    given += ["--memory", "8g", "--pids-limit", "4096", "--cap-drop", "ALL"]
    given += ["--security-opt", "apparmor=unconfined", *own_limits(), *options]
    given += ["-e", f"GRADEBOX_LISTEN=127.0.0.1:{grpc_port}", "-e", f"GRADEBOX_HTTP=127.0.0.1:{http_port}"]
    runtime("run", "--detach", "--name", name, *given, image, "--require-tier", tier)
    try:
        yield Running(name, grpc_port, http_port)
    finally:
        assert wait_until(lambda: succeeds("rm", "--force", name))  # its mounts may still be busy


@pytest.mark.parametrize("kind", KINDS)
def test_verdicts_with_the_rights_that_it_is_given(engine_image: str, repository: Path, kind: str) -> None:
    read, name = KINDS[kind]
    tier, options = read(repository, name)
    if not PODMAN and "--user-namespace" in options:
        pytest.skip(f"{RUNTIME} has no user namespace of a container's own")
    with started(engine_image, tier, translated(options)) as container:
        container.wait()
        check_verdicts(container.target, tier)
        runtime("exec", container.name, *container.probe())
        runtime("stop", "--time", "40", container.name)
        assert container.state("ExitCode") == "0", container.log()


@pytest.mark.parametrize("kind", ["compose-full", "compose-rootless"])
def test_each_right_is_needed(engine_image: str, repository: Path, kind: str) -> None:
    """With one capability less there is no engine, or none that can run a program."""
    read, name = KINDS[kind]
    tier, options = read(repository, name)
    for _, fewer in one_right_less(options):
        with started(engine_image, tier, translated(fewer)) as container, pytest.raises(AssertionError):
            container.wait()


@pytest.mark.parametrize("name", IMAGES)
def test_programs_run_in_an_image_that_it_builds(
    name: str, tmp_path: Path, repository: Path, jails: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not PODMAN and int(runtime("version", "--format", "{{.Server.Version}}").split(".")[0]) < 25:
        pytest.skip("docker save writes no OCI archive before Docker 25")
    recipe = repository / "sandbox_images" / name
    tag, archive = f"gradebox-tested-{name}", tmp_path / "image.tar"
    runtime("build", "--network", "host", "-f", str(recipe / "Containerfile"), "-t", tag, str(recipe))
    runtime("save", *(["--format", "oci-archive"] if PODMAN else []), "--output", str(archive), tag)
    monkeypatch.setenv("GRADEBOX_IMAGE_STORE", str(tmp_path / "images"))
    done = gradebox_command("images", "import", str(archive), "--name", name)
    assert done.returncode == 0, done.stdout + done.stderr
    archive.unlink()
    tests = [{"stdin": "3 4", "expected_stdout": "7\n"}, {"stdin": "3 5", "expected_stdout": "7\n"}]
    with gradebox.Engine(workers=1) as engine:
        for language in load_manifest(recipe / "manifest.toml").languages:
            problem = {"id": language, "language": language, "image": name, "tests": tests}
            (result,) = engine.grade([SUMS[language]], problem=problem)
            assert [test.verdict for test in result.tests] == [Verdict.PASSED, Verdict.WRONG_ANSWER], (language, result)
