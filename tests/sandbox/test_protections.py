"""The whole sandbox, as it is, shown to hold real programs in a real jail.

What each layer of it adds is shown in test_layers.py and test_limits.py, the system calls in test_calls.py, and what
must not pass from one program to another in test_between.py, test_secrets.py and test_neighbours.py.
"""

from pathlib import Path
from typing import Any

import psutil

from gradebox_engine.jail.launch import Jail
from gradebox_engine.judge.suite import Verdict

Run = Any  # the fixture of conftest.py


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
    # What is in /tests are decoys.
    assert set(eval(lines[0], {})) <= {"dev", "etc", "gradebox", "lib", "lib64", "opt", "proc", "tests", "tmp", "usr"}
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


def test_memory_of_children_that_are_killed_with_it_is_told(run: Run) -> None:
    ran = run("import os\nx = os.fork() or bytearray(b'x') * (60 << 20)\nwhile True: pass", processes=2)
    assert ran.fault is not None and ran.fault.verdict is Verdict.TIME_LIMIT
    assert 60 << 20 < ran.memory_bytes < 120 << 20


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
    assert set(eval(ran.stdout, {})) <= {0, 1, 2, 3, 4, 5}  # channel, bell, and the listing's own
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
