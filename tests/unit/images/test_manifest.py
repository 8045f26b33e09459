"""Manifests: what is right, what is wrong and where; the image that one makes of a folder."""

from pathlib import Path

import pytest

from gradebox_engine.images.catalog import known, language_name
from gradebox_engine.images.manifest import InvalidManifest, filled, image_of, load_manifest, parse_manifest
from gradebox_engine.images.names import is_file_name
from gradebox_engine.jail import seccomp

GOOD = """
name = "one"
description = "An image for tests"
warm_modules = ["json"]

[environment]
ONE = "1"

[limits]
processes = 4

[[system_calls]]
names = ["sched_setaffinity"]
reason = "its run-time binds its threads"

[[system_calls]]
answer = "refuse"
names = ["socket"]
reason = "its run-time looks for a name service"

[languages.one]
source = "main.one"
compile = [["onec", "-o", "program", "{source}"]]
run = ["{program}/program", "-m", "{memory_mb*0.5}"]
environment = { HEAP = "{memory_mb}m" }
compile_limits = { cpu_time_s = 3 }
out_of_memory = ["no memory left"]
"""


def test_every_manifest_of_the_repository_is_right(repository: Path) -> None:
    manifests = known(repository / "sandbox_images")
    assert set(manifests) == {folder.name for folder in (repository / "sandbox_images").iterdir() if folder.is_dir()}
    for name in ("cpp", "javascript", "typescript", "java", "go", "rust", "bash"):
        assert manifests[name].languages


def test_no_manifest_of_the_repository_asks_for_what_it_cannot_have(repository: Path) -> None:
    for manifest in known(repository / "sandbox_images").values():
        for some in manifest.system_calls:
            if some.answer == "allow":
                assert not seccomp.never_allowed(some.names)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "one"', 'name = "One!"', "name"),
        ('name = "one"', "", "name: Field required"),
        ("[limits]", "[limitz]", "limitz"),
        ("processes = 4", "processes = -4", "limits.processes"),
        ('reason = "its run-time binds its threads"', 'reason = "so"', "system_calls.0.reason"),
        ('reason = "its run-time binds its threads"', "", "system_calls.0.reason: Field required"),
        ('source = "main.one"', "", "languages.one: Value error, `source` and `run` belong together"),
        ('source = "main.one"', 'source = "../main.one"', "languages.one.source"),
        ("{memory_mb*0.5}", "{memory_gb}", "unknown placeholder {memory_gb}"),
        ('HEAP = "{memory_mb}m"', 'HEAP = "{home}"', "unknown placeholder {home}"),
        ("[languages.one]", "[languages.python]", "languages.python: every language but python"),
        ('["no memory left"]', '["x"]', "out_of_memory.0"),
        ("[limits]", "[limits", "not TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidManifest) as caught:
        parse_manifest(GOOD.replace(old, new, 1), "one/manifest.toml")
    assert str(caught.value).startswith("one/manifest.toml: ")
    assert said in str(caught.value)


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="cannot be read"):
        load_manifest(tmp_path)


def test_the_image_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "opt/python/bin").mkdir(parents=True)
    (tmp_path / "usr/bin").mkdir(parents=True)
    for name in ("opt/python/bin/python3.12", "usr/bin/onec", "dev/null", "proc/version", "tmp/x", "run/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "bin").symlink_to("usr/bin")
    image = image_of(parse_manifest(GOOD), tmp_path, "d1935")
    assert [target for _, target in image.binds] == ["/opt", "/usr", "/gradebox/gradebox_inside"]
    assert image.links == {"/bin": "usr/bin"}
    assert (image.digest, image.languages, image.limits) == ("d1935", ("one",), {"processes": 4})
    assert (image.system_calls, image.refused_calls) == (("sched_setaffinity",), ("socket",))
    assert image.environment["ONE"] == "1"
    assert image.commands["one"].out_of_memory == ("no memory left",)


def test_a_folder_without_an_interpreter_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="build the image again"):
        image_of(parse_manifest(GOOD), tmp_path, "0")


def test_links_lead_where_the_jail_finds_them_not_to_the_host(tmp_path: Path) -> None:
    (tmp_path / "opt/python/bin").mkdir(parents=True)
    (tmp_path / "opt/python/bin/python3.12").symlink_to("/etc/hostname")
    with pytest.raises(InvalidManifest):
        image_of(parse_manifest(GOOD), tmp_path, "0")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").touch()
    image_of(parse_manifest(GOOD), tmp_path, "0")


def test_placeholders() -> None:
    values = {"program": "/program", "memory_mb": 1000, "source": "a", "main_class": "A"}
    assert filled(("{program}/x", "-m{memory_mb*0.75}m", "{memory_mb}", "{x}"), values) == [
        "/program/x",
        "-m750m",
        "1000",
        "{x}",
    ]
    assert filled(("{memory_mb*0.1}",), {"memory_mb": 3}) == ["1"]


@pytest.mark.parametrize(
    "name", ["ptrace", "mount", "clone", "execve", "socket", "seccomp", "unshare", "process_vm_readv"]
)
def test_no_image_can_have_a_way_out(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        seccomp.common_filter([name])


def test_an_image_can_have_more_calls_than_others() -> None:
    assert seccomp.common_filter(["sched_setscheduler"]) != seccomp.common_filter()
    assert seccomp.common_filter((), ["socket"]) != seccomp.common_filter()


@pytest.mark.parametrize("name", ["a", "a.txt", "a/b/c.txt", "Main$Inner.class", "A+b-c_d", "-", "a..b"])
def test_names_of_files(name: str) -> None:
    assert is_file_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "..",
        "../a",
        "a/../b",
        "a//b",
        "a/",
        ".hidden",
        "a/.b",
        "a b",
        "a\nb",
        "a\0",
        "a" * 300,
        "é",
        None,
        1,
        "a/" * 30 + "b",
    ],
)
def test_what_is_no_name_of_a_file(name: object) -> None:
    assert not is_file_name(name)


def test_what_people_call_languages() -> None:
    called = ("C++", "js", "nodejs", "golang", "ts", "py", "rust", "cobol", "")
    assert [language_name(name) for name in called] == [
        "cpp", "javascript", "javascript", "go", "typescript", "python", "rust", "cobol", "",
    ]  # fmt: skip
