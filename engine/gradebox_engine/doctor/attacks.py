"""The attacks: for every protection a program that tries to get round it, and a look from outside.

A program prints "got …" for whatever it could do and should not. Several layers often stop the same attack, so the
look from outside says whether this one is there.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gradebox_engine.doctor import bounds, isolation
from gradebox_engine.doctor.host import MEND_CGROUP, MEND_NAMESPACES
from gradebox_engine.doctor.target import Target

_MEND_KERNEL = "use a kernel with CONFIG_SECCOMP_FILTER, 5.14 or later, and no container runtime that takes it away"
_MEND_INSTALL = "reinstall: pip install --force-reinstall 'gradebox[engine]'; if it stays, do not use this machine"


@dataclass(frozen=True)
class Attack:
    """One attack: `run` gives what it found, or raises Missing."""

    name: str
    tier: str
    tested: str
    run: Callable[[Target], str]
    mend: str


ATTACKS = tuple(
    Attack(*row)
    for row in (
        ("user namespace", "rootless", "asked for uid 0 and for a file of the engine's", isolation.user_namespace,
         MEND_NAMESPACES),
        ("pid namespace", "rootless", "signalled the engine by its pid", isolation.pid_namespace, MEND_NAMESPACES),
        ("mount namespace", "rootless", "looked for the host's files", isolation.mount_namespace, MEND_NAMESPACES),
        ("network namespace", "rootless", "connected to the host", isolation.network_namespace, MEND_NAMESPACES),
        ("ipc namespace", "rootless", "asked for the host's shared memory", isolation.ipc_namespace, MEND_NAMESPACES),
        ("uts namespace", "rootless", "changed the host's name", isolation.uts_namespace, MEND_NAMESPACES),
        ("uid separation", "rootless", "killed all that it could; opened its parent's memory", isolation.uid_separation,
         MEND_NAMESPACES),
        ("no capabilities", "rootless", "chown, setgroups, mknod, nice", isolation.capabilities, _MEND_INSTALL),
        ("no new privileges", "rootless", "asked the kernel, inside and outside", isolation.no_new_privs, _MEND_KERNEL),
        ("seccomp of the jail", "rootless", "made calls that it stops", isolation.jail_seccomp, _MEND_KERNEL),
        ("seccomp of the program", "rootless", "made calls that it stops", isolation.program_seccomp, _MEND_KERNEL),
        ("read-only root", "rootless", "wrote to every folder", bounds.read_only_root, _MEND_INSTALL),
        ("no setuid files", "rootless", "looked at every file's mode and mount", bounds.no_setuid, _MEND_INSTALL),
        ("masked /proc", "rootless", "opened what is dangerous there", bounds.masked_proc, _MEND_INSTALL),
        ("private scratch", "rootless", "left a file for the next program", bounds.private_scratch, _MEND_INSTALL),
        ("rlimits", "rootless", "raised them, and used more", bounds.rlimits, _MEND_INSTALL),
        ("memory limit", "rootless", "took more, alone and in children", bounds.memory_limit, _MEND_INSTALL),
        ("process limit", "rootless", "a fork bomb", bounds.process_limit, _MEND_INSTALL),
        ("CPU limit", "rootless", "spun in children", bounds.cpu_limit, _MEND_INSTALL),
        ("control group, memory", "full", "took more in six children", bounds.group_memory, MEND_CGROUP),
        ("control group, tasks", "full", "forked in a group of one task", bounds.group_tasks, MEND_CGROUP),
    )
)  # fmt: skip
