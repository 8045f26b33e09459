"""Attacks on what sets a program apart: its namespaces, its ids, what it may ask of the kernel."""

import ctypes
import os
import socket
import tempfile

import pyseccomp

from gradebox_engine.doctor.check import Missing
from gradebox_engine.doctor.target import TRY, Target

_CALL = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print("got", {name!r}) if libc.syscall({number}, {arguments}) >= 0 else print("refused", ctypes.get_errno())
"""


def _call(name: str, arguments: str) -> str:
    """A program that makes one system call."""
    number = pyseccomp.resolve_syscall(pyseccomp.system_arch(), name)
    return _CALL.format(name=name, number=number, arguments=arguments)


def user_namespace(target: Target) -> str:
    with tempfile.NamedTemporaryFile() as secret:  # its owner's alone
        target.refused(
            TRY + "import os\nattempt('uid 0', lambda: os.setresuid(0, 0, 0))\n"
            f"attempt('a file of the engine', lambda: open({secret.name!r}).read())"
        )
    target.apart("user")
    with target.standing() as (process, _):
        if process.uid in (0, os.getuid()):
            raise Missing(f"programs run as uid {process.uid}")
        rows = len(process.read("uid_map").splitlines())
        return f"the host's ids are out of reach; {rows} ids that nobody has"


def pid_namespace(target: Target) -> str:
    said = target.refused(
        TRY + f"import os\nattempt('a signal to the engine', lambda: os.kill({os.getpid()}, 0))\n"
        "print([name for name in os.listdir('/proc') if name.isdigit()])"
    )
    target.apart("pid")
    if said != "['1']":
        raise Missing(f"a program sees the processes {said}")
    return "the engine's process could not be signalled; a program sees itself alone"


def mount_namespace(target: Target) -> str:
    with tempfile.NamedTemporaryFile(dir="/tmp") as file:
        os.chmod(file.name, 0o644)
        paths = [file.name, "/etc/shadow", "/root", "/home", "/sys", "/var", "/run"]
        target.refused(TRY + f"import os\nfor path in {paths}:\n    attempt(path, lambda: os.stat(path).st_mode)")
    target.apart("mnt")
    return "no file of the host in sight"


def network_namespace(target: Target) -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = ("127.0.0.1", server.getsockname()[1])
        target.refused(
            TRY + f"import socket\nattempt('a connection', lambda: socket.create_connection({address}, 2).close())"
        )
    target.apart("net")
    with target.standing() as (process, _):
        if "LOCAL" in process.read("net/fib_trie"):
            raise Missing("programs have an address")
    return "a port of the host could not be reached; there is no address, not even loopback's"


def ipc_namespace(target: Target) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x67720000 + os.getpid() % 0xFFFF
    segment = libc.shmget(key, 4096, 0o1666)
    if segment < 0:
        raise Missing(f"no segment could be made on the host: {os.strerror(ctypes.get_errno())}")
    try:
        target.refused(_call("shmget", f"{key}, 4096, 0"))
    finally:
        libc.shmctl(segment, 0, None)
    target.apart("ipc")
    return "a shared memory segment of the host, open to all, could not be reached"


def uts_namespace(target: Target) -> str:
    host = os.uname().nodename
    said = target.refused(
        TRY + "import os, socket\nattempt('another host name', lambda: socket.sethostname('x'))\n"
        "print(os.uname().nodename)"
    )
    target.apart("uts")
    if said == host:
        raise Missing("a program sees the host's name")
    return f"the name that a program sees is {said}"


def uid_separation(target: Target) -> str:
    target.refused(
        TRY + "import os\nfor pid in [-1, 0, *range(2, 200)]:\n"
        "    if pid: attempt(f'a signal to {pid}', lambda: os.kill(pid, 9))\n"
        "attempt('memory of another', lambda: open(f'/proc/{os.getppid()}/mem', 'rb').close())"
    )
    with target.standing() as (process, server):
        uids = process.uid, server.uid, os.getuid()
    if len(set(uids)) < 3:
        raise Missing(f"program, fork server and worker have the uids {uids}")
    return "fork server and worker have other uids, and live on"


def capabilities(target: Target) -> str:
    target.refused(
        TRY + "import os\nopen('f', 'w').close()\nattempt('to give a file away', lambda: os.chown('f', 0, 0))\n"
        "attempt('groups', lambda: os.setgroups([0]))\nattempt('a device', lambda: os.mknod('d', 0o20666, 0x103))\n"
        "attempt('a better priority', lambda: os.nice(-5))"
    )
    with target.standing() as (process, _):
        held = [name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(process.status(name), 16)]
    if held:
        raise Missing(f"programs have {', '.join(held)}")
    return "what takes one was refused; all five sets are empty"


def no_new_privs(target: Target) -> str:
    asked = "import ctypes\nprint(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    if target.says(asked) != "1":
        raise Missing("a program could gain rights by exec")
    with target.standing() as (_, server):
        if server.status("NoNewPrivs") != "1":
            raise Missing("the fork server could gain rights by exec")
    return "set for programs and for the fork server"


def _stopped(target: Target, name: str, arguments: str) -> None:
    """Tries a system call that must be refused, or be deadly. Raises Missing."""
    ran = target.run(_call(name, arguments))
    killed = ran.fault is not None and "SIGSYS" in ran.fault.message
    if not killed and not ran.stdout.startswith(b"refused"):
        raise Missing(f"{name} was not refused: {ran.fault.message if ran.fault else ran.stdout[:80]!r}")


def jail_seccomp(target: Target) -> str:
    calls = {"bpf": "0, 0, 0", "ptrace": "0, 0, 0, 0", "keyctl": "0, -3, 0"}
    for name, arguments in calls.items():
        _stopped(target, name, arguments)
    with target.standing() as (_, server):
        if server.status("Seccomp") != "2":
            raise Missing("no filter is on the fork server")
    return f"{', '.join(calls)} were stopped; the fork server stands under it, too"


def program_seccomp(target: Target) -> str:
    calls = {"unshare": "0x10000000", "mount": "b't', b'/tmp', b'tmpfs', 0, 0", "socket": "2, 1, 0"}
    for name, arguments in calls.items():
        _stopped(target, name, arguments)
    with target.standing() as (process, server):
        filters = int(process.status("Seccomp_filters")), int(server.status("Seccomp_filters"))
    if filters[0] <= filters[1]:
        raise Missing("programs have no filter of their own")
    return f"{', '.join(calls)} were stopped; {filters[0]} filters on a program, {filters[1]} on the fork server"
