"""The tier `rootless`: a real engine and real jails of an ordinary user, with the verdicts of the tier `full`."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.sandbox import ordinary_user
from tests.waiting import has_ended, wait_until

Run = Any  # the fixture of conftest.py

pytestmark = [pytest.mark.usefixtures("jails"), pytest.mark.xdist_group("machine")]

HARNESS = (sys.executable, str(Path(ordinary_user.__file__)))
RANGE = range(1_200_000, 1_200_000 + 65536)
MIB = 1 << 20

# What a worker does, without its link: the programs on standard input, one line of JSON an outcome.
WORKER = """
import json, sys
from dataclasses import replace
from gradebox_engine.jail import cgroup, rootfs, rootless
rootless.enter()
rootfs.enter_private_mounts()
from gradebox_engine import images
from gradebox_engine.jail.launch import Jail
from gradebox_engine.limits import Limits
from gradebox_engine.worker import stdio
from gradebox_engine.worker.programs import python_program
from gradebox_engine.worker.watch import OomWatch
jail = Jail(images.host_python(), 0, with_cgroup="--with-cgroup" in sys.argv)
jail.start()
print(json.dumps(jail.protections), flush=True)
for line in sys.stdin:
    source, limits = json.loads(line)
    limits = replace(Limits(cpu_time_s=2, wall_time_s=20, memory_bytes=256 << 20, disk_bytes=16 << 20), **limits)
    ran = stdio.run(jail, python_program(source.encode()), b"", limits, OomWatch(jail), lambda: False)
    verdict = (ran.fault.verdict.name, ran.fault.message) if ran.fault else ("PASSED", "")
    print(json.dumps([*verdict, ran.stdout.decode()]), flush=True)
jail.close()
"""

# name: program, its limits, its verdict in any tier
PROGRAMS: dict[str, tuple[str, dict[str, Any], str]] = {
    "honest": ("print(sum(range(10)))", {}, "PASSED"),
    "wrong": ("print(1 / 0)", {}, "RUNTIME_ERROR"),
    "one large request": ("bytearray(10 ** 11)", {}, "MEMORY_LIMIT"),
    "memory bomb": ("held = []\nwhile True:\n    held.append(bytearray(b'x') * (1 << 20))", {}, "MEMORY_LIMIT"),
    "memory bomb that catches": (
        "held = []\ntry:\n    while True:\n        held.append(bytearray(b'x') * (1 << 20))\n"
        "except MemoryError:\n    pass",
        {},
        "MEMORY_LIMIT",
    ),
    "shared memory bomb": (
        "import mmap\nheld = mmap.mmap(-1, 1 << 30)\nfor at in range(0, 1 << 30, 4096):\n    held[at] = 1",
        {},
        "MEMORY_LIMIT",
    ),
    "fork bomb of one process": ("import os\nwhile True:\n    os.fork()", {}, "RUNTIME_ERROR"),
    "fork bomb": ("import os, signal\nwhile True:\n    os.fork() or signal.pause()", {"processes": 8}, "RUNTIME_ERROR"),
    "thread bomb": (
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        {},
        "RUNTIME_ERROR",
    ),
    "spin": ("while True:\n    pass", {}, "TIME_LIMIT"),
    "spin in children": (
        "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        while True:\n            pass\nos.wait()",
        {"processes": 8, "cpu_time_s": 0.5, "wall_time_s": 60.0},
        "TIME_LIMIT",
    ),
    "kill the fork server": (
        "import os\nfor pid in [-1, *range(2, 300), os.getppid() or -1]:\n"
        "    try:\n        os.kill(pid, 9)\n    except ProcessLookupError:\n        continue\n    print('killed', pid)",
        {},
        "PASSED",
    ),
    "read the fork server": (
        "import os\nprint(sorted(name for name in os.listdir('/proc') if name.isdigit()))\n"
        "print(os.path.exists(f'/proc/{os.getppid()}'), os.path.exists('/proc/2'))",
        {},
        "PASSED",
    ),
    "network": (
        "import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 2)\nexcept OSError as error:\n"
        "    print('refused')",
        {},
        "PASSED",
    ),
    "scratch files": (
        "try:\n    for n in range(64):\n        open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))\n"
        "except OSError as error:\n    print(error.errno)",
        {},
        "PASSED",
    ),
    "sixty threads": (
        "import threading, time\nall = [threading.Thread(target=time.sleep, args=(0.2,)) for _ in range(60)]\n"
        "for t in all: t.start()\nfor t in all: t.join()\nprint(len(all))",
        {"memory_bytes": 64 * MIB},
        "PASSED",
    ),
    "a thread with a large stack": (
        "import threading\nthreading.stack_size(256 << 20)\nt = threading.Thread(target=print, args=('deep',))\n"
        "t.start()\nt.join()",
        {},
        "PASSED",
    ),
    "shares what its parent has": (
        "import os, time\nheld = bytearray(b'x') * (150 << 20)\nfor _ in range(4):\n"
        "    if os.fork() == 0:\n        time.sleep(0.3)\n        os._exit(0)\n"
        "for _ in range(4):\n    os.wait()\nprint('ok')",
        {"processes": 8},
        "PASSED",
    ),
    "honest at the end": ("print('still here')", {}, "PASSED"),
}
OUTPUT = {
    "honest": "45\n",
    "kill the fork server": "",
    "read the fork server": "['1']\nFalse False\n",
    "network": "refused\n",
    "scratch files": "28\n",
    "sixty threads": "60\n",
    "a thread with a large stack": "deep\n",
    "shares what its parent has": "ok\n",
    "honest at the end": "still here\n",
}


def as_user(*command: str, status: int = 0, given: str = "") -> "subprocess.CompletedProcess[str]":
    """Runs a command as an ordinary user; what stands before `--` are the harness's options."""
    done = subprocess.run([*HARNESS, *command], input=given, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == status, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


def run_all(programs: list[tuple[str, dict[str, Any]]], *options: str) -> tuple[list[str], list[list[Any]]]:
    """The protections of an ordinary user's jail, and what became of programs in it: verdict, message, output."""
    given = "".join(json.dumps(program) + "\n" for program in programs)
    arguments = ["--with-cgroup"] if "--delegate" in options else []
    done = as_user(*options, sys.executable, "-c", WORKER, *arguments, given=given)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[0], lines[1:]


@pytest.fixture(scope="module")
def rootless_outcomes() -> dict[str, list[Any]]:
    """Every program in one jail of an ordinary user, in order."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        programs = [(source.replace("{port}", port), limits) for source, limits, _ in PROGRAMS.values()]
        protections, outcomes = run_all(programs)
    assert protections[-1] == "rlimits-only" and "user-namespace" in protections
    return dict(zip(PROGRAMS, outcomes, strict=True))


@pytest.mark.parametrize("name", PROGRAMS)
def test_verdicts_without_a_control_group(rootless_outcomes: dict[str, list[Any]], name: str) -> None:
    verdict, message, stdout = rootless_outcomes[name]
    assert verdict == PROGRAMS[name][2], message
    assert stdout == OUTPUT.get(name, stdout)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_verdicts_as_root(run: Run, name: str) -> None:
    source, limits, expected = PROGRAMS[name]
    ran = run(source.replace("{port}", "9"), **{"wall_time_s": 20.0, **limits})
    assert (ran.fault.verdict.name if ran.fault else "PASSED") == expected, ran


def test_children_are_limited_together() -> None:
    children = (
        "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        held = bytearray(b'x') * (90 << 20)\n"
        "        time.sleep(20)\n        os._exit(0)\nos.wait()"
    )
    unwaited = (  # their parent never waits, so the kernel adds their time to nobody's
        "import os, signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\nfor _ in range(40):\n"
        "    if os.fork() == 0:\n        import time\n        while time.process_time() < 0.1:\n            pass\n"
        "        os._exit(0)\n    try:\n        os.wait()\n    except ChildProcessError:\n        pass"
    )
    _, (memory, cpu, after) = run_all(
        [
            (children, {"processes": 8}),
            (unwaited, {"processes": 8, "cpu_time_s": 1.0, "wall_time_s": 120.0}),
            ("print(1)", {}),
        ]
    )
    assert memory[0] == "MEMORY_LIMIT", memory
    assert (cpu[0], "CPU" in cpu[1]) == ("TIME_LIMIT", True), cpu
    assert after[0] == "PASSED"


def test_a_delegated_control_group_is_used() -> None:
    bomb = PROGRAMS["memory bomb"][0]
    protections, outcomes = run_all([(bomb, {}), ("print(1)", {})], "--delegate")
    assert protections[-1].startswith("cgroup-v")
    assert [outcome[0] for outcome in outcomes] == ["MEMORY_LIMIT", "PASSED"]
    assert not list(Path("/sys/fs/cgroup").glob("**/tests-*"))


def test_a_closed_folder_for_temporary_files_is_not_used() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as closed:  # mode 0700
        os.chown(closed, ordinary_user.UID, ordinary_user.UID)
        worker = f"import tempfile\ntempfile.tempdir = {closed!r}\n" + WORKER
        done = as_user(sys.executable, "-c", worker, given=json.dumps(("print(1)", {})) + "\n")
    assert json.loads(done.stdout.splitlines()[-1])[0] == "PASSED"


def test_mounts_below_what_is_bound_come_along() -> None:
    below = Path(sys.base_prefix).resolve() / "share"
    _, (outcome,) = run_all([("import json\nprint(json.dumps(1))", {})], "--submount", str(below))
    assert outcome[0] == "PASSED"


# --- the engine -----------------------------------------------------------------------------------

ENGINE = """
import gradebox
programs = ["def f(x): return x + 1", "def f(x): return x", "import os; os._exit(0)",
            "class Yes:\\n    __eq__ = lambda self, other: True\\ndef f(x): return Yes()"]
tests = ["assert f(1) == 2", "for n in range(3):\\n    assert f(n) == n + 1"]
with gradebox.Engine(workers=2) as engine:
    print(engine.info().protections[-1])
    for result in engine.grade(programs, tests=tests):
        print(result.verdict.name)
"""


@pytest.mark.parametrize(("options", "protection"), [((), "rlimits-only"), (("--delegate",), "cgroup-v")])
def test_an_embedded_engine_of_an_ordinary_user(options: tuple[str, ...], protection: str) -> None:
    said = as_user(*options, sys.executable, "-c", ENGINE).stdout.splitlines()
    assert said[0].startswith(protection)
    assert said[1:] == ["PASSED", "WRONG_ANSWER", "RUNTIME_ERROR", "WRONG_ANSWER"]


SERVE = (sys.executable, "-m", "gradebox_engine", "serve", "--listen", "127.0.0.1:0")


@pytest.mark.parametrize(
    ("options", "flags", "says"),
    [
        ((), ("--require-tier", "full"), "tier full is required"),
        (("--without", "newuidmap"), (), "apt-get install uidmap"),
        (("--subuid", ""), (), "usermod --add-subuids "),
        (("--subgid", ""), ("--require-tier", "rootless"), "usermod --add-subuids "),
        (("--subuid", ordinary_user.RANGE + "other:1200000:10\n"), (), "somebody else's"),
    ],
)
def test_below_what_is_needed_it_refuses_to_start(options: tuple[str, ...], flags: tuple[str, ...], says: str) -> None:
    done = as_user(*options, *SERVE, *flags, status=1)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("gradebox: ")


def test_root_does_without_a_control_group_only_when_told_to() -> None:
    hidden = 'umount -l /sys/fs/cgroup && exec "$@"'
    without = ("unshare", "--mount", "sh", "-c", hidden, "sh")
    refused = subprocess.run([*without, *SERVE], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "--require-tier rootless" in refused.stderr and len(refused.stderr.splitlines()) == 1
    engine = ENGINE.replace("workers=2", "workers=1")
    told = subprocess.run(
        [*without, sys.executable, "-c", engine],
        env={**os.environ, "GRADEBOX_REQUIRE_TIER": "rootless"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert told.stdout.splitlines() == ["rlimits-only", "PASSED", "WRONG_ANSWER", "RUNTIME_ERROR", "WRONG_ANSWER"]


def _family(process: psutil.Process) -> dict[psutil.Process, dict[str, Any]]:
    """A process and all below it. Programs come and go meanwhile, the engine's own canary among them."""
    seen = {}
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            seen[each] = each.as_dict(["name", "ppid", "uids"])
    return seen


def test_jailed_processes_are_nobodys_and_end_with_the_engine() -> None:
    with subprocess.Popen([*HARNESS, *SERVE, "--workers", "2"], stderr=subprocess.PIPE, text=True) as harness:
        assert harness.stderr is not None
        lines = []
        for line in harness.stderr:
            lines.append(line)
            if '"serving"' in line:
                break
        (front,) = psutil.Process(harness.pid).children()
        try:
            assert sum("warning" in line for line in lines) == 1 and "tier rootless" in lines[0], lines
            deadline = time.monotonic() + 30
            while True:
                family = _family(front)
                jails = {process.pid for process, seen in family.items() if seen["name"] == "nsjail"}
                servers = [
                    seen["uids"].real
                    for seen in family.values()
                    if seen["ppid"] in jails and seen["uids"].real in RANGE
                ]
                if len(servers) == 2 or time.monotonic() > deadline:
                    break
                time.sleep(0.1)
            assert len(set(servers)) == 2, family  # the two fork servers: ids of their own
            assert {seen["uids"].real for seen in family.values()} - set(RANGE) == {ordinary_user.UID}
            assert "CapEff:\t0000000000000000" in Path(f"/proc/{front.pid}/status").read_text()
        finally:
            front.kill()
        assert wait_until(lambda: all(map(has_ended, family))), family
        assert harness.wait(30) != 0
    assert not [p for p in psutil.process_iter(["uids"]) if p.info["uids"].real in RANGE and not has_ended(p)]
