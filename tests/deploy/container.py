"""Runs a command in what a container runtime would make of a manifest, as root, from the repository's folder:

    python -m tests.deploy.container [OPTION…] COMMAND…

No runtime is needed; it does with namespaces what one does, where an engine can tell the difference: a PID, a mount and
a control group namespace, its own control groups mounted read-only, /sys read-only, parts of /proc covered, a bounding
set of capabilities, no_new_privs, a seccomp profile in docker's format, a read-only root with a /tmp, and perhaps a
user. What it has not got: files of its own, a network of its own, AppArmor.

    --cap NAME          a capability that is left; all others go
    --seccomp FILE      the profile
    --whole-proc        nothing of /proc is covered (systempaths=unconfined, procMount: Unmasked)
    --no-new-privs      (allowPrivilegeEscalation: false)
    --user              the ordinary user of ordinary_user.py
    --user-namespace    root is nobody outside (hostUsers: false): 65536 ids of the host's
"""

import argparse
import contextlib
import ctypes
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
from pathlib import Path

import pyseccomp
from tests.sandbox import ordinary_user

FIRST_ID, IDS = 2_000_000, 65_536
_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE, _DETACH = 1, 32, 4096, 16384, 1 << 18, 2
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_PDEATHSIG = 24, 38, 1
_MASKED = ("acpi", "asound", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats", "interrupts")
_READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _check(result, f"mount {source} {target}")


def _hierarchies() -> list[tuple[str, str, str]]:
    """Of control groups: mount point, file system, options."""
    found = []
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" and place == "/sys/fs/cgroup":
            return [(place, kind, "")]
        names = {"memory", "pids", "cpuacct"} & set(options.split(","))
        if kind == "cgroup" and names:
            found.append((place, kind, ",".join(sorted(names))))
    return found


def _mounts(hierarchies: list[tuple[str, str, str]], *, whole_proc: bool, own_groups: bool) -> None:
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("proc", "/proc", "proc", 0)
    covered = [Path("/proc", name) for name in (() if whole_proc else _MASKED)]
    for path in filter(Path.is_dir, covered):
        _mount("tmpfs", str(path), "tmpfs", _RDONLY)
    for path in filter(Path.is_file, covered):
        _mount("/dev/null", str(path), None, _BIND)
    kept = [Path("/proc", name) for name in (() if whole_proc else _READ_ONLY)]
    for path in filter(Path.exists, kept):
        _mount(str(path), str(path), None, _BIND | _REC)
        _mount("none", str(path), None, _REMOUNT | _BIND | _RDONLY)
    for place, kind, options in hierarchies:
        if own_groups:
            _check(_libc.umount2(os.fsencode(place), _DETACH), f"umount {place}")
            _mount("cgroup", place, kind, 0, options or None)
        _mount("none", place, None, _REMOUNT | _BIND | _RDONLY)
    _mount("none", "/sys", None, _REMOUNT | _BIND | _RDONLY)
    _mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777,size=256m")
    _mount("none", "/", None, _REMOUNT | _BIND | _RDONLY)


def _filter(profile: Path) -> None:
    described = json.loads(profile.read_text())
    actions = {"SCMP_ACT_ALLOW": pyseccomp.ALLOW}
    policy = pyseccomp.SyscallFilter(defaction=actions[described["defaultAction"]])
    policy.set_attr(pyseccomp.Attr.CTL_NNP, 0)
    for rule in described["syscalls"]:
        assert rule["action"] == "SCMP_ACT_ERRNO"
        for name in rule["names"]:
            with contextlib.suppress(ValueError, RuntimeError, OSError):  # not of this architecture
                policy.add_rule(pyseccomp.ERRNO(rule["errnoRet"]), name)
    policy.load()


def _become(arguments: argparse.Namespace) -> None:
    if arguments.seccomp:
        _filter(arguments.seccomp)
    left = {name.upper() for name in arguments.cap}
    assert left <= set(CAPABILITIES), left
    for number, name in enumerate(CAPABILITIES):
        if name not in left:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), f"drop {name}")
    if arguments.user:
        ordinary_user.become_user()
    if arguments.no_new_privs:
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _file_capabilities(store: Path) -> None:
    """Has newuidmap and newgidmap as the image has them: one capability each instead of root's whole set."""
    for tool, capability in (("newuidmap", "SETUID"), ("newgidmap", "SETGID")):
        place = shutil.which(tool) or f"/usr/bin/{tool}"
        copy = store / tool
        shutil.copyfile(place, copy)
        copy.chmod(0o755)
        permitted = 1 << CAPABILITIES.index(capability)
        os.setxattr(copy, "security.capability", struct.pack("<5I", 0x02000001, permitted, 0, 0, 0))
        _mount(str(copy), place, None, _BIND)


def _in_user_namespace() -> None:
    """Gives this process, by a helper outside, a user namespace with ids of nobody's."""
    go, went = os.pipe(), os.pipe()
    if (helper := os.fork()) == 0:
        os.read(go[0], 1)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{os.getppid()}/{name}").write_text(f"0 {FIRST_ID} {IDS}\n")
        os.write(went[1], b"x")
        os._exit(0)
    os.unshare(os.CLONE_NEWUSER)
    os.write(go[1], b"x")
    os.read(went[0], 1)
    os.waitpid(helper, 0)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def main() -> int:
    """Returns the command's exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cap", action="append", default=[])
    parser.add_argument("--seccomp", type=Path)
    parser.add_argument("--whole-proc", action="store_true")
    parser.add_argument("--no-new-privs", action="store_true")
    parser.add_argument("--user", action="store_true")
    parser.add_argument("--user-namespace", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()

    os.unshare(os.CLONE_NEWNS)
    _mount("none", "/", None, _REC | _PRIVATE)
    store = Path(tempfile.mkdtemp(prefix="container-"))
    _mount("tmpfs", str(store), "tmpfs", 0, "mode=755,size=1m")
    if arguments.user or arguments.user_namespace:
        ordinary_user.own_files(store, ordinary_user.RANGE, ordinary_user.RANGE)
        ordinary_user.reach_below_root(store)
    if arguments.user:
        _file_capabilities(store)
    hierarchies = _hierarchies()
    groups = [Path(place) / f"container-{os.getpid()}" for place, _, _ in hierarchies]
    for group in groups:
        group.mkdir()
    inside = os.fork()
    if inside == 0:
        return _inside(arguments, hierarchies, groups)
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: os.kill(inside, number))
        return os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1])
    finally:
        for group in groups:
            ordinary_user.remove_groups(group)
        _libc.umount2(os.fsencode(store), _DETACH)
        store.rmdir()


def _inside(arguments: argparse.Namespace, hierarchies: list[tuple[str, str, str]], groups: list[Path]) -> int:
    """Makes the container; its process 1 is the command. Returns its exit status."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for group in groups:
        (group / "cgroup.procs").write_text("0")
    if arguments.user_namespace:
        _in_user_namespace()
    os.unshare(os.CLONE_NEWCGROUP | os.CLONE_NEWNS | os.CLONE_NEWPID)
    first = os.fork()
    if first == 0:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _mounts(hierarchies, whole_proc=arguments.whole_proc, own_groups=not arguments.user_namespace)
        _become(arguments)
        os.execvp(arguments.command[0], arguments.command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(first, number))
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
