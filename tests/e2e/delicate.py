"""Programs close to a limit, or on a clock: where a verdict that depends on the machine's load would show first.

Each burns CPU time by its own clock, so that what it uses is the same on any machine, loaded or not.
"""

from dataclasses import dataclass
from typing import Any

import gradebox

CPU_LIMIT_S = 0.6
# Short for a wall limit: under load, a program that is never asleep takes longer than this.
LIMITS = {"cpu_time_s": CPU_LIMIT_S, "wall_time_s": 1.5, "memory_bytes": 256 << 20}
MANY = LIMITS | {"processes": 4}
CALL = ["assert f() == 1"]

_BURN = """
import time
def burn(cpu_s):
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        sum(range(200))
    return 1
"""
_THREADS = """
import hashlib, threading, time
def spin(cpu_s, count=4):
    data = bytes(1 << 20)  # hashed without the interpreter's lock
    end = time.process_time() + cpu_s
    def work():
        while time.process_time() < end:
            hashlib.sha256(data).digest()
    threads = [threading.Thread(target=work) for _ in range(count)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return 1
"""
_CHILDREN = """
import os, time
def spin(cpu_s, children):
    for _ in range(children):
        if os.fork() == 0:
            end = time.process_time() + cpu_s
            while time.process_time() < end:
                pass
            os._exit(0)
    for _ in range(children):
        os.wait()
    return 1
"""


@dataclass(frozen=True)
class Delicate:
    """A program, and what each of its test cases comes to, one letter a test as in truth.codes."""

    name: str
    program: str
    codes: str
    tests: Any = tuple(CALL)
    limits: Any = None
    test_setup: str = ""

    @property
    def problem(self) -> gradebox.Problem:
        """As it is graded."""
        return gradebox.Problem(self.tests, id=self.name, limits=self.limits or LIMITS, test_setup=self.test_setup)


def _burn(cpu_s: float) -> str:
    return f"{_BURN}\ndef f(): return burn({cpu_s})\n"


def _stdio(body: str) -> tuple[str, list[dict[str, str]]]:
    return body + "\nprint(1)\n", [{"stdin": "", "expected_stdout": "1\n"}]


DELICATE = (
    Delicate("60 % of the CPU limit", _burn(0.36), "P"),
    Delicate("80 % of the CPU limit", _burn(0.48), "P"),
    Delicate("80 % of the CPU limit, again and again", _burn(0.48), "PPP", CALL * 3),
    Delicate("5 % over the CPU limit, then an answer", _burn(0.63), "T"),
    Delicate("twice the CPU limit, then an answer", _burn(1.2), "T"),
    Delicate("80 % of the CPU limit while loading", f"{_BURN}\nf = lambda: 1\nburn(0.48)\n", "P"),
    Delicate("over the CPU limit while loading", f"{_BURN}\nf = lambda: 1\nburn(0.66)\n", "T"),
    Delicate(
        "reads its arguments late",
        "import time\ntime.sleep(2.5)\ndef f(x): return len(x) // 2_000_000\n",
        "P",
        [f"assert f({'x' * 2_000_000!r}) == 1"],
        LIMITS | {"wall_time_s": 8.0},
    ),
    Delicate("over it only with both", f"{_BURN}\ndef f(): return burn(0.4)\nburn(0.4)\n", "P"),
    Delicate("threads, 70 %", f"{_THREADS}\ndef f(): return spin(0.42)\n", "P"),
    Delicate("one thread, 80 %, and one that waits", f"{_THREADS}\ndef f(): return spin(0.48, 1)\n", "P"),
    Delicate("threads, endless", f"{_THREADS}\ndef f(): return spin(60)\n", "T"),
    Delicate("children, 70 %", f"{_CHILDREN}\ndef f(): return spin(0.14, 3)\n", "P", limits=MANY),
    Delicate("one child, 80 %", f"{_CHILDREN}\ndef f(): return spin(0.46, 1)\n", "P", limits=MANY),
    Delicate("children, endless", f"{_CHILDREN}\ndef f(): return spin(60, 3)\n", "T", limits=MANY),
    Delicate("sleeps within the wall limit", "import time\ndef f(): time.sleep(0.8); return 1\n", "P"),
    Delicate("sleeps past the wall limit", "import time\ndef f(): time.sleep(60)\n", "T"),
    Delicate(
        "looks at the clock",
        "import time\ndef f():\n    start = time.perf_counter()\n    time.sleep(0.2)\n"
        "    return int(time.perf_counter() - start >= 0.2)\n",
        "P",
    ),
    Delicate(
        "works until a time of the clock",
        "import time\ndef f():\n    end = time.perf_counter() + 0.4\n"
        "    while time.perf_counter() < end: pass\n    return 1\n",
        "P",
    ),
    Delicate("a whole program, 80 %", *_stdio(f"{_BURN}\nburn(0.46)")[:1], "P", _stdio("")[1]),
    Delicate("a whole program, 5 % over", *_stdio(f"{_BURN}\nburn(0.63)")[:1], "T", _stdio("")[1]),
    Delicate("a whole program that sleeps", *_stdio("import time; time.sleep(0.8)")[:1], "P", _stdio("")[1]),
    Delicate("a whole program in threads", *_stdio(f"{_THREADS}\nspin(0.4)")[:1], "P", _stdio("")[1]),
    Delicate(
        "a test that works itself",
        "def f(x): return x + 1\n",
        "P",
        ["for n in range(3000):\n    assert f(n) == n + 1"],
    ),
    Delicate("a test that burns CPU itself", "def f(): return 1\n", "P", [_BURN + "burn(1.2)\nassert f() == 1"]),
    Delicate(
        "a test beside the program",
        f"{_BURN}\ndef g(): return 1\ndef f(): return burn(0.48) + g()\n",
        "P",
        [{"unittest": "from unittest import mock\nimport program\ndef test_f():\n"
                      "    with mock.patch('program.g', return_value=2):\n        assert program.f() == 3\n"}],
    ),
)  # fmt: skip
