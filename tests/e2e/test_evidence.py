"""Flags beside the verdict: what a program tried, told by the kernel and the engine; and none for honest programs."""

import pytest

import gradebox
from gradebox import Evidence

RIGHT = "    return x + 1\n"
SIGNS: dict[str, tuple[str, Evidence, str]] = {
    "ends its process": ("import os\ndef f(x):\n    os._exit(0)\n", Evidence.EARLY_EXIT, "RUNTIME_ERROR"),
    "ends its process while loading": ("import os\nos._exit(0)\n", Evidence.EARLY_EXIT, "RUNTIME_ERROR"),
    "raises SystemExit": ("import sys\ndef f(x):\n    sys.exit(0)\n", Evidence.EARLY_EXIT, "RUNTIME_ERROR"),
    "raises SystemExit while loading": ("raise SystemExit\n", Evidence.EARLY_EXIT, "RUNTIME_ERROR"),
    "asks for a socket": (
        "import socket\ndef f(x):\n    try:\n        socket.socket()\n    except OSError:\n        pass\n" + RIGHT,
        Evidence.DENIED_SYSTEM_CALL,
        "PASSED",
    ),
    "starts a process": (
        "import os\ndef f(x):\n    try:\n        os.fork()\n    except OSError:\n        pass\n" + RIGHT,
        Evidence.DENIED_SYSTEM_CALL,
        "PASSED",
    ),
    "traces": (
        "import ctypes\ndef f(x):\n    ctypes.CDLL(None).ptrace(0, 0, 0, 0)\n" + RIGHT,
        Evidence.DENIED_SYSTEM_CALL,
        "RUNTIME_ERROR",
    ),
    "writes rubbish on the channel": (
        "import os\ndef f(x):\n    os.write(3, b'passed ' * 10)\n" + RIGHT,
        Evidence.CHANNEL_WRITE,
        "RUNTIME_ERROR",
    ),
    "forges an answer on the channel": (
        "import os\nos.write(3, bytes([9, 0, 0, 0]) + b't' + (1).to_bytes(4, 'little') + b'N' * 4)\n"
        "def f(x):\n" + RIGHT,
        Evidence.CHANNEL_WRITE,
        "RUNTIME_ERROR",
    ),
    "reads a decoy": (
        "def f(x):\n    open('/tests/test_solution.py').read()\n" + RIGHT,
        Evidence.TEST_FILE_READ,
        "PASSED",
    ),
    "looks for tests everywhere": (
        "import os\nfor folder, _, names in os.walk('/'):\n    for name in names:\n"
        "        if name.startswith('test_c'):\n            open(os.path.join(folder, name), 'rb').read()\n"
        "def f(x):\n" + RIGHT,
        Evidence.TEST_FILE_READ,
        "PASSED",
    ),
    "catches everything": (
        "def f(x):\n    try:\n        return x + 1\n    except:\n        return 2\n",
        Evidence.SWALLOWED_EXCEPTION,
        "PASSED",
    ),
    "catches what fails a test": (
        "def f(x):\n    try:\n        return x + 1\n    except (ValueError, AssertionError):\n        return 2\n",
        Evidence.SWALLOWED_EXCEPTION,
        "PASSED",
    ),
    "patches a builtin": (
        "import builtins\nbuiltins.AssertionError = Exception\ndef f(x):\n" + RIGHT,
        Evidence.PATCHED_BUILTINS,
        "PASSED",
    ),
}

HONEST = [
    "def f(x):\n" + RIGHT,
    "import threading\ndef f(x):\n    t = threading.Thread(target=print)\n    t.start()\n    t.join()\n" + RIGHT,
    "import asyncio\nasync def g(x):\n    await asyncio.sleep(0)\n    return x + 1\n"
    "def f(x):\n    return asyncio.run(g(x))\n",
    "def f(x):\n    try:\n        return int(str(x)) + 1\n    except (ValueError, TypeError):\n        return 0\n",
    "def f(x):\n    try:\n        return x + 1\n    except BaseException:\n        print('oh')\n        raise\n",
    "import random, tempfile, decimal, subprocess, socket, ctypes, sqlite3, multiprocessing, logging\n"
    "def f(x):\n    with tempfile.TemporaryFile() as t:\n        t.write(b'x')\n" + RIGHT,
    "import sqlite3\ndef f(x):\n    c = sqlite3.connect('/tmp/d')\n    c.execute('create table if not exists t (a)')\n"
    "    c.commit()\n" + RIGHT,
    "import os, glob\ndef f(x):\n    glob.glob('/*')\n    os.listdir('.')\n    os.path.exists('/tests')\n" + RIGHT,
    "def f(x):\n    raise ValueError(x)\n",
    "def f(x):\n    assert x > 5\n",
    "def f(x):\n    while True:\n        pass\n",
    "def f(x\n",
]

FAST, ORACLE = ["assert f(1) == 2"], ["r = [f(i) for i in (1,)]\nassert r == [2]"]


@pytest.mark.parametrize("tests", [FAST, ORACLE], ids=["fast", "oracle"])
def test_what_programs_tried_is_told(engine: gradebox.Engine, tests: list[str]) -> None:
    results = engine.grade([source for source, _, _ in SIGNS.values()], tests=tests)
    told = {name: (r.evidence, r.verdict.name) for name, r in zip(SIGNS, results, strict=True)}
    assert told == {name: ((sign,), verdict) for name, (_, sign, verdict) in SIGNS.items()}


@pytest.mark.parametrize("tests", [FAST, ORACLE], ids=["fast", "oracle"])
def test_honest_programs_have_no_flags(engine: gradebox.Engine, tests: list[str]) -> None:
    results = engine.grade(HONEST, tests=tests, limits={"cpu_time_s": 1})
    assert {source: r.evidence for source, r in zip(HONEST, results, strict=True) if r.evidence} == {}
    assert sum(r.verdict is gradebox.Verdict.PASSED for r in results) == 8


def test_a_sign_stays_with_its_program(engine: gradebox.Engine) -> None:
    loud, quiet = SIGNS["reads a decoy"][0], HONEST[0]
    results = engine.grade([loud, quiet] * 8, tests=FAST)
    assert [r.evidence for r in results] == [(Evidence.TEST_FILE_READ,), ()] * 8


def test_whole_programs(engine: gradebox.Engine) -> None:
    programs = {
        "print(2)": (),
        "try:\n    while True: input()\nexcept:\n    print(2)": (),  # the end of the input, as these programs find it
        "import sys\nprint(2)\nsys.exit(0)": (),
        "import socket\ntry: socket.socket()\nexcept OSError: print(2)": (Evidence.DENIED_SYSTEM_CALL,),
        "import os\nos.write(3, b'x' * 99)\nprint(2)": (Evidence.CHANNEL_WRITE,),
    }
    results = engine.grade(list(programs), tests=[{"stdin": "", "expected_stdout": "2\n"}])
    assert {source: r.evidence for source, r in zip(programs, results, strict=True)} == programs
    assert all(r.verdict is gradebox.Verdict.PASSED for r in results)


def test_children_of_a_program_are_its_own(engine: gradebox.Engine) -> None:
    program = (
        "import os, socket\npid = os.fork()\nif pid == 0:\n    try: socket.socket()\n    except OSError: os._exit(0)\n"
        "os.wait()\nprint(2)"
    )
    (result,) = engine.grade([program], tests=[{"stdin": "", "expected_stdout": "2\n"}], limits={"processes": 3})
    assert result.verdict is gradebox.Verdict.PASSED and result.evidence == (Evidence.DENIED_SYSTEM_CALL,)


def test_what_a_test_does_is_not_the_programs(engine: gradebox.Engine) -> None:
    test = "import socket\ntry:\n    socket.socket()\nexcept OSError:\n    pass\nassert f(1) == 2"
    (result,) = engine.grade([HONEST[0]], tests=[test])
    assert result.verdict is gradebox.Verdict.PASSED and result.evidence == ()


def test_refused_calls_cost_the_program_its_time(engine: gradebox.Engine) -> None:
    program = "import socket\nwhile True:\n    try: socket.socket()\n    except OSError: pass\n"
    (result,) = engine.grade([program], tests=[{"stdin": "", "expected_stdout": ""}], limits={"cpu_time_s": 0.5})
    assert result.verdict is gradebox.Verdict.TIME_LIMIT and "CPU" in result.tests[0].message
