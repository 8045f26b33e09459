"""The doctor's attacks tell when a layer is missing: each is run on a jail without it."""

from types import ModuleType

import pytest
from tests.sandbox.partial import FILTERS, without

from gradebox_engine.doctor import bounds, isolation
from gradebox_engine.doctor.attacks import ATTACKS
from gradebox_engine.doctor.check import Missing
from gradebox_engine.doctor.target import Target
from gradebox_engine.jail.launch import Jail

NO_LIMITS = ("limits", "limits for all")

# An attack, and layers without which it must say that something is missing.
MISSING: list[tuple[ModuleType, str, tuple[str, ...]]] = [
    (isolation, "user_namespace", ("user namespace",)),
    (isolation, "network_namespace", ("network namespace", *FILTERS)),
    (isolation, "ipc_namespace", ("jail's ipc namespace", "program's ipc namespace", *FILTERS)),
    (isolation, "uts_namespace", ("uts namespace",)),
    (isolation, "uid_separation", ("another uid",)),
    (isolation, "capabilities", ("another uid", "no capabilities")),
    (isolation, "no_new_privs", ("program's no_new_privs", "jail's no_new_privs", *FILTERS)),
    (isolation, "jail_seccomp", tuple(FILTERS)),
    (isolation, "program_seccomp", ("program's filter",)),
    (isolation, "program_seccomp", ("own filter of a program",)),
    (bounds, "read_only_root", ("read-only image",)),
    (bounds, "no_setuid", ("nosuid image",)),
    (bounds, "masked_proc", ("own /proc",)),
    (bounds, "masked_proc", ("subset=pid",)),
    (bounds, "private_scratch", ("own scratch",)),
    (bounds, "rlimits", NO_LIMITS),
    (bounds, "rlimits", ("scratch size",)),
    (bounds, "group_memory", ("cgroup memory",)),
    (bounds, "memory_limit", ("cgroup memory",)),
    (bounds, "process_limit", ("cgroup tasks", *NO_LIMITS)),
]


@pytest.mark.usefixtures("private_mounts")
@pytest.mark.parametrize(("module", "attack", "off"), MISSING)
def test_an_attack_succeeds_where_its_layer_is_missing(module: ModuleType, attack: str, off: tuple[str, ...]) -> None:
    with without(*off) as jail, pytest.raises(Missing) as missing:
        getattr(module, attack)(Target(jail))
    print(missing.value)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_fails_on_a_whole_jail(jail: Jail, attack: object) -> None:
    assert attack.run(Target(jail))  # type: ignore[attr-defined]
