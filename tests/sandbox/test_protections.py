"""Every protection of the sandbox, shown to fire on a real program in a real jail."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from gradebox_engine.jail.launch import Jail
from gradebox_engine.judge.suite import Verdict

Run = Any  # the fixture of conftest.py

ERRNO = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def errno_of(number, *args):
    result = libc.syscall(number, *args)
    return 0 if result >= 0 else ctypes.get_errno()
"""

REFUSED_CALLS = {
    "ptrace": "101, 0, 0, 0, 0",
    "unshare(user)": "272, 0x10000000",
    "setns": "308, 0, 0",
    "mount": "165, b't', b'/tmp', b'tmpfs', 0, 0",
    "umount2": "166, b'/tmp', 2",
    "pivot_root": "155, b'/tmp', b'/tmp'",
    "chroot": "161, b'/tmp'",
    "open_tree": "428, -100, b'/tmp', 1",
    "move_mount": "429, -100, b'/tmp', -100, b'/tmp', 0",
    "fsopen": "430, b'tmpfs', 0",
    "bpf": "321, 0, 0, 0",
    "perf_event_open": "298, 0, 0, -1, -1, 0",
    "userfaultfd": "323, 1",
    "io_uring_setup": "425, 2, 0",
    "keyctl": "250, 0, -3, 0",
    "add_key": "248, b'user', b'x', b'y', 1, -3",
    "process_vm_readv": "310, 1, 0, 0, 0, 0, 0",
    "process_vm_writev": "311, 1, 0, 0, 0, 0, 0",
    "kcmp": "312, 1, 1, 0, 0, 0",
    "pidfd_open": "434, 1, 0",
    "pidfd_getfd": "438, 0, 0, 0",
    "memfd_create": "319, b'x', 0",
    "personality": "135, 0x40000",
    "modify_ldt": "154, 0, 0, 0",
    "init_module": "175, 0, 0, b''",
    "kexec_load": "246, 0, 0, 0, 0",
    "reboot": "169, 0, 0, 0, 0",
    "syslog": "103, 3, 0, 0",
    "swapon": "167, b'/tmp', 0",
    "mknod": "133, b'/tmp/n', 0o020666, 0x103",
    "shmget": "29, 0, 4096, 0o1600",
    "semget": "64, 0, 1, 0o1600",
    "msgget": "68, 0, 0o1600",
    "mq_open": "240, b'x', 0o100, 0o600, 0",
    "name_to_handle_at": "303, -100, b'/tmp', 0, 0, 0",
    "seccomp": "317, 1, 0, 0",
    "prctl(PR_SET_MM)": "157, 35, 1, 0, 0, 0",
    "prctl(PR_SET_CHILD_SUBREAPER)": "157, 36, 1, 0, 0, 0",
    "ioctl(TIOCSTI)": "16, 0, 0x5412, b'x'",
    "clone3": "435, 0, 0",
    "clone(NEWUSER)": "56, 0x10000011, 0, 0, 0, 0",
    "socket(AF_INET)": "41, 2, 1, 0",
    "socket(AF_UNIX)": "41, 1, 1, 0",
    "socket(AF_VSOCK)": "41, 40, 1, 0",
    "socketpair(AF_TIPC)": "53, 30, 5, 0, 0",
    "sethostname": "170, b'x', 1",
    "settimeofday": "164, 0, 0",
    "sched_setscheduler": "144, 0, 1, 0",
    "prlimit64 on another": "302, 2, 7, 0, 0",
    "move_pages": "279, 1, 0, 0, 0, 0, 0",
    "quotactl": "179, 0, 0, 0, 0",
    "acct": "163, 0",
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the call numbers are x86-64's")
def test_every_refused_call_is_refused(run: Run) -> None:
    lines = "\n".join(f"print({name!r}, errno_of({args}), sep='=')" for name, args in REFUSED_CALLS.items())
    ran = run(ERRNO + lines)
    answers = dict(line.rsplit("=", 1) for line in ran.stdout.decode().splitlines())
    assert set(answers) == set(REFUSED_CALLS), ran
    assert {name: code for name, code in answers.items() if code not in ("1", "38")} == {}


def test_a_call_of_another_architecture_kills(run: Run) -> None:
    # int 0x80 with eax = 20 (getpid of 32-bit x86): refused by architecture, not by number.
    ran = run("""
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))())
""")
    assert ran.fault is not None and "SIGSYS" in ran.fault.message


def test_identity_and_capabilities(run: Run) -> None:
    ran = run("""
import os
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(os.getuid(), os.getgid(), os.getgroups(), os.getpid(), os.getppid())
print(*(int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")))
print(status["NoNewPrivs"], status["Seccomp"])
""")
    assert ran.stdout.decode().splitlines() == ["1000 1000 [] 1 0", "0 0 0 0 0", "1 2"]


def test_uid_on_the_host_is_nobodys(jail: Jail, run: Run) -> None:
    ran = run("""
print([line.split() for line in open("/proc/self/uid_map")])
""")
    assert b"'1000', '10" in ran.stdout, ran  # inside 1000 is a large id outside, never root or an account
    assert b"'0', '0'" not in ran.stdout


def test_nothing_of_the_host_in_sight(run: Run) -> None:
    ran = run("""
import os
print(sorted(os.listdir("/")))
for path in "/etc/shadow /root /home /var /sys /proc/sys /proc/kallsyms /proc/meminfo /run /usr/../root".split():
    print(path, os.path.exists(path))
print([n for n in os.listdir("/proc") if n.isdigit()])
print(sorted(os.environ))
""")
    lines = ran.stdout.decode().splitlines()
    assert set(eval(lines[0], {})) <= {"dev", "etc", "gradebox", "lib", "lib64", "opt", "proc", "tmp", "usr"}
    assert not [line for line in lines[1:-2] if line.endswith("True")]
    assert lines[-2] == "['1']"
    assert not {"CI", "SHELL", "PWD", "VIRTUAL_ENV"} & set(eval(lines[-1], {}))


def test_root_is_read_only_and_scratch_is_small(run: Run) -> None:
    ran = run("""
import os
def errno_of(action):
    try:
        action()
        return 0
    except OSError as error:
        return error.errno
for folder in ("/", "/etc", "/usr/lib", "/dev", "/gradebox/gradebox_inside", os.path.dirname(os.__file__)):
    print(folder, errno_of(lambda: open(folder + "/x", "w")))
def fill():
    with open("/tmp/big", "wb", buffering=0) as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
print("disk", errno_of(fill))
def inodes():
    for i in range(100000):
        os.symlink("x", f"/tmp/l{i}")
print("inodes", errno_of(inodes))
os.unlink("/tmp/big")
for i in range(10): os.unlink(f"/tmp/l{i}")
open("/tmp/target", "w").close(); os.symlink("/tmp/target", "/tmp/link")
print("link", errno_of(lambda: open("/tmp/link")))
""")
    codes = dict(line.rsplit(" ", 1) for line in ran.stdout.decode().splitlines())
    assert codes.pop("disk") in ("28", "27")  # ENOSPC, or EFBIG from the file size limit
    assert codes.pop("inodes") == "28"
    assert codes.pop("link") == "40"  # ELOOP: links on scratch are not followed
    assert set(codes.values()) <= {"30", "13"}, codes


def test_nothing_is_left_for_the_next_program(run: Run) -> None:
    first = run("""
import os, _posixshmem
open("/tmp/note", "w").write("secret")
fd = _posixshmem.shm_open("/note", os.O_CREAT | os.O_RDWR, mode=0o666); os.write(fd, b"secret")
os.environ["NOTE"] = "secret"; os.nice(5); os.umask(0o077)
import math; math.note = "secret"
print("done")
""")
    assert first.stdout == b"done\n", first
    second = run("""
import os, math
print(os.listdir("/tmp"), os.listdir("/dev/shm"), "NOTE" in os.environ, os.nice(0), hasattr(math, "note"))
""")
    assert second.stdout == b"[] [] False 0 False\n"


def test_the_fork_server_holds_no_earlier_program(run: Run) -> None:
    # What the fork server has in memory, the next program can read in its own copy of it.
    marker = os.urandom(8).hex()
    search = """
import sys
halves = sys.stdin.read().split()
found = 0
for line in open("/proc/self/maps"):
    fields = line.split()
    if fields[1][0] != "r" or fields[-1].startswith("[v"):
        continue
    start, end = (int(x, 16) for x in fields[0].split("-"))
    with open("/proc/self/mem", "rb", buffering=0) as memory:
        memory.seek(start)
        data = memory.read(end - start)
    at = data.find(halves[0].encode())
    while at >= 0:
        found += data[at + 8 : at + 16] == halves[1].encode()
        at = data.find(halves[0].encode(), at + 1)
print(found)
"""
    halves = f"{marker[:8]} {marker[8:]}".encode()
    own = run(f"secret = {marker!r}\n" + search, stdin=halves)
    assert int(own.stdout) > 0, "the search does not find what is there"
    assert run(search, stdin=halves).stdout == b"0\n"


def test_cpu_time_limit_counts_threads(run: Run) -> None:
    ran = run("while True: pass")
    assert ran.fault is not None and ran.fault.verdict is Verdict.TIME_LIMIT
    assert 1.9 < ran.cpu_time_s < 3


def test_wall_limit_stops_a_sleeper(run: Run) -> None:
    ran = run("import time; time.sleep(60)", wall_time_s=1.0)
    assert ran.fault is not None and ran.fault.verdict is Verdict.TIME_LIMIT and "wall" in ran.fault.message


def test_memory_limit(run: Run) -> None:
    ran = run("x = []\nwhile True: x.append(bytearray(1 << 20))", memory_bytes=64 << 20)
    assert ran.fault is not None and ran.fault.verdict is Verdict.MEMORY_LIMIT
    assert 50 << 20 < ran.memory_bytes < 100 << 20


def test_memory_in_scratch_files_counts(run: Run) -> None:
    ran = run(
        "f = open('/tmp/x', 'wb', buffering=0)\nwhile True: f.write(bytes(1 << 20))",
        memory_bytes=32 << 20,
        disk_bytes=256 << 20,
    )
    assert ran.fault is not None and ran.fault.verdict is Verdict.MEMORY_LIMIT


def test_a_program_cannot_leave_the_oom_killers_reach(run: Run) -> None:
    ran = run("""
print(open("/proc/self/oom_score_adj").read().strip())
try:
    open("/proc/self/oom_score_adj", "w").write("-1000")
except OSError as error:
    print(error.errno)
""")
    assert ran.stdout.split() == [b"1000", b"30"]


def test_output_is_drained_and_limited(run: Run) -> None:
    small = run("import sys\nsys.stdout.write('x' * 900_000)\nsys.stderr.write('y' * 100_000)")
    assert small.fault is None and len(small.stdout) == 900_000 and len(small.stderr) == 100_000
    large = run("import sys\nfor _ in range(100): sys.stdout.write('x' * 1_000_000)")
    assert large.fault is not None and large.fault.verdict is Verdict.OUTPUT_LIMIT
    assert large.wall_time_s < 3


def test_processes(run: Run) -> None:
    fork = (
        "import os\npid = os.fork()\nif pid == 0: os._exit(7)\nprint(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    alone = run(fork)
    assert alone.fault is not None and b"Error" in alone.stderr
    assert run(fork, processes=4).stdout == b"7\n"
    bomb = run("import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", processes=8)
    assert bomb.fault is not None and bomb.fault.verdict is Verdict.TIME_LIMIT


def test_threads_are_limited(run: Run) -> None:
    ran = run("""
import _thread, time
count = 0
try:
    while True:
        _thread.start_new_thread(time.sleep, (9,))
        count += 1
except RuntimeError:
    pass
print(count, flush=True)
import os; os._exit(0)
""")
    assert 16 <= int(ran.stdout) <= 64


def test_no_network(run: Run, listener: int) -> None:
    ran = run(f"""
import socket
try:
    socket.create_connection(("127.0.0.1", {listener}), 1)
    print("connected")
except OSError as error:
    print("refused")
""")
    assert ran.stdout == b"refused\n"


def test_kill_reaches_nobody_else(jail: Jail, run: Run) -> None:
    ran = run("""
import os
for pid in (-1, 0, os.getppid(), 2, 3, 4):
    try: os.kill(pid, 9)
    except OSError: pass
print("alive")
""")
    assert ran.stdout == b"alive\n"  # the init of a PID namespace is deaf to itself, and alone there
    assert run("print(1)").stdout == b"1\n"


def test_descriptors(run: Run) -> None:
    ran = run("""
import os
print(sorted(int(n) for n in os.listdir("/proc/self/fd")))
""")
    assert set(eval(ran.stdout, {})) <= {0, 1, 2, 3, 4}
    leak = run("import os\nwhile True: os.pipe()")
    assert leak.fault is not None and "Too many open files" in leak.fault.message + leak.stderr.decode()


def _footprint() -> tuple[int, int, int]:
    """Processes, descriptors and mounts of this process and all below it."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    me = psutil.Process()
    return len(me.children(recursive=True)), me.num_fds(), len(mounts)


def test_nothing_is_left_on_the_host(run: Run) -> None:
    run("print(1)")
    before = _footprint()
    for _ in range(20):
        run("import os\nif os.fork() == 0:\n  os.setsid()\n  import time; time.sleep(60)", processes=4)
    assert _footprint() == before
