"""System calls that a program must not make, written out: names, numbers (x86-64), arguments, and what must come of it.

Nothing here is taken from seccomp.py: the tests compare the two. Arguments are such that the kernel itself, asked by
the root of a jail with all capabilities and no policy, answers something else than the policy, and does no harm.
"""

import errno
from dataclasses import dataclass

from tests.sandbox.partial import PRELUDE, PartialJail

KILLED = "killed"
EPERM, ENOSYS, ENOTSUP = errno.EPERM, errno.ENOSYS, errno.ENOTSUP
NOWHERE = "b'/nowhere'"
CLONE_SIGHAND = 0x800  # without CLONE_VM: no process comes of it

Answer = str | int


@dataclass(frozen=True)
class Call:
    """`by_program`: what the program's filter alone makes of it. `by_jail`: the jail's policy alone, None for nothing.

    arguments: as Python, the call's number first.
    """

    arguments: str
    by_program: Answer
    by_jail: Answer | None = None


def _never(arguments: str) -> Call:
    """No honest program calls it, nor does the fork server."""
    return Call(arguments, KILLED, KILLED)


def _absent(arguments: str, by_jail: Answer | None = None) -> Call:
    """As if the kernel did not have it: what asks for it has another way."""
    return Call(arguments, ENOSYS, by_jail)


CALLS = {
    # Looking into, or steering, another process.
    "ptrace": _never("101, 0, 0, 0, 0"),
    "process_vm_readv": _never("310, 1, 0, 0, 0, 0, 0"),
    "process_vm_writev": _never("311, 1, 0, 0, 0, 0, 0"),
    "kcmp": _never("312, 1, 1, 0, 0, 0"),
    "pidfd_getfd": _never("438, -1, 0, 0"),
    "pidfd_open": _absent("434, 1, 0", ENOSYS),
    "process_madvise": _absent("440, -1, 0, 0, 0, 0", ENOSYS),
    "move_pages": _never("279, 0, 0, 0, 0, 0, 0"),
    "migrate_pages": Call("256, 0, 0, 0, 0", EPERM),
    # The kernel's own programs, modules, keys, counters.
    "bpf": _never("321, 99, 0, 0"),
    "perf_event_open": _never("298, 0, 0, -1, -1, 0"),
    "userfaultfd": _never("323, 1"),
    "add_key": _never("248, b'nothing', b'x', b'y', 1, -3"),
    "request_key": _never("249, b'nothing', b'x', 0, 0"),
    "keyctl": _never("250, 0, -3, 0"),
    "init_module": _never("175, 0, 0, b''"),
    "finit_module": _never("313, -1, b'', 0"),
    "delete_module": _never("176, b'nothing', 0"),
    "kexec_load": _never("246, 0, 0, 0, 0"),
    "kexec_file_load": _never("320, -1, -1, 0, 0, 0"),
    "seccomp": Call("317, 99, 0, 0", KILLED),  # the fork server loads filters
    "lookup_dcookie": _never("212, 0, 0, 0"),
    "uselib": _never("134, 0"),
    "nfsservctl": _never("180, 0, 0, 0"),
    "io_uring_setup": _absent("425, 2, 0", ENOSYS),
    "io_uring_enter": _absent("426, -1, 0, 0, 0, 0, 0", ENOSYS),
    "io_uring_register": _absent("427, -1, 0, 0, 0", ENOSYS),
    # The machine.
    "reboot": _never("169, 0, 0, 0, 0"),
    "syslog": _never("103, 10, 0, 0"),
    "acct": _never("163, b'/nowhere'"),
    "swapon": _never(f"167, {NOWHERE}, 0"),
    "swapoff": _never(f"168, {NOWHERE}"),
    "quotactl": _never("179, 0, 0, 0, 0"),
    "quotactl_fd": _never("443, -1, 0, 0, 0"),
    "vhangup": _never("153"),
    "iopl": _never("172, 0"),
    "ioperm": _never("173, 0, 1, 0"),
    "modify_ldt": _never("154, 0, 0, 0"),
    "settimeofday": Call("164, 1, 0", EPERM),
    "clock_settime": Call("227, 99, 0", EPERM),
    "adjtimex": Call("159, 0", EPERM),
    "clock_adjtime": Call("305, 99, 0", EPERM),
    "sethostname": Call("170, b'x', -1", EPERM),
    "setdomainname": Call("171, b'x', -1", EPERM),
    # Mounts, roots, namespaces.
    "mount": Call(f"165, 0, {NOWHERE}, 0, 0, 0", KILLED),
    "umount2": _never(f"166, {NOWHERE}, 0"),
    "pivot_root": _never(f"155, {NOWHERE}, {NOWHERE}"),
    "chroot": _never(f"161, {NOWHERE}"),
    "open_tree": _never(f"428, -100, {NOWHERE}, 1"),
    "move_mount": _never(f"429, -100, {NOWHERE}, -100, {NOWHERE}, 0"),
    "fsopen": _never("430, b'nothing', 0"),
    "fsconfig": _never("431, -1, 0, 0, 0, 0"),
    "fsmount": _never("432, -1, 0, 0"),
    "fspick": _never(f"433, -100, {NOWHERE}, 0"),
    "mount_setattr": _never(f"442, -100, {NOWHERE}, 0, 0, 0"),
    "unshare": Call("272, 0", KILLED),
    "setns": Call("308, -1, 0", KILLED),
    "clone3": _absent("435, 0, 0"),
    # Ids and rights.
    "setuid": Call("105, -1", EPERM),
    "setgid": Call("106, -1", EPERM),
    "setreuid": Call("113, -1, -1", EPERM),
    "setregid": Call("114, -1, -1", EPERM),
    "setresuid": Call("117, -1, -1, -1", EPERM),
    "setresgid": Call("119, -1, -1, -1", EPERM),
    "setfsuid": Call("122, -1", EPERM),
    "setfsgid": Call("123, -1", EPERM),
    "setgroups": Call("116, 0, 0", EPERM),
    "capget": Call("125, 0, 0", EPERM),
    "capset": Call("126, 0, 0", EPERM),
    "personality": Call("135, 0xffffffff", EPERM),
    # Files by other ways than a path from here.
    "name_to_handle_at": Call("303, -1, b'', 0, 0, 0", EPERM),
    "open_by_handle_at": _never("304, -1, 0, 0"),
    "mknod": Call("133, b'/tmp/fifo', 0o010600, 0", EPERM),
    "mknodat": Call("259, -100, b'/tmp/fifoat', 0o010600, 0", EPERM),
    "fanotify_init": Call("300, 0x200, 0", EPERM),
    "fanotify_mark": Call("301, -1, 0, 0, -1, 0", EPERM),
    "inotify_init": Call("253", EPERM),
    "inotify_init1": Call("294, 0", EPERM),
    "inotify_add_watch": Call("254, -1, 0, 0", EPERM),
    "flock": Call("73, 0, 8", EPERM),
    "memfd_create": _absent("319, b'x', 0"),
    "memfd_secret": _absent("447, 0", ENOSYS),
    "openat2": _absent("437, -100, 0, 0, 0"),
    "readahead": Call("187, -1, 0, 0", EPERM),
    "fadvise64": Call("221, -1, 0, 0, 0", EPERM),
    "sync": Call("162", EPERM),
    "syncfs": Call("306, -1", EPERM),
    "fchmodat2": _absent(f"452, -100, {NOWHERE}, 0, 0"),
    "cachestat": _absent("451, -1, 0, 0, 0"),
    **{
        name: Call(f"{number}, {NOWHERE}, 0, 0, 0, 0" if name[0] != "f" else f"{number}, -1, 0, 0, 0, 0", ENOTSUP)
        for number, name in enumerate(
            """setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
            removexattr lremovexattr fremovexattr""".split(),
            188,
        )
    },
    # Memory of one's own, in ways that nothing here needs.
    "mbind": Call("237, 0, 0, 0, 0, 0, 0", EPERM),
    "set_mempolicy": Call("238, 0, 0, 0", EPERM),
    "get_mempolicy": Call("239, 0, 0, 0, 0, 0", EPERM),
    "mseal": _absent("462, 0, 0, 0"),
    "map_shadow_stack": _absent("453, 0, 0, 99"),
    "futex_waitv": _absent("449, 0, 0, 0, 0, 0"),
    "futex_wake": _absent("454, 0, 0, 0, 0"),
    "futex_wait": _absent("455, 0, 0, 0, 0, 0, 0"),
    "futex_requeue": _absent("456, 0, 0, 0, 0"),
    # Memory and messages that no process owns.
    "shmget": Call("29, 0, 4096, 0o1600", EPERM),
    "shmat": Call("30, -1, 0, 0", EPERM),
    "shmctl": Call("31, -1, 0, 0", EPERM),
    "semget": Call("64, 0, 1, 0o1600", EPERM),
    "semop": Call("65, -1, 0, 0", EPERM),
    "msgget": Call("68, 0, 0o1600", EPERM),
    "msgsnd": Call("69, -1, 0, 0, 0", EPERM),
    "mq_open": Call("240, b'x', 0, 0, 0", EPERM),
    "mq_unlink": Call("241, b'x'", EPERM),
    # Sockets: none but pairs.
    "socket(AF_UNIX)": Call("41, 1, 1, 0", EPERM),
    "socket(AF_INET)": Call("41, 2, 1, 0", EPERM),
    "socket(AF_INET6)": Call("41, 10, 1, 0", EPERM),
    "socket(AF_NETLINK)": Call("41, 16, 3, 0", EPERM),
    "socket(AF_PACKET)": Call("41, 17, 3, 0", EPERM, KILLED),
    "socket(AF_ALG)": Call("41, 38, 5, 0", EPERM, KILLED),
    "socket(AF_VSOCK)": Call("41, 40, 1, 0", EPERM, KILLED),
    "socket(AF_XDP)": Call("41, 44, 3, 0", EPERM, KILLED),
    "socket(AF_UNIX with high bits)": Call("41, 0x100000001, 1, 0", EPERM, KILLED),
    "socketpair(AF_TIPC)": Call("53, 30, 5, 0, 0", EPERM),
    "socketpair(AF_INET)": Call("53, 2, 1, 0, 0", EPERM),
    "connect": Call("42, -1, 0, 0", EPERM),
    "bind": Call("49, -1, 0, 0", EPERM),
    "listen": Call("50, -1, 0", EPERM),
    "accept": Call("43, -1, 0, 0", EPERM),
    "accept4": Call("288, -1, 0, 0, 0", EPERM),
    # On others than oneself.
    "prlimit64 of another": Call("302, 2000000, 7, 0, 0", EPERM),
    "setpriority of another": Call("141, 0, 2000000, 0", EPERM),
    "setpriority of a group": Call("141, 1, 0, 19", EPERM),
    "setpriority of a user": Call("141, 2, 0, 19", EPERM),
    "sched_setaffinity of another": Call("203, 2000000, 8, b'\\xff' * 8", EPERM),
    "sched_setscheduler": Call("144, 0, 99, 0", EPERM),
    "sched_setparam": Call("142, 0, 0", EPERM),
    "sched_setattr": Call("314, 0, 0, 0", EPERM),
    "sched_getattr": Call("315, 0, 0, 0, 0", EPERM),
    "sched_rr_get_interval": Call("148, -1, 0", EPERM),
    "ioprio_get": Call("252, 99, 0", EPERM),
    "ioprio_set": Call("251, 99, 0, 0", EPERM),
    # Single options of calls that are allowed otherwise.
    "prctl(PR_SET_DUMPABLE)": Call("157, 4, 1, 0, 0, 0", EPERM),
    "prctl(PR_SET_KEEPCAPS)": Call("157, 8, 0, 0, 0, 0", EPERM),
    "prctl(PR_SET_SECCOMP)": Call("157, 22, 99, 0, 0, 0", EPERM),
    "prctl(PR_CAPBSET_DROP)": Call("157, 24, 999, 0, 0, 0", EPERM),
    "prctl(PR_SET_SECUREBITS)": Call("157, 28, 0, 0, 0, 0", EPERM),
    "prctl(PR_SET_MM)": Call("157, 35, 99, 0, 0, 1", EPERM),
    "prctl(PR_SET_CHILD_SUBREAPER)": Call("157, 36, 0, 0, 0, 0", EPERM),
    "prctl(PR_SET_NO_NEW_PRIVS)": Call("157, 38, 1, 0, 0, 0", EPERM),
    "prctl(PR_CAP_AMBIENT)": Call("157, 47, 4, 0, 0, 0", EPERM),
    "prctl(PR_SET_SYSCALL_USER_DISPATCH)": Call("157, 59, 0, 0, 0, 0", EPERM),
    "prctl(PR_SCHED_CORE)": Call("157, 62, 99, 0, 0, 0", EPERM),
    "prctl(PR_SET_PTRACER)": Call("157, 0x59616d61, 0, 0, 0, 0", EPERM),
    "prctl(PR_SET_MM with high bits)": Call("157, 0x100000023, 99, 0, 0, 1", EPERM),
    "ioctl(TIOCSTI)": Call("16, 1, 0x5412, b'x'", EPERM),
    "ioctl(TIOCSTI with high bits)": Call("16, 1, 0x100005412, b'x'", EPERM),
    "ioctl(TIOCLINUX)": Call("16, 1, 0x541C, b'x'", EPERM),
    "ioctl(TIOCSETD)": Call("16, 1, 0x5423, b'x'", EPERM),
    "ioctl(FS_IOC_SETFLAGS)": Call("16, 1, 0x40086602, b'x'", EPERM),
    "ioctl(SIOCGIFCONF)": Call("16, 1, 0x8912, 0", EPERM),
    # A new namespace by each of the flags.
    **{
        f"clone({name})": Call(f"56, {flag | CLONE_SIGHAND}, 0, 0, 0, 0", KILLED)
        for name, flag in {
            "CLONE_NEWNS": 0x00020000,
            "CLONE_NEWCGROUP": 0x02000000,
            "CLONE_NEWUTS": 0x04000000,
            "CLONE_NEWIPC": 0x08000000,
            "CLONE_NEWUSER": 0x10000000,
            "CLONE_NEWPID": 0x20000000,
            "CLONE_NEWNET": 0x40000000,
            "CLONE_NEWUSER with high bits": 0x110000000,
            "CLONE_NEWUSER in a thread": 0x10010000,
        }.items()
    },
    # By another architecture's numbers.
    "x32 getpid": Call("0x40000000 + 39", KILLED),
    "x32 execve": Call("0x40000000 + 520, 0, 0, 0", KILLED),
    "x32 ptrace": Call("0x40000000 + 521, 0, 0, 0, 0", KILLED),
}
"""By name, which is the call's own up to a bracket or a space."""

ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat creat close close_range stat fstat
lstat newfstatat statx statfs fstatfs lseek access faccessat faccessat2 mmap mprotect munmap brk mremap madvise msync
mincore rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause pipe
pipe2 select pselect6 poll ppoll dup dup2 dup3 fcntl epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
epoll_pwait2 eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime nanosleep clock_nanosleep getitimer
setitimer alarm getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid
setsid setpgid uname sysinfo fsync fdatasync truncate ftruncate fallocate getdents getdents64 getcwd chdir fchdir rename
renameat renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat symlink symlinkat readlink readlinkat chmod fchmod
fchmodat umask chown fchown lchown fchownat utime utimes utimensat futimesat sendfile copy_file_range splice tee
gettimeofday time times clock_gettime clock_getres getrlimit setrlimit getrusage sched_yield sched_getaffinity
sched_getparam sched_getscheduler sched_get_priority_max sched_get_priority_min getpriority getcpu futex set_robust_list
get_robust_list set_tid_address restart_syscall rseq membarrier exit exit_group kill tkill tgkill wait4 waitid getrandom
arch_prctl sendto recvfrom sendmsg recvmsg shutdown getsockname getpeername getsockopt setsockopt
prctl ioctl socketpair prlimit64 sched_setaffinity setpriority clone fork vfork execve execveat
""".split()
"""All that a program may call, some with some arguments alone: whoever adds a name must think of it here, too."""
LAST_NUMBER = 470

# int 0x80 with eax = 20: getpid of 32-bit x86.
CALL_OF_32_BITS = """
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
"""

_ASK = """
import signal
def ask(name, action):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            code = action()
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        said = "killed" if os.WTERMSIG(status) == signal.SIGSYS else signal.Signals(os.WTERMSIG(status)).name
    else:
        said = os.WEXITSTATUS(status)
    print(name, said, sep="=")
"""


def ask(jail: PartialJail, calls: dict[str, str], before: str = "") -> dict[str, Answer]:
    """Makes each call (its arguments as Python) in a child of one program, and says what came of it."""
    lines = [f"ask({name!r}, lambda: errno_of({arguments}))" for name, arguments in calls.items()]
    ran = jail.run("\n".join([PRELUDE, _ASK, before, *lines]), processes=4)
    answers = dict(line.rsplit("=", 1) for line in ran.stdout.decode().splitlines())
    assert answers.keys() == calls.keys(), ran
    return {name: said if not said.isdigit() else int(said) for name, said in answers.items()}
