"""What is in deploy/, checked without anything that could run it: schemas, a linter, and what must agree."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import in_ci

from gradebox_engine.config import load_config

VERSIONS = ("1.33", "1.37")  # of Kubernetes: the first that has all that is used, and a new one
KUBERNETES = ("common.yaml", "engine-full.yaml", "engine-rootless.yaml")
TOOLS = Path(sys.executable).parent


@pytest.fixture
def deploy(repository: Path) -> Path:
    return repository / "deploy"


@pytest.fixture
def checkers() -> None:
    """The large packages of the extra `checks`: where they are not, fails in CI, else skips."""
    missing = [name for name in ("kubernetes_validate", "check_jsonschema") if find_spec(name) is None]
    missing += [name for name in ("hadolint",) if not (TOOLS / name).exists()]
    if missing and in_ci():
        pytest.fail(f"{missing} missing: make setup-test", pytrace=False)
    if missing:
        pytest.skip(f"NOT TESTED: {missing} missing: make setup-test")


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def containers(deploy: Path) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, pod, container."""
    for name in KUBERNETES:
        for document in documents(deploy / "kubernetes" / name):
            if document["kind"] == "StatefulSet":
                pod = document["spec"]["template"]["spec"]
                yield name, pod, pod["containers"][0]


@pytest.mark.usefixtures("checkers")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KUBERNETES)
def test_kubernetes_knows_every_field(deploy: Path, name: str, version: str) -> None:
    import kubernetes_validate

    for document in documents(deploy / "kubernetes" / name):
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.usefixtures("checkers")
def test_a_field_that_there_is_not_is_found(deploy: Path) -> None:
    import kubernetes_validate

    document = documents(deploy / "kubernetes" / "engine-full.yaml")[0]
    document["spec"]["template"]["spec"]["containers"][0]["securityContext"]["seccomp"] = "Unconfined"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(document, VERSIONS[0], strict=True)


@pytest.mark.usefixtures("checkers")
def test_compose_and_containerfile(deploy: Path) -> None:
    schema = [str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(deploy / "compose.yaml")]
    for command in (schema, [str(TOOLS / "hadolint"), str(deploy / "Containerfile")]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_containerfiles_of_sandbox_images_have_no_faults(checkers: None, repository: Path) -> None:
    files = [str(file) for file in sorted((repository / "sandbox_images").glob("*/Containerfile"))]
    command = [str(TOOLS / "hadolint"), "--ignore", "DL3059", *files]  # a step of the recipe is a RUN of its own
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert len(files) >= 9
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_containerfiles_of_sandbox_images_need_nothing_that_podmans_own_format_drops(repository: Path) -> None:
    """It has no SHELL: a build that relied on its pipefail would go on after a failed check of a hash."""
    for file in (repository / "sandbox_images").glob("*/Containerfile"):
        for line in file.read_text().splitlines():
            words = line.split()
            assert words[:1] != ["SHELL"], file
            assert words[:1] == ["#"] or "|" not in words, (file, line)


def test_the_entry_point_is_a_script_that_can_be_parsed(deploy: Path) -> None:
    assert subprocess.run(["sh", "-n", str(deploy / "entrypoint.sh")], check=False).returncode == 0
    assert (deploy / "entrypoint.sh").stat().st_mode & 0o111


def test_what_the_image_copies_is_there(deploy: Path) -> None:
    lines = (deploy / "Containerfile").read_text().splitlines()
    for line in lines:
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--"):
            for source in words[1:-1]:
                assert (deploy.parent / source).exists(), source


def test_the_configuration_that_a_manifest_holds_can_be_loaded(deploy: Path, tmp_path: Path) -> None:
    (held,) = [d for d in documents(deploy / "kubernetes" / "common.yaml") if d["kind"] == "ConfigMap"]
    file = tmp_path / "engine.toml"
    file.write_text(held["data"]["engine.toml"])
    config = load_config({}, file)
    for name, _, container in containers(deploy):
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert config.listen.endswith(f":{ports['grpc']}"), name
        assert config.http is not None and config.http.endswith(f":{ports['http']}"), name


def test_names_that_must_agree(deploy: Path) -> None:
    common = {document["kind"]: document for document in documents(deploy / "kubernetes" / "common.yaml")}
    for name in KUBERNETES[1:]:
        (engine,) = documents(deploy / "kubernetes" / name)
        spec = engine["spec"]
        assert spec["serviceName"] == common["Service"]["metadata"]["name"]
        labels = spec["template"]["metadata"]["labels"]
        assert common["Service"]["spec"]["selector"].items() <= labels.items()
        for kind, path in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
            assert common[kind]["spec"][path]["matchLabels"].items() <= labels.items()
        annotations = spec["template"]["metadata"]["annotations"]
        ports = {port["name"]: port["containerPort"] for port in spec["template"]["spec"]["containers"][0]["ports"]}
        assert annotations["prometheus.io/port"] == str(ports["http"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = spec["template"]["spec"]["containers"][0][probe]["httpGet"]
            assert asked["port"] in ports and asked["path"] in ("/healthz", "/readyz")


def test_rights_are_the_least(deploy: Path) -> None:
    for name, pod, container in containers(deploy):
        context = container["securityContext"]
        assert context["capabilities"]["drop"] == ["ALL"], name
        assert "privileged" not in context
        assert context["readOnlyRootFilesystem"] is True
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["automountServiceAccountToken"] is False
        assert all("hostPath" not in volume for volume in pod["volumes"])
        assert ("procMount" in context) == (pod.get("hostUsers") is False)  # Kubernetes allows it with that alone
    compose = yaml.safe_load((deploy / "compose.yaml").read_text())
    for service in compose["services"].values():
        assert service["cap_drop"] == ["ALL"] and not service.get("privileged")
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_seccomp_profile_names_each_call_once(deploy: Path) -> None:
    profile = json.loads((deploy / "seccomp.json").read_text())
    names = [name for rule in profile["syscalls"] for name in rule["names"]]
    assert len(names) == len(set(names)) and {"bpf", "ptrace", "init_module", "open_by_handle_at"} <= set(names)
    assert not {"clone", "unshare", "mount", "pivot_root", "seccomp", "setns"} & set(names)
