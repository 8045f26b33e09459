"""Nothing passes from one program to the next, each way tried with the layer that closes it off, too (the control).

What has no layer to take off is compared: the second program must find what the first one found, to the last item,
whatever the first one did to it.
"""

import json
from typing import Any

import pytest
from tests.sandbox.attack import Attack, Host, check, identity, says
from tests.sandbox.partial import FILTERS, NO_PRIVILEGE, PRELUDE

Run = Any  # the fixture of conftest.py

DONE = '\nprint("done", flush=True)\n'
FORKS = {"processes": 4}
PROGRAM_PID = "program's pid namespace"
ALL_QUEUES = FILTERS | {"limits for all", "jail's limits"}
JAILS_PROC = FILTERS | {"own /proc"}


def leaves(text: str) -> str:
    """The first program: what it does, and that it did."""
    return PRELUDE + text + DONE


LEFT_CHILD = """
import time
ready, tell = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        {ready}
        os.write(tell, b"!")
        time.sleep(60)
    os._exit(0)
os.wait()
os.read(ready, 1)
"""
PROCESSES = "len([name for name in os.listdir('/proc') if name.isdigit()])"
ADDS_A_KEY = """
pid = os.fork()  # a call may kill its process
if pid == 0:
    os._exit(errno_of(248, b"user", b"gradebox-left", b"x", 1, -4))
os.waitpid(pid, 0)
"""
FINDS_THE_KEY = """
pid = os.fork()
if pid == 0:
    found = libc.syscall(250, 10, -4, b"user", b"gradebox-left", 0)
    if found > 0:
        libc.syscall(250, 3, found)
    os._exit(7 if found > 0 else 1)
status = os.waitpid(pid, 0)[1]
"""
OWN_SERVER = """
server = socket.socket(socket.AF_UNIX)
server.bind("\\0gradebox-left")
server.listen(4)
"""

PASSED_ON = [
    Attack("own scratch", "a file", says("os.path.exists('/tmp/left')"), first=leaves("open('/tmp/left', 'w')")),
    Attack(
        "own scratch",
        "POSIX shared memory",
        says("not refused(posixshmem.shm_open, '/left', os.O_RDWR)", "import _posixshmem as posixshmem"),
        first=leaves("import _posixshmem; _posixshmem.shm_open('/left', os.O_CREAT | os.O_RDWR, mode=0o666)"),
    ),
    Attack(
        "own scratch",
        "the name of a socket",
        says("os.path.exists('/tmp/socket')"),
        FILTERS,
        leaves("import socket; socket.socket(socket.AF_UNIX).bind('/tmp/socket')"),
    ),
    Attack(
        "program's mount namespace",
        "a mount",
        says("not os.path.exists('/opt/extra/roots')"),
        NO_PRIVILEGE,
        leaves("assert errno_of(165, b'left', b'/opt/extra', b'tmpfs', 0, 0) == 0"),
    ),
    Attack(
        "program's ipc namespace",
        "System V shared memory",
        says("errno_of(29, 0x7777, 0, 0) == 0"),
        FILTERS,
        leaves("assert errno_of(29, 0x7777, 4096, 0o1666) == 0"),
    ),
    Attack(
        "program's ipc namespace",
        "System V semaphores",
        says("errno_of(64, 0x7777, 0, 0) == 0"),
        FILTERS,
        leaves("assert errno_of(64, 0x7777, 1, 0o1666) == 0"),
    ),
    Attack(
        "program's ipc namespace",
        "a System V queue",
        says("errno_of(68, 0x7777, 0) == 0"),
        FILTERS,
        leaves("assert errno_of(68, 0x7777, 0o1666) == 0"),
    ),
    Attack(
        "program's ipc namespace",
        "a POSIX queue",
        says("errno_of(240, b'left', 0, 0, 0) == 0"),
        ALL_QUEUES,
        leaves("assert errno_of(240, b'left', 0o102, 0o666, 0) == 0"),
    ),
    Attack(
        PROGRAM_PID,
        "a process",
        says(f"{PROCESSES} > 2"),
        JAILS_PROC,
        leaves(LEFT_CHILD.format(ready="pass")),
        FORKS,
    ),
    Attack(
        PROGRAM_PID,
        "a server under an abstract name",
        says("not refused(socket.socket(socket.AF_UNIX).connect, '\\0gradebox-left')", "import socket"),
        FILTERS,
        leaves("import socket" + LEFT_CHILD.format(ready=OWN_SERVER.strip().replace("\n", "; "))),
        FORKS,
    ),
    *(
        Attack(
            layer,
            "a key",
            says("os.WIFEXITED(status) and os.WEXITSTATUS(status) == 7", FINDS_THE_KEY),
            FILTERS - {layer},
            leaves(ADDS_A_KEY),
            FORKS,
        )
        for layer in sorted(FILTERS)
    ),
]


@pytest.mark.parametrize("attack", PASSED_ON, ids=identity)
def test_nothing_passes(attack: Attack, host: Host) -> None:
    check(attack, host)


STATE = """
import builtins, json, os, resource, signal, sys, _thread
def state():
    status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
    import math, re
    return {
        "environment": sorted(os.environ.items()),
        "folder": os.getcwd(),
        "umask": status["Umask"],
        "nice": os.nice(0),
        "limits": [resource.getrlimit(which) for which in range(16)],
        "signal mask": status["SigBlk"],
        "signals ignored": status["SigIgn"],
        "signals caught": status["SigCgt"],
        "timers": [signal.getitimer(which) for which in (0, 1, 2)],
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "processors": sorted(os.sched_getaffinity(0)),
        "name": open("/proc/self/comm").read(),
        "slack": open("/proc/self/timerslack_ns").read(),
        "group": [os.getpgid(0), os.getsid(0)],
        "modules": sorted(sys.modules),
        "path": [sys.path, sys.meta_path.__len__(), len(sys.path_hooks)],
        "builtins": [sorted(vars(builtins)), print.__name__, len("ab")],
        "a module's names": sorted(vars(math)),
        "patterns kept": len(re._cache),
        "recursion": sys.getrecursionlimit(),
        "switching": sys.getswitchinterval(),
        "digits": sys.get_int_max_str_digits(),
        "stack": _thread.stack_size(),
        "hashes": [hash("text"), hash(b"bytes")],
        "traced": [sys.gettrace() is None, sys.getprofile() is None],
        "hooks": sys.excepthook is sys.__excepthook__,
        "files": sorted(os.path.join(at, n) for top in ("/tmp", "/dev/shm/") for at, _, ns in os.walk(top) for n in ns),
    }
"""
TELLS = STATE + "\nprint(json.dumps(state()))\n"
CHANGES_ALL = (
    STATE
    + """
real = sys.__stdout__
os.environ["LEFT"] = "left"
os.mkdir("/tmp/folder"); os.chdir("/tmp/folder"); open("file", "w").close()
os.umask(0o077); os.nice(3)
resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 50)
os.dup(0)
os.sched_setaffinity(0, [max(os.sched_getaffinity(0))])
import ctypes
libc = ctypes.CDLL(None)
libc.prctl(15, b"left", 0, 0, 0)
libc.prctl(29, 77777, 0, 0, 0)
sys.modules["left"] = sys
sys.path.append("/tmp")
builtins.left = 1
import math, re
math.left = 1
re.compile("left" * 3)
sys.setrecursionlimit(777)
sys.setswitchinterval(0.5)
sys.set_int_max_str_digits(777)
_thread.stack_size(1 << 20)
sys.setprofile(lambda *_: None)
sys.excepthook = lambda *_: None
print(json.dumps(state()), file=real)
"""
)
SAME_FOR_ALL = {"hashes", "group", "slack"}
"""What a program cannot change: its own session, the fixed hash seed."""


def test_the_next_program_finds_what_the_first_one_found(run: Run) -> None:
    before = json.loads(run(TELLS).stdout)
    changed_run = run(CHANGES_ALL)
    changed = json.loads(changed_run.stdout)
    after = json.loads(run(TELLS).stdout)
    assert {name: (before[name], after[name]) for name in before if before[name] != after[name]} == {}
    # The control: the program between them did change all of it.
    one_processor = {"processors"} if len(before["processors"]) == 1 else set()
    assert {name for name in before if changed[name] == before[name]} == SAME_FOR_ALL | one_processor


RANDOM = "import random, uuid, os, secrets\nprint(random.random(), uuid.uuid4(), secrets.token_hex(8))\n"


def test_chance_is_not_handed_on(run: Run) -> None:
    run("import random\nrandom.seed(1)\nrandom.random()")
    draws = [run(RANDOM).stdout.split() for _ in range(3)]
    assert len({draw for row in draws for draw in row}) == 9
    seeded = run("import random\nrandom.seed(1)\nprint(random.random())").stdout.split()[0]
    assert seeded not in [row[0] for row in draws]


def test_a_writable_place_is_empty_for_the_next_program(run: Run) -> None:
    """Walks the whole tree for places that can be written, leaves a file in each, and looks there again."""
    walk = """
import os
places = []
for at, folders, files in os.walk("/"):
    if at == "/proc":
        folders[:] = []
        continue
    for name in [at, *(os.path.join(at, file) for file in files)]:
        if os.access(name, os.W_OK) and not name.startswith("/dev/"):
            places.append(name)
"""
    first = run(walk + "print(places)\nfor place in places: open(place + '/left', 'w').write('x')")
    assert first.stdout == b"['/tmp']\n", first
    assert run(walk + "print(places, os.listdir('/tmp'))").stdout == b"['/tmp'] []\n"


def test_set_uid_files_of_the_image_are_without_effect(run: Run) -> None:
    """The default image binds the host's libraries, and some hosts have a set-id helper among them."""
    ran = run("""
import os
found, seen = [], 0
for at, folders, files in os.walk("/"):
    if at == "/proc":
        folders[:] = []
        continue
    for path in (os.path.join(at, name) for name in files):
        seen += 1
        if os.lstat(path).st_mode & 0o6000 and not os.statvfs(path).f_flag & os.ST_NOSUID:
            found.append(path)
print(seen > 500, found)
""")
    assert ran.stdout == b"True []\n", ran
