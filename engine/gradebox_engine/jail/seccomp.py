"""The two system call policies: one over everything in the jail, a strict one over every program.

The program's policy is an allow-list, in two filters that add up (see `common_filter`), compiled to BPF here, outside,
by libseccomp (through pyseccomp), and loaded inside: images need no libseccomp.

- What no honest program calls (`_NEVER`), and calls of another architecture (32-bit, x32), kill the process.
- What glibc or Python probe for and have a fallback for gives ENOSYS, so that they take it.
- Everything else that is not listed is refused by the worker: the kernel holds the caller and tells the worker
  (SECCOMP_RET_USER_NOTIF, see `refusals`), which notes it and answers EPERM. Without a worker it gives ENOSYS.

The jail's policy is a second net under the first: it holds for the fork server, too, and would for a program whose own
filter were missing.
"""

import errno
import os
from collections.abc import Iterable, Sequence

import pyseccomp

_NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_CLONE_THREAD, _CLONE_NEWPID = 0x00010000, 0x20000000
_AF_UNIX = 1

_ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev pwritev2 open openat creat close close_range
stat fstat lstat newfstatat statx statfs fstatfs lseek access faccessat faccessat2
mmap mprotect munmap brk mremap madvise msync mincore
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause
pipe pipe2 select pselect6 poll ppoll dup dup2 dup3
epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
timerfd_create timerfd_settime timerfd_gettime nanosleep clock_nanosleep getitimer setitimer alarm
getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups
getpgrp getpgid getsid setsid setpgid uname sysinfo
fsync fdatasync truncate ftruncate fallocate getdents getdents64 getcwd chdir fchdir
rename renameat renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat symlink symlinkat readlink readlinkat
chmod fchmod fchmodat umask chown fchown lchown fchownat utime utimes utimensat futimesat
sendfile copy_file_range splice tee
gettimeofday time times clock_gettime clock_getres getrlimit setrlimit getrusage
sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min
getpriority getcpu futex set_robust_list get_robust_list set_tid_address restart_syscall rseq membarrier
exit exit_group kill tkill tgkill wait4 waitid getrandom arch_prctl
sendto recvfrom sendmsg recvmsg shutdown getsockname getpeername getsockopt setsockopt
""".split()
# The socket calls above only ever see the channel and pairs that the program made: `socket` itself is refused,
# and `socketpair` is for AF_UNIX alone (asyncio's event loop needs one).

_ENOSYS = """
clone3 openat2 io_uring_setup io_uring_enter io_uring_register fchmodat2 futex_waitv futex_wake futex_wait
futex_requeue mseal cachestat process_madvise map_shadow_stack memfd_secret memfd_create pidfd_open
""".split()

# Extended attributes: scratch files have none, and copying a file takes "not supported", but no other refusal.
_ENOTSUP = """
getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr removexattr lremovexattr
fremovexattr
""".split()

# prctl: names and harmless questions. Not PR_SET_MM, PR_SET_SECCOMP, PR_SCHED_CORE, PR_SET_CHILD_SUBREAPER.
_PRCTL_ALLOWED = (1, 2, 3, 15, 16, 23, 39, 0x53564D41)
# ioctl: what files, pipes and "is it a terminal?" need. Not TIOCSTI, TIOCLINUX.
_IOCTL_ALLOWED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)

# fcntl: descriptors, flags, locks, pipe sizes, seals. Not F_NOTIFY and F_SETLEASE, which tell of other jails' doings
# with the files of an image, nor hints that stay with a file.
_FCNTL_ALLOWED = (*range(8), 36, 37, 38, *range(1030, 1035))
_RWF_NOWAIT = 8  # of preadv2: tells what other programs have read, by what is in the page cache

# What honest code asks for without need of an answer: refused, and nobody is told.
_EPERM = """
flock mbind get_mempolicy set_mempolicy migrate_pages sched_setparam sched_setscheduler sched_setattr sched_getattr
sched_rr_get_interval ioprio_get ioprio_set capget capset readahead fadvise64 sync syncfs inotify_init inotify_init1
setuid setgid setreuid setregid setfsuid setfsgid name_to_handle_at personality
""".split()

# No honest program calls these; each has been a way out of a sandbox, or leads to one.
_NEVER = """
acct add_key bpf chroot delete_module finit_module fsconfig fsmount fsopen fspick init_module ioperm iopl kcmp
kexec_file_load kexec_load keyctl lookup_dcookie modify_ldt mount_setattr move_mount move_pages nfsservctl
open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_vm_readv process_vm_writev ptrace quotactl
quotactl_fd reboot request_key seccomp swapoff swapon syslog umount2 uselib userfaultfd vhangup
""".split()

# The fork server's own: namespaces, mounts and identities of the sandboxes that it makes. No program keeps these.
_FOR_THE_FORK_SERVER = "mount setns unshare setgroups setresuid setresgid capset".split()
_KILLS_A_PROGRAM = ("mount", "setns", "unshare")
_PRCTL_FOR_THE_FORK_SERVER = (4, 22, 38)  # PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS

_MORE_PROCESSES = ("execve", "execveat", "vfork", "fork")

# What no manifest of an image can give its programs: ways out, and what the worker has to decide call by call.
_NOT_FOR_IMAGES = frozenset((*_NEVER, *_FOR_THE_FORK_SERVER, *_MORE_PROCESSES, "clone", "clone3", "socket", "prctl"))

# Over the whole jail, the fork server included (it loads filters). The sockets of the families that a network
# namespace confines are left to the program's own filter, which can tell of them.
_JAIL_NEVER = sorted(set(_NEVER) - {"seccomp"})
_CONFINED_FAMILIES = (_AF_UNIX, 2, 10, 16)  # AF_INET, AF_INET6, AF_NETLINK
_JAIL_ENOSYS = "io_uring_setup io_uring_enter io_uring_register pidfd_open process_madvise memfd_secret".split()


def jail_policy() -> str:
    """The kafel policy for nsjail: `_JAIL_NEVER` and sockets of other families kill, in every process of the jail."""
    other_families = " && ".join(f"family != {number}" for number in _CONFINED_FAMILIES)
    kill = [*_numbers(_JAIL_NEVER), f"socket(family, type, protocol) {{ {other_families} }}"]
    absent = _numbers(_JAIL_ENOSYS)
    return (
        f"POLICY jail {{ KILL_PROCESS {{ {', '.join(kill)} }}, ERRNO({errno.ENOSYS}) {{ {', '.join(absent)} }} }} "
        "USE jail DEFAULT ALLOW"
    )


def never_allowed(names: Iterable[str]) -> set[str]:
    """Those of the calls that no program may have, whatever its image asks for."""
    return {name for name in names if name in _NOT_FOR_IMAGES}


def _numbers(names: Iterable[str]) -> list[str]:
    """Calls as the jail's policy compiler takes them; it does not know the names of the newer ones."""
    numbers = (pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) for name in names)
    return [f"SYSCALL[{number}]" for number in numbers if number >= 0]  # below 0: this architecture has no such call


def _allow(policy: pyseccomp.SyscallFilter, names: Iterable[str], action: int = pyseccomp.ALLOW) -> None:
    for name in names:
        try:
            policy.add_rule(action, name)
        except (ValueError, OSError):  # this machine's libseccomp or architecture has no such call: stays refused
            continue


def _export(policy: pyseccomp.SyscallFilter) -> bytes:
    with os.fdopen(os.memfd_create("filter", os.MFD_CLOEXEC), "w+b") as file:  # needs no disk
        policy.export_bpf(file)
        file.seek(0)
        return file.read()


def common_filter(more: Sequence[str] = (), refused: Sequence[str] = ()) -> bytes:
    """What a program may call and, on top of it, what making its sandbox takes, as BPF (struct sock_filter[]).

    more: further calls that an image's manifest asks for; some no image can have: ValueError. refused: calls that give
    EPERM without the worker's being asked.

    The fork server loads it once, and every process that it makes inherits it: loading a filter of this size costs
    more than all of a program's mounts. `program_filter` takes away what is for the fork server alone.
    """
    eq, masked = pyseccomp.EQ, pyseccomp.MASKED_EQ
    arg = pyseccomp.Arg
    policy = pyseccomp.SyscallFilter(defaction=pyseccomp.NOTIFY)
    policy.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    if wrong := sorted(never_allowed(more)):
        raise ValueError(f"no image may allow {', '.join(wrong)}")
    _allow(policy, [*_ALLOWED, *_FOR_THE_FORK_SERVER, *more])
    _allow(policy, set(_NEVER) - set(_FOR_THE_FORK_SERVER), pyseccomp.KILL_PROCESS)
    _allow(policy, set(_ENOSYS) - set(more), pyseccomp.ERRNO(errno.ENOSYS))
    _allow(policy, _ENOTSUP, pyseccomp.ERRNO(errno.ENOTSUP))
    quiet = (set(_EPERM) | set(refused)) - set(_FOR_THE_FORK_SERVER) - set(_ALLOWED) - set(_NEVER) - set(more)
    _allow(policy, quiet, pyseccomp.ERRNO(errno.EPERM))
    for option in (*_PRCTL_ALLOWED, *_PRCTL_FOR_THE_FORK_SERVER):
        policy.add_rule(pyseccomp.ALLOW, "prctl", arg(0, eq, option))
    for request in _IOCTL_ALLOWED:
        policy.add_rule(pyseccomp.ALLOW, "ioctl", arg(1, eq, request))
    for command in _FCNTL_ALLOWED:
        policy.add_rule(pyseccomp.ALLOW, "fcntl", arg(1, eq, command))
    policy.add_rule(pyseccomp.ALLOW, "preadv2", arg(5, masked, _RWF_NOWAIT, 0))
    policy.add_rule(pyseccomp.ALLOW, "socketpair", arg(0, eq, _AF_UNIX))
    policy.add_rule(pyseccomp.ALLOW, "prlimit64", arg(0, eq, 0))  # on oneself only
    policy.add_rule(pyseccomp.ALLOW, "sched_setaffinity", arg(0, eq, 0))
    policy.add_rule(pyseccomp.ALLOW, "setpriority", arg(0, eq, 0), arg(1, eq, 0))
    # Threads, and the fork server's clone. Any other clone, and exec, is a further process: the worker knows who may.
    policy.add_rule(pyseccomp.ALLOW, "clone", arg(0, masked, _CLONE_THREAD, _CLONE_THREAD))
    policy.add_rule(pyseccomp.ALLOW, "clone", arg(0, masked, _CLONE_NEWPID, _CLONE_NEWPID))
    return _export(policy)


def program_filter() -> bytes:
    """What every program loses on top of `common_filter`, as BPF."""
    arg, masked, refuse = pyseccomp.Arg, pyseccomp.MASKED_EQ, pyseccomp.ERRNO(errno.EPERM)
    policy = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
    policy.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    _allow(policy, _KILLS_A_PROGRAM, pyseccomp.KILL_PROCESS)
    _allow(policy, set(_FOR_THE_FORK_SERVER) - set(_KILLS_A_PROGRAM), refuse)
    for option in _PRCTL_FOR_THE_FORK_SERVER:
        policy.add_rule(refuse, "prctl", arg(0, pyseccomp.EQ, option))
    for flag in _NAMESPACE_FLAGS:
        policy.add_rule(pyseccomp.KILL_PROCESS, "clone", arg(0, masked, flag, flag))
    return _export(policy)


def more_processes() -> frozenset[int]:
    """The numbers of the calls that make a process of one's own or another program of it."""
    return frozenset(number_of(name) for name in (*_MORE_PROCESSES, "clone"))


def number_of(name: str) -> int:
    """The number of a system call on this machine."""
    number: int = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
    return number
