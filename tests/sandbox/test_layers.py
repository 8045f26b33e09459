"""Namespaces, ids, capabilities and mounts, each alone: with all others off that could stop an attack, it does.

The second run of every attack is the control, with this layer off, too: the attack then works, so that it is a real
one, and its test fails when the layer is gone. Limits are tried in test_limits.py, the system call policies (many
rules, not one layer) in test_calls.py, what passes from one program to the next in test_between.py.
"""

import pytest
from tests.sandbox.attack import Attack, Host, check, identity, says
from tests.sandbox.partial import FILTERS, NO_PRIVILEGE

PROGRAM_PID, JAIL_PID = "program's pid namespace", "jail's pid namespace"
PROGRAM_NNP, JAIL_NNP = "program's no_new_privs", "jail's no_new_privs"
NO_NEW_PRIVS = frozenset({PROGRAM_NNP, JAIL_NNP})
HOST_ROOT = NO_PRIVILEGE | {"user namespace"}
FORKS = {"processes": 4}

REACHES_THE_FORK_SERVER = says(
    "reached",
    """
parent = os.getppid()
actions = (lambda: os.kill(parent, 0), lambda: os.listdir(f"/proc/{parent}/fd"),
           lambda: open(f"/proc/{parent}/mem", "rb"), lambda: os.readlink(f"/proc/{parent}/exe"))
reached = parent != 0 and [action for action in actions if not refused(action)]
""",
)

RUN = """
import os
def said_by(command, before=lambda: None):
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(into, 1)
        before()
        os.execv(command[0], command)
    os.close(into)
    os.waitpid(pid, 0)
    return os.read(out, 4096).decode()
"""
RUNS_SET_UID = says("said_by(['/opt/extra/id', '-u']) == '0\\n'", RUN)
MAKES_SET_UID = (
    RUN
    + """
import shutil
shutil.copy("/opt/extra/id", "/tmp/id")
os.chmod("/tmp/id", 0o4755)
os.chmod("/tmp", 0o755)
become = lambda: os.setresuid(1000, 1000, 1000)
"""
)
GAINS_BY_EXEC = says(
    "'CapEff:\\t0000000000000000' not in said_by(['$interpreter', '-ISc', look])",
    RUN + "look = 'print(open(\"/proc/self/status\").read())'",
)

IDENTITIES = [
    Attack(
        "user namespace",
        "reads a file of the host's root",
        says("not refused(open, '/opt/extra/roots')"),
        NO_PRIVILEGE,
    ),
    Attack(
        "user namespace",
        "opens a setting of the kernel",
        says("not refused(os.open, '/proc/sys/kernel/core_pattern', os.O_WRONLY)"),
        NO_PRIVILEGE | {"own /proc"},
    ),
    Attack(
        "user namespace",
        "makes a device node",
        says("errno_of(133, b'/tmp/n', 0o020666, 0x103) == 0"),
        NO_PRIVILEGE,
    ),
    Attack(
        "another uid",
        "reaches the fork server",
        REACHES_THE_FORK_SERVER,
        FILTERS | {PROGRAM_PID, "own /proc", "not dumpable", "no capabilities"},
    ),
    Attack(
        "no capabilities",
        "mounts",
        says("errno_of(165, b't', b'/tmp', b'tmpfs', 0, 0) == 0"),
        FILTERS | {"another uid"},
    ),
    Attack(
        "no capabilities",
        "changes the jail's name",
        says("errno_of(170, b'x', 1) == 0"),
        FILTERS | {"another uid"},
    ),
    Attack(
        "no capabilities",
        "changes its root",
        says("errno_of(161, b'/tmp') == 0"),
        FILTERS | {"another uid"},
    ),
    Attack(
        "no capabilities",
        "makes a namespace",
        says("errno_of(272, 0x04000000) == 0"),
        FILTERS | {"another uid"},
    ),
    Attack(
        "no capabilities by exec",
        "gains capabilities as the jail's root",
        GAINS_BY_EXEC,
        FILTERS | NO_NEW_PRIVS | {"another uid"},
        limits=FORKS,
    ),
    Attack(
        PROGRAM_NNP,
        "gains capabilities as the jail's root",
        GAINS_BY_EXEC,
        FILTERS | {JAIL_NNP, "another uid", "no capabilities by exec"},
        limits=FORKS,
    ),
    Attack(
        JAIL_NNP,
        "gains capabilities as the jail's root",
        GAINS_BY_EXEC,
        FILTERS | {PROGRAM_NNP, "another uid", "no capabilities by exec"},
        limits=FORKS,
    ),
    Attack(PROGRAM_NNP, "runs a set-uid file", RUNS_SET_UID, FILTERS | {JAIL_NNP, "nosuid image"}, limits=FORKS),
    Attack(JAIL_NNP, "runs a set-uid file", RUNS_SET_UID, FILTERS | {PROGRAM_NNP, "nosuid image"}, limits=FORKS),
    Attack("nosuid image", "runs a set-uid file", RUNS_SET_UID, FILTERS | NO_NEW_PRIVS, limits=FORKS),
    Attack(
        "scratch nosuid",
        "runs a set-uid file of its own",
        says("said_by(['/tmp/id', '-u'], become) == '0\\n'", MAKES_SET_UID),
        NO_PRIVILEGE | NO_NEW_PRIVS,
        limits=FORKS,
    ),
]

TALKS_TO_ITSELF = """
import socket
def talk():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), 1).close()
"""

NAMESPACES = [
    Attack(PROGRAM_PID, "reaches its parent", REACHES_THE_FORK_SERVER, NO_PRIVILEGE | {"not dumpable", "own /proc"}),
    Attack(
        JAIL_PID, "ends a process of the host", says("not refused(os.kill, $victim, 15)"), HOST_ROOT | {PROGRAM_PID}
    ),
    Attack(
        "network namespace",
        "connects to a listener of the host",
        says("not refused(socket.create_connection, ('127.0.0.1', $port), 1)", "import socket"),
        FILTERS,
    ),
    Attack(
        "network namespace",
        "connects to an abstract name of the host",
        says("not refused(socket.socket(socket.AF_UNIX).connect, '\\0$abstract')", "import socket"),
        FILTERS,
    ),
    Attack(
        "no loopback",
        "serves itself",
        says("not refused(talk)", TALKS_TO_ITSELF),
        FILTERS,
    ),
    Attack(
        "jail's ipc namespace",
        "finds shared memory of the host",
        says("errno_of(29, $segment, 0, 0) == 0"),
        FILTERS | {"program's ipc namespace"},
    ),
    Attack(
        "program's ipc namespace",
        "finds shared memory of the host",
        says("errno_of(29, $segment, 0, 0) == 0"),
        FILTERS | {"jail's ipc namespace"},
    ),
    Attack("uts namespace", "learns the host's name", says("os.uname().nodename == '$hostname'")),
    Attack(
        "cgroup namespace",
        "learns its place among the host's groups",
        says("'gradebox-' in open('/proc/self/cgroup').read()"),
    ),
    Attack(
        "mount namespace",
        "reads a file that anybody may read",
        says("not refused(open, '$here')"),
        frozenset({"user namespace", "another uid"}),
    ),
]

FILES = [
    Attack("read-only image", "writes in the jail's root", says("not refused(open, '/etc/left', 'w')"), HOST_ROOT),
    Attack("read-only image", "writes in a folder of it", says("not refused(open, '/opt/extra/left', 'w')"), HOST_ROOT),
    Attack("own /proc", "sees the jail's processes", says("len([n for n in os.listdir('/proc') if n.isdigit()]) > 1")),
    Attack(
        "own /proc",
        "reads the fork server's memory",
        says("os.readlink('/proc/1/ns/pid') != os.readlink('/proc/self/ns/pid') and not refused(open, '/proc/1/mem')"),
        NO_PRIVILEGE,
    ),
    Attack("subset=pid", "reads about the machine", says("os.path.exists('/proc/meminfo')")),
    Attack("hidepid", "sees the fork server", says("'1' in os.listdir('/proc')"), FILTERS | {PROGRAM_PID}),
    Attack(
        "read-only /proc",
        "writes in /proc",
        says("not refused(write)", "def write():\n    with open('/proc/self/comm', 'w') as file: file.write('x')"),
    ),
    Attack("no /sys", "finds the kernel's objects", says("os.path.exists('/sys/kernel')")),
    Attack(
        "scratch nodev",
        "uses a device that it made",
        says("not refused(os.open, '/tmp/n', os.O_RDWR)", "os.mknod('/tmp/n', 0o020666, 0x103)"),
        HOST_ROOT,
    ),
    Attack(
        "scratch nosymfollow",
        "follows a link of its own",
        says("not refused(open, '/tmp/link')", "os.symlink('/etc/passwd', '/tmp/link')"),
    ),
]


@pytest.mark.parametrize("attack", [*IDENTITIES, *NAMESPACES, *FILES], ids=identity)
def test_a_layer_stops_it_alone(attack: Attack, host: Host) -> None:
    check(attack, host)
