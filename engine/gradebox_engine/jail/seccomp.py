"""The two system call policies: one over everything in the jail, a strict one over every program.

The program's policy is an allow-list, in two filters that add up (see `common_filter`), compiled to BPF here, outside,
by libseccomp (through pyseccomp), and loaded inside by prctl: images need no libseccomp. What is not listed gives
EPERM; what glibc or Python probe for and have a fallback for gives ENOSYS, so that they take it. Calls of another
architecture (32-bit, x32) kill the process.
"""

import errno
import tempfile
from collections.abc import Iterable

import pyseccomp

_NAMESPACE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_CLONE_THREAD = 0x00010000
_AF_UNIX = 1

_ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat creat close close_range
stat fstat lstat newfstatat statx statfs fstatfs lseek access faccessat faccessat2
mmap mprotect munmap brk mremap madvise msync mincore
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause
pipe pipe2 select pselect6 poll ppoll dup dup2 dup3 fcntl
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

# The fork server's own: namespaces, mounts and identities of the sandboxes that it makes. No program keeps these.
_FOR_THE_FORK_SERVER = "mount setns unshare setgroups setresuid setresgid capset".split()
_PRCTL_FOR_THE_FORK_SERVER = (4, 22, 38)  # PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS

_MORE_PROCESSES = ("execve", "execveat", "vfork", "fork")

# Over the whole jail, the fork server included: it mounts and clones, so this is a list of what nothing in a jail
# may ever ask for, also when the program's own filter were missing. Numbers: newer than the policy compiler's table.
_JAIL_REFUSED = """
acct add_key bpf delete_module finit_module get_kernel_syms init_module ioperm iopl kcmp kexec_file_load kexec_load
keyctl lookup_dcookie mknod mknodat modify_ldt move_pages name_to_handle_at nfsservctl open_by_handle_at
perf_event_open personality process_vm_readv process_vm_writev ptrace query_module quotactl reboot request_key
settimeofday clock_settime clock_adjtime adjtimex swapon swapoff syslog uselib userfaultfd vhangup
socket connect bind listen accept accept4
""".split()
_JAIL_REFUSED_NUMBERS = (425, 426, 427, 434, 438, 440, 443, 447)
# io_uring_setup/enter/register, pidfd_open, pidfd_getfd, process_madvise, quotactl_fd, memfd_secret


def jail_policy() -> str:
    """The kafel policy for nsjail: `_JAIL_REFUSED` gives EPERM in every process of the jail."""
    calls = ", ".join([*_JAIL_REFUSED, *(f"SYSCALL[{number}]" for number in _JAIL_REFUSED_NUMBERS)])
    return f"POLICY jail {{ ERRNO({errno.EPERM}) {{ {calls} }} }} USE jail DEFAULT ALLOW"


def _allow(policy: pyseccomp.SyscallFilter, names: Iterable[str], action: int = pyseccomp.ALLOW) -> None:
    for name in names:
        try:
            policy.add_rule(action, name)
        except (ValueError, OSError):  # this machine's libseccomp or architecture has no such call: stays refused
            continue


def _export(policy: pyseccomp.SyscallFilter) -> bytes:
    with tempfile.TemporaryFile() as file:
        policy.export_bpf(file)
        file.seek(0)
        return file.read()


def common_filter() -> bytes:
    """What a program may call and, on top of it, what making its sandbox takes, as BPF (struct sock_filter[]).

    The fork server loads it once, and every process that it makes inherits it: loading a filter of this size costs
    more than all of a program's mounts. `program_filter` takes away what is for the fork server alone.
    """
    eq = pyseccomp.EQ
    arg = pyseccomp.Arg
    policy = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.EPERM))
    policy.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    _allow(policy, [*_ALLOWED, *_MORE_PROCESSES, *_FOR_THE_FORK_SERVER, "clone"])
    _allow(policy, _ENOSYS, pyseccomp.ERRNO(errno.ENOSYS))
    _allow(policy, _ENOTSUP, pyseccomp.ERRNO(errno.ENOTSUP))
    for option in (*_PRCTL_ALLOWED, *_PRCTL_FOR_THE_FORK_SERVER):
        policy.add_rule(pyseccomp.ALLOW, "prctl", arg(0, eq, option))
    for request in _IOCTL_ALLOWED:
        policy.add_rule(pyseccomp.ALLOW, "ioctl", arg(1, eq, request))
    policy.add_rule(pyseccomp.ALLOW, "socketpair", arg(0, eq, _AF_UNIX))
    policy.add_rule(pyseccomp.ALLOW, "prlimit64", arg(0, eq, 0))  # on oneself only
    policy.add_rule(pyseccomp.ALLOW, "sched_setaffinity", arg(0, eq, 0))
    policy.add_rule(pyseccomp.ALLOW, "setpriority", arg(0, eq, 0), arg(1, eq, 0))
    return _export(policy)


def program_filter(more_processes: bool) -> bytes:
    """What every program loses on top of `common_filter`, as BPF. `more_processes`: it keeps fork and exec."""
    arg, masked, refuse = pyseccomp.Arg, pyseccomp.MASKED_EQ, pyseccomp.ERRNO(errno.EPERM)
    policy = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
    policy.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    _allow(policy, _FOR_THE_FORK_SERVER, refuse)
    for option in _PRCTL_FOR_THE_FORK_SERVER:
        policy.add_rule(refuse, "prctl", arg(0, pyseccomp.EQ, option))
    for flag in _NAMESPACE_FLAGS:
        policy.add_rule(refuse, "clone", arg(0, masked, flag, flag))
    if not more_processes:  # threads only
        policy.add_rule(refuse, "clone", arg(0, masked, _CLONE_THREAD, 0))
        _allow(policy, _MORE_PROCESSES, refuse)
    return _export(policy)
