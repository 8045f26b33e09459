"""Attacks on what bounds a program: the files that it can reach, and all that it can use up."""

import os

from gradebox_engine.doctor.check import Missing
from gradebox_engine.doctor.target import TRY, Target
from gradebox_engine.jail import cgroup
from gradebox_engine.judge.suite import Verdict

_MIB = 1 << 20


def _mounts(target: Target) -> dict[str, set[str]]:
    """A program's mount points, with the options of what is mounted there, topmost."""
    with target.standing() as (process, _):
        rows = [line.split() for line in process.read("mountinfo").splitlines()]
    return {row[4]: {*row[5].split(","), *row[-1].split(",")} for row in rows}


def read_only_root(target: Target) -> str:
    folders = ["/", "/etc", "/usr/lib", "/dev", "/gradebox/gradebox_inside"]
    target.refused(
        TRY + f"import os\nfor folder in [*{folders}, os.path.dirname(os.__file__)]:\n"
        "    attempt('to write in ' + folder, lambda: open(folder + '/x', 'w').close())\n"
        "attempt('to write to ' + os.__file__, lambda: open(os.__file__, 'a').close())"
    )
    writable = [
        point
        for point, options in _mounts(target).items()
        if "ro" not in options and point != "/tmp" and not point.startswith("/dev/")
    ]
    if writable:
        raise Missing(f"{', '.join(writable)} are mounted writable")
    return "nothing could be written but scratch files"


def no_setuid(target: Target) -> str:
    files = target.says("""
import os
for folder, _, names in os.walk("/"):
    for name in names if not folder.startswith("/proc") else ():
        mode = os.lstat(os.path.join(folder, name)).st_mode
        if mode & 0o170000 == 0o100000 and mode & 0o6000:
            print(os.path.join(folder, name))
""").splitlines()
    # The root's own mount holds nothing but folders and links.
    able = [
        point for point, options in _mounts(target).items() if "nosuid" not in options and point not in ("/", "/proc")
    ]
    if able:
        raise Missing(f"files in {', '.join(able)} could give a program other rights; there are {len(files)} now")
    return f"{len(files)} among all files, in mounts where they give nothing (nosuid)"


def masked_proc(target: Target) -> str:
    paths = ["sys/kernel/core_pattern", "kcore", "kallsyms", "sysrq-trigger", "meminfo", "keys", "bus"]
    target.refused(
        TRY + f"for path in {paths}:\n    attempt('/proc/' + path, lambda: open('/proc/' + path).close())\n"
        "attempt('oom_score_adj', lambda: open('/proc/self/oom_score_adj', 'w').write('-1000'))\n"
        "attempt('comm', lambda: open('/proc/self/comm', 'w').write('x'))"
    )
    return "only the program's own process, and nothing writable"


def private_scratch(target: Target) -> str:
    name = f"gradebox-doctor-{os.getpid()}"
    target.says(f"open('/tmp/{name}', 'w').write('x')\nimport os\nos.mkdir('/tmp/{name}.d')")
    if os.path.exists(f"/tmp/{name}"):
        raise Missing("a program's file is in the host's /tmp")
    said = target.says("import os\nprint(os.listdir('/tmp'), os.listdir('/dev/shm'))")
    if name in said:
        raise Missing("the next program finds the files of the one before it")
    return "the next program found nothing, and neither did the host"


# Ends when one of the children does, or when all together have held their memory for a while.
_CHILDREN = """
import os, time
held_by = []
for _ in range(6):
    reading, writing = os.pipe()
    if os.fork() == 0:
        held = bytearray(b"x") * (40 << 20)
        os.write(writing, b"x")
        time.sleep(20)
        os._exit(0)
    os.close(writing)
    held_by.append(reading)
ended = not all(os.read(reading, 1) for reading in held_by)
end_s = time.monotonic() + 2
while not ended and time.monotonic() < end_s:
    time.sleep(0.02)
    ended = os.waitpid(-1, os.WNOHANG)[0] != 0
os._exit(ended)
"""


def memory_limit(target: Target) -> str:
    alone = "held = []\nwhile True:\n    held.append(bytearray(b'x') * (1 << 20))\n"
    shared = "import mmap\nheld = mmap.mmap(-1, 1 << 30)\nfor at in range(0, 1 << 30, 4096):\n    held[at] = 1\n"
    # That of one process comes after what no other limit ends: without a group it goes on for gigabytes.
    attacks = {"shared memory": (shared, 1), "six children": (_CHILDREN, 8), "one process": (alone, 1)}
    for what, (source, processes) in attacks.items():
        kills = target.jail.oom_kills()
        ran = target.run(source, memory_bytes=128 * _MIB, processes=processes)
        limited = ran.fault is not None and ran.fault.verdict is Verdict.MEMORY_LIMIT
        if not limited and target.jail.oom_kills() == kills:  # what it takes may be a child
            raise Missing(f"{what}: {ran.fault.message if ran.fault else 'was not ended'}")
    return f"{', '.join(attacks)} with more than 128 MiB were ended"


def process_limit(target: Target) -> str:
    bomb = "import os, time\ncount = 0\ntry:\n    while True:\n        if os.fork() == 0:\n            time.sleep(60)\n"
    bomb += "        count += 1\nexcept OSError:\n    os.write(1, b'%d' % count)\n    os._exit(0)\n"
    count = int(target.says(bomb, processes=4))
    if count > 4 + 64:
        raise Missing(f"{count} processes started")
    if "got" in target.says(TRY + "import os\nattempt('a process', os.fork)\n"):
        raise Missing("a program of one process forked")
    return f"a fork bomb came to {count} processes (64 threads are allowed), a program of one to none"


def cpu_limit(target: Target) -> str:
    source = "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        while True:\n            pass\n"
    ran = target.run(source + "os.wait()", processes=4, cpu_time_s=0.5)
    if ran.fault is None or "CPU time" not in ran.fault.message:
        raise Missing(f"spinning children: {ran.fault.message if ran.fault else 'were not ended'}")
    return "children that spin while their parent waits: TIME_LIMIT"


def rlimits(target: Target) -> str:
    said = target.refused(
        TRY
        + """
import resource as r
for name in ("CORE", "NOFILE", "NPROC", "AS", "FSIZE", "MEMLOCK"):
    which = getattr(r, "RLIMIT_" + name)
    hard = r.getrlimit(which)[1]
    attempt("more " + name, lambda: r.setrlimit(which, (hard + 1, hard + 1)))
attempt("a core file", lambda: r.getrlimit(r.RLIMIT_CORE)[1] or r.setrlimit(r.RLIMIT_CORE, (1, 1)))
attempt("10,000 descriptors", lambda: [open("/dev/null") for _ in range(10_000)] and None)
attempt("16 MiB of scratch", lambda: [open(f"/tmp/{n}", "wb").write(bytes(1 << 20)) for n in range(16)] and None)
print("done")
"""
    )
    if said != "done":
        raise Missing(said)
    return "none could be raised; descriptors and scratch space ran out where they should"


def group_memory(target: Target) -> str:
    _with_group(target)
    before = target.jail.oom_kills()
    target.run(_CHILDREN, memory_bytes=128 * _MIB, processes=8)
    if target.jail.oom_kills() == before:
        raise Missing("the OOM killer did not come")
    return "240 MiB in a group of 128: the kernel's OOM killer came"


def group_tasks(target: Target) -> str:
    _with_group(target)
    group = cgroup.Cgroup(98)
    try:
        group.set_tasks(1)
        pid = os.fork()
        if pid == 0:
            status = 2
            try:
                group.add(os.getpid())
                child = os.fork()
                os._exit(0) if child == 0 else os.waitpid(child, 0)
                status = 1
            except BlockingIOError:
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        group.remove()
    if status != 0:
        raise Missing("a second process started in a group of one" if status == 1 else "the group could not be entered")
    return "the second process of a group of one was refused"


def _with_group(target: Target) -> None:
    name = target.jail.protections[-1]
    if not name.startswith("cgroup"):
        raise Missing(f"the jail has no control group: {name}")
