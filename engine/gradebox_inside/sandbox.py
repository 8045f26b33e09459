"""Makes the sandbox of one program (or oracle) process, from inside the jail.

Theory of operation. The fork server (uid 0 of the jail's user namespace, all capabilities *there*, none on the host)
calls `spawn()`: one raw clone() makes the child the init of a new PID namespace with its own mount and IPC namespaces,
so that killing that one process ends everything it ever started, and dropping its mounts drops its files.
The child then walks the checklist of `enter()`: descriptors, mounts, limits, uid, seccomp. Only after the last item
does it say hello on its channel, and only after the hello does the worker send it a program: code that is not ours
never runs with any privilege, and the fork server never sees a program's text.

Everything here runs before untrusted code does, in a process that holds no secret.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# ctypes.PyDLL keeps the GIL over the call: a raw clone must not let another thread in between.
_libc = ctypes.PyDLL(None, use_errno=True)
_python = ctypes.pythonapi

_MACHINE = os.uname().machine
_SYS_CLONE = {"x86_64": 56, "aarch64": 220}[_MACHINE]
_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277}[_MACHINE]

SIGCHLD = 17
CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x00200000, 0x01000000
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
NAMESPACES = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW = 1, 2, 4, 8, 256
MS_REMOUNT, MS_BIND = 32, 4096

PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 4, 22, 24, 38
SECCOMP_MODE_FILTER = 2
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER = 1, 8

CHANNEL_FD, BELL_FD, PEER_FD = 3, 4, 5
MAX_OPEN_FILES = 256
MAX_THREADS = 64
THREAD_STACK_BYTES = 8 << 20
BYTES_PER_INODE = 4096  # an empty file costs the kernel memory that the tmpfs size does not count

# Address space is not the memory limit (the cgroup is): threads and numpy reserve far more than they touch.
# It only turns an absurd request into a MemoryError at once.
ADDRESS_SPACE_SLACK_BYTES = 8 << 30


class _SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, argument: int = 0) -> int:
    """prctl(2) with one argument. Raises OSError."""
    zero = ctypes.c_ulong(0)
    return _check(_libc.prctl(option, ctypes.c_ulong(argument), zero, zero, zero), f"prctl {option}")


def mount(source: bytes | None, target: bytes, kind: bytes | None, flags: int, data: bytes | None) -> None:
    """mount(2). Raises OSError."""
    _check(_libc.mount(source, target, kind, ctypes.c_ulong(flags), data), f"mount {target!r}")


def _thread_id_address() -> int:
    """Where glibc keeps this thread's id, found by looking for it; 0 when it is not where it is expected.

    A raw clone leaves the parent's id there; glibc's recursive locks compare with it, so the kernel is asked
    to write the child's own (as glibc's fork does).
    """
    _libc.pthread_self.restype = ctypes.c_ulong
    address = _libc.pthread_self() + 0x2D0
    if _MACHINE != "x86_64":
        return 0
    found = ctypes.c_int.from_address(address).value
    return address if found == _libc.gettid() else 0


_TID_ADDRESS = _thread_id_address()
_TID_FLAGS = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID if _TID_ADDRESS else 0


def clone(namespaces: int) -> int:
    """Forks into new namespaces with one system call. Returns the child's pid, 0 in the child. Raises OSError."""
    tid, tls = ctypes.c_long(_TID_ADDRESS), ctypes.c_long(0)
    last = (tls, tid) if _MACHINE == "aarch64" else (tid, tls)
    _python.PyOS_BeforeFork()
    pid: int = _libc.syscall(
        ctypes.c_long(_SYS_CLONE),
        ctypes.c_long(namespaces | _TID_FLAGS | SIGCHLD),
        ctypes.c_long(0),
        ctypes.c_long(0),
        *last,
    )
    if pid == 0:
        _python.PyOS_AfterFork_Child()
    else:
        _python.PyOS_AfterFork_Parent()
    return _check(pid, "clone")


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


_CAP_HEADER, _NO_CAPABILITIES = _CapHeader(0x20080522, 0), (_CapData * 2)()


def limit_for_all() -> None:
    """The limits that are the same for every program: the fork server's own, which its children inherit."""
    for which, value in (
        (resource.RLIMIT_CORE, 0),  # no memory image of a program on any disk
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(which, (value, value))


def make_capabilities_final() -> None:
    """Empties the inheritable and the bounding set: what the fork server forks can never gain a capability by exec."""
    data = (_CapData * 2)()
    _check(_libc.capget(ctypes.byref(_CAP_HEADER), data), "capget")
    for half in data:
        half.inheritable = 0
    _check(_libc.capset(ctypes.byref(_CAP_HEADER), data), "capset")
    capability = 0
    try:
        while True:
            prctl(PR_CAPBSET_DROP, capability)
            capability += 1
    except OSError:  # EINVAL: past the last capability that this kernel knows
        if capability == 0:
            raise


def load_filter(bpf: bytes) -> None:
    """Loads a ready BPF program as this process's seccomp filter. Raises OSError."""
    program = _SockFprog(len(bpf) // 8, bpf)
    zero = ctypes.c_ulong(0)
    result = _libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program), zero, zero)
    _check(result, "seccomp")


def load_filter_with_listener(bpf: bytes) -> int:
    """Loads a filter, too. Returns the descriptor on which the kernel tells of the calls that it refers. OSError."""
    program = _SockFprog(len(bpf) // 8, bpf)
    arguments = (ctypes.c_long(SECCOMP_SET_MODE_FILTER), ctypes.c_long(SECCOMP_FILTER_FLAG_NEW_LISTENER))
    listener: int = _libc.syscall(ctypes.c_long(_SYS_SECCOMP), *arguments, ctypes.byref(program))
    return _check(listener, "seccomp")


def _move_descriptors(descriptors: list[int]) -> None:
    """Puts channel, stdin, stdout, stderr, bell and perhaps the peer at their fixed numbers; closes all else."""
    targets = (CHANNEL_FD, 0, 1, 2, BELL_FD, PEER_FD)[: len(descriptors)]
    # `descriptors` came from a socket into a process with few open files: move them out of the targets' way first.
    high = [os.dup2(fd, 100 + i, inheritable=False) for i, fd in enumerate(descriptors)]
    for fd, target in zip(high, targets, strict=True):
        os.dup2(fd, target, inheritable=target <= 2)
    os.closerange(max(targets) + 1, MAX_OPEN_FILES)


def _private_files(spec: dict[str, Any]) -> None:
    size, uid = spec["disk_bytes"], spec["uid"]
    options = f"size={size},nr_inodes={max(64, size // BYTES_PER_INODE)},mode=0700,uid={uid},gid={uid}"
    # nosymfollow: the oracle may share this folder, and must not be led elsewhere by a link that the program made.
    mount(b"scratch", b"/tmp", b"tmpfs", MS_NOSUID | MS_NODEV | MS_NOSYMFOLLOW, options.encode())


def _shared_files(pid: int) -> None:
    """Joins the mount namespace of the process `pid`, then makes it its own again: same scratch files, own /proc."""
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    os.setns(namespace, CLONE_NEWNS)
    os.close(namespace)
    os.unshare(CLONE_NEWNS)


def _limit(spec: dict[str, Any]) -> None:
    # Not RLIMIT_CPU: the limit is kept from outside, and with it set the kernel's clock of the process only moves at
    # ticks, so that a test case of less than that would seem to cost nothing.
    limits = (
        (resource.RLIMIT_FSIZE, spec["disk_bytes"]),
        (resource.RLIMIT_NPROC, spec["processes"] + MAX_THREADS),  # per uid: fork and thread bombs
        *(() if spec["reserves_memory"] else ((resource.RLIMIT_AS, spec["memory_bytes"] + ADDRESS_SPACE_SLACK_BYTES),)),
    )
    for which, value in (*limits, *spec.get("rlimits", ())):  # more of them where there is no control group
        resource.setrlimit(which, (value, value))


def _private_proc() -> None:
    """Its own /proc: only its own processes, only the per-process files, nothing that can be written.

    While it still can be, the process puts itself first on the OOM killer's list, before the fork server.
    """
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    mount(b"proc", b"/proc", b"proc", flags, b"subset=pid,hidepid=invisible")
    prctl(PR_SET_DUMPABLE, 1)  # else its files in /proc are nobody's
    score = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    os.write(score, b"1000")
    os.close(score)
    mount(None, b"/proc", None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, None)


def _take_uid(spec: dict[str, Any]) -> None:
    """Another uid than the fork server's. It clears the capabilities, too; `_drop_capabilities` does not rely on it."""
    os.setgroups([])
    os.setresgid(spec["uid"], spec["uid"], spec["uid"])
    os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    # Changing the uid took /proc/self/fd (that is, /dev/stdin) away. The init of a command keeps its memory to itself.
    prctl(PR_SET_DUMPABLE, 0 if spec["supervised"] else 1)


def _drop_capabilities() -> None:
    _check(_libc.capset(ctypes.byref(_CAP_HEADER), _NO_CAPABILITIES), "capset")


def _no_new_privileges() -> None:
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def enter(spec: dict[str, Any], descriptors: list[int], bpf: bytes) -> None:
    """The checklist that a fresh clone walks from fork server to sandboxed process. Raises OSError.

    spec: uid, disk_bytes, memory_bytes, processes, scratch_of (a pid to share files with, or 0), supervised (a command
    runs in it, see `supervise`), reserves_memory (address space is not limited).
    Each step is a layer of its own: tests/sandbox/test_layers.py tries every one of them with the others off.
    """
    os.setsid()  # no controlling terminal, no process group of the fork server's
    _move_descriptors(descriptors)
    if spec["scratch_of"]:
        _shared_files(spec["scratch_of"])
    else:
        _private_files(spec)
    _private_proc()
    _limit(spec)
    os.chdir("/tmp")
    os.umask(0o022)
    _take_uid(spec)
    _drop_capabilities()
    _no_new_privileges()
    load_filter(bpf)


def _refuse(channel: int, error: BaseException) -> None:
    """Says why there is no sandbox instead of the hello, on whichever number the channel has by now; ends."""
    for descriptor in (CHANNEL_FD, channel):
        try:
            os.write(descriptor, b"?" + repr(error).encode()[:500])
            break
        except OSError:
            continue
    os._exit(70)


def spawn(spec: dict[str, Any], descriptors: list[int], bpf: bytes) -> int:
    """Clones and sandboxes. Returns the child's pid in the parent; 0 in the child, which is sandboxed by then."""
    shared = bool(spec["scratch_of"])
    pid = clone(NAMESPACES & ~CLONE_NEWNS if shared else NAMESPACES)
    if pid:
        return pid
    try:
        enter(spec, descriptors, bpf)
    except BaseException as error:
        _refuse(descriptors[0], error)
    gc.enable()
    return 0
