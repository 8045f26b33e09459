"""The program's process: loading, the fast path, whole programs, tests beside the program."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gradebox_inside import calls, codec, frames, orders, program

if TYPE_CHECKING:
    from tests.unit.inside.conftest import Bench


def call(name: str, *arguments: Any, **named: Any) -> tuple[Any, ...]:
    return ("call", ("name", name), [("const", a) for a in arguments], {k: ("const", v) for k, v in named.items()})


def answers(bench: Bench, source: str, trees: list[Any], flags: list[Any] | None = None) -> list[Any]:
    """The outcomes of call trees."""
    process = bench.program(source)
    process.send("calls", 5, trees, flags or [{}] * len(trees))
    received = [process.receive() for _ in trees]
    assert [r[:2] for r in received] == [("answer", 5 + i) for i in range(len(trees))]
    return [r[4] for r in received]


def loading(source: bytes) -> Any:
    from tests.unit.inside.conftest import Process

    process = Process(program.serve)
    answer = process.ask("load", source, {"name": "program"})
    process.close()
    return answer


def test_calls(bench: Bench) -> None:
    source = "K = 3\ndef f(a, b=2, *c, d=1): return a + b + d\ndef boom(): raise ValueError('no')\n"
    nested: Any = ("call", ("name", "f"), [call("f", 1)], {})
    trees = [
        call("f", 1),
        call("f", 1, d=5),
        nested,
        call("boom"),
        call("nope"),
        ("name", "K"),
        call("f"),
        call("f", 7),
    ]
    found = answers(bench, source, trees)
    assert found[:3] == [("value", 4), ("value", 8), ("value", 7)]
    assert found[3][0] == "raised"
    assert found[3][1] == {
        "type": "ValueError",
        "mro": ["ValueError", "Exception", "BaseException"],
        "message": "no",
        "line": 3,
        "exit_code": None,
    }
    assert found[4][1]["type"] == "NameError"
    assert found[5] == ("value", 3)
    assert found[6][1]["type"] == "TypeError"
    assert found[7] == ("value", 10)


def test_entry_points(bench: Bench) -> None:
    tree: Any = ("call", ("entry", "solve"), [("const", 4)], {})
    for source in (
        "def solve(x): return x * 2",
        "class Solution:\n    def solve(self, x): return x * 2",
        "class Other: pass\nclass Mine:\n    def solve(self, x): return x * 2",
    ):
        assert answers(bench, source, [tree]) == [("value", 8)]


def test_constants_are_not_shared_between_tests(bench: Bench) -> None:
    assert answers(bench, "def f(x): x.append(1); return x", [call("f", []), call("f", [])]) == [("value", [1])] * 2


def test_what_is_consumed(bench: Bench) -> None:
    source = "def gen(n):\n    for i in range(n): yield i\ndef endless():\n    while True: yield 1\ndef text(): return 'ab'\n"
    trees = [call("gen", 3), call("gen", 3), call("endless"), call("text")]
    flags = [{"consume": True}, {}, {"consume": True}, {"consume": True}]
    found = answers(bench, source, trees, flags)
    assert found[0] == ("value", [0, 1, 2])
    assert found[1][1].type_name == "generator"
    assert found[2] == ("over_budget",)
    assert found[3] == ("value", "ab")


def test_an_answer_is_split_without_decoding() -> None:
    payload = calls.answer_head(3, 100, 200) + codec.encode([1, 2])
    assert codec.decode(payload) == ("answer", 3, 100, 200, ("value", [1, 2]))
    split = calls.split_answer(payload)
    assert split is not None
    assert split[0] == 3
    assert split[3] == codec.encode([1, 2])
    assert calls.split_answer(codec.encode(("answer", 3, 1, 2, ("over_budget",)))) is None
    assert calls.split_answer(b"\xff" * 200) is None


@pytest.mark.parametrize(
    ("source", "kind", "error"),
    [
        (b"def f(:", "compile", "SyntaxError"),
        (b"x = 1\0", "compile", "SyntaxError"),
        ("x = '\ud800'".encode("utf-8", "surrogatepass"), "compile", "UnicodeEncodeError"),
        (b"\xff\xfe", "compile", "UnicodeDecodeError"),
        (b"(" * 5000, "compile", "SyntaxError"),
        (b"1 / 0", "raised", "ZeroDivisionError"),
        (b"import sys\nsys.exit(3)", "raised", "SystemExit"),
        (b"input()", "raised", "EOFError"),
        (b"class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "raised", "E"),
        (b"raise KeyboardInterrupt", "raised", "KeyboardInterrupt"),
    ],
)
def test_programs_that_do_not_load(source: bytes, kind: str, error: str) -> None:
    answer = loading(source)
    assert answer[:2] == ("failed", kind)
    assert answer[2]["type"] == error


def test_what_an_honest_program_may_do_at_load_and_still_be_graded(bench: Bench) -> None:
    source = """
from __future__ import annotations
import sys, gc, threading, atexit, linecache, inspect, pickle, typing, builtins, time, socket, struct
from dataclasses import dataclass
@dataclass
class D:
    x: int = 1
FOUND = pickle.loads(pickle.dumps(D())).x, typing.get_type_hints(D), __name__
sys.setrecursionlimit(10**6)
gc.disable()
print("x" * 10000)
threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
atexit.register(lambda: None)
builtins.len = builtins.isinstance = builtins.type = builtins.range = lambda *a: 1 / 0
builtins.open = builtins.print = builtins.iter = None
sys.modules["struct"] = sys.modules["socket"] = sys.modules["time"] = None
time.process_time_ns = time.monotonic_ns = struct.pack = None
socket.socket.sendall = socket.socket.recv = None
if __name__ == "__main__": raise SystemExit("must not run")
SOURCE = None
def f(n): return 0 if n == 0 else 1 + f(n - 1)
def g(): return (*FOUND, sys.modules[__name__].f is f)
"""
    found = answers(bench, source, [call("f", 5000), call("g")])
    assert found == [("value", 5000), ("value", (1, {"x": int}, "program", True))]
    assert answers(bench, "import inspect\ndef h():\n    return inspect.getsource(h)\n", [call("h")]) == [
        ("value", "def h():\n    return inspect.getsource(h)\n")
    ]


def test_the_recursion_limit_is_the_programs_own(bench: Bench) -> None:
    found = answers(bench, "def f(n): return 0 if n == 0 else 1 + f(n - 1)", [call("f", 990), call("f", 1100)])
    assert found[0] == ("value", 990)
    assert found[1][1]["type"] == "RecursionError"


def test_results_that_are_no_plain_data(bench: Bench) -> None:
    source = """
class Liar(list):
    def __eq__(self, other): return True
class Thing: pass
def liar(): return Liar([1])
def thing(): return [Thing()]
def bomb():
    x = [1, "a"]
    for _ in range(60): x = [x, x]
    return x
def cycle():
    x = []
    x.append(x)
    return x
def huge(): return "x" * (64 << 20)
"""
    found = answers(bench, source, [call(n) for n in ("liar", "thing", "bomb", "cycle", "huge")])
    assert type(found[0][1]) is codec.Opaque
    assert found[0][1].base == [1]
    assert found[1][1][0].type_name == "Thing"
    assert found[2:] == [("over_budget",)] * 3


def test_a_program_that_closes_its_descriptors_ends_its_process() -> None:
    from tests.unit.inside.conftest import Process

    process = Process(program.serve)
    assert process.ask("load", b"import os\nos.closerange(0, 1024)\ndef f(): return 1", {"name": "program"}) is None
    process.channel.close()
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) != 0


def run(source: str, stdin: bytes = b"", *argv: str) -> tuple[Any, bytes, bytes]:
    """(the message or None, stdout, stderr) of a whole program."""
    from tests.unit.inside.conftest import fork

    ours, theirs = socket.socketpair()
    pipes = [os.pipe() for _ in range(3)]

    def child() -> None:
        ours.close()
        for number, (reading, writing) in enumerate(pipes):
            os.dup2(writing if number else reading, number)
        for pair in pipes:
            for end in pair:
                os.close(end)
        program.serve(theirs, None)

    pid = fork(child)
    theirs.close()
    for number, (reading, writing) in enumerate(pipes):
        os.close(writing if number else reading)
    os.write(pipes[0][1], stdin)
    os.close(pipes[0][1])
    frames.send_frame(ours, orders.pack(("stdio", source.encode(), [*argv])))
    payload = frames.recv_frame(ours, 1 << 20)
    ours.close()
    outputs = []
    for reading, _ in pipes[1:]:
        with os.fdopen(reading, "rb") as pipe:
            outputs.append(pipe.read())
    os.waitpid(pid, 0)
    return (None if payload is None else codec.decode(payload)), outputs[0], outputs[1]


@pytest.mark.parametrize(
    ("source", "stdin", "code", "stdout"),
    [
        ("print(int(input()) + int(input()))", b"1\n2\n", 0, b"3\n"),
        ("import sys\nfor line in sys.stdin: print(line.strip()[::-1])", "äb\nc".encode(), 0, "bä\nc\n".encode()),
        ("import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())", b"\xff\x00", 0, b"\xff\x00"),
        ("import os\nos.write(1, os.read(0, 10))", b"abc", 0, b"abc"),
        ("print(open(0).read(), end='')", b"x\r\ny", 0, b"x\ny"),
        ("import sys\nprint(repr(sys.stdin.read()), __name__, sys.argv[1:])", b"\xff\r\n", 0, b"'\\udcff\\r\\n' __main__ ['a']\n"),
        ("print(1)\nimport sys\nsys.exit(3)", b"", 3, b"1\n"),
        ("print(1)\nexit('bye')", b"", 1, b"1\n"),
        ("print(1)\n1/0", b"", 1, b"1\n"),
        ("def f(:", b"", 1, b""),
        ("import atexit, sys\natexit.register(print, 'end')\nsys.exit()", b"", 0, b"end\n"),
        ("import threading, time\nthreading.Thread(target=lambda: (time.sleep(.1), print('t'))).start()\nprint('m')", b"", 0, b"m\nt\n"),
        ("class Z:\n    def __del__(self): print('del')\nz = Z()\nprint('end')", b"", 0, b"end\ndel\n"),
        ("import __main__, pickle\nclass C: pass\nprint(type(pickle.loads(pickle.dumps(C()))) is __main__.C)", b"", 0, b"True\n"),
        ("\ufeffprint('bom')", b"", 0, b"bom\n"),
        ("if __name__ == '__main__': print('main')", b"", 0, b"main\n"),
    ],
)  # fmt: skip
def test_whole_programs(source: str, stdin: bytes, code: int, stdout: bytes) -> None:
    message, out, _ = run(source, stdin, "a")
    assert message == (("ended", code, message[2]) if code else None)
    assert out == stdout


def test_an_unhandled_exception_is_on_stderr() -> None:
    message, _, err = run("import sys\ndef f(): return {}['k']\nf()")
    assert message[2]["type"] == "KeyError"
    assert b"Traceback" in err
    assert err.endswith(b"KeyError: 'k'\n")
    assert run("x = (")[0][2]["kind"] == "compile"
    assert run("import os\nos._exit(0)")[0] is None


PATCHES = """
import io, sys, unittest
from unittest.mock import patch, mock_open
class TestCases(unittest.TestCase):
    @patch("builtins.print")
    def test_print(self, fake):
        shout("a")
        fake.assert_called_once_with("A")
    @patch("sys.stdout", new_callable=io.StringIO)
    def test_output(self, out):
        shout("b")
        self.assertEqual(out.getvalue(), "B\\n")
    @patch("random.choice", return_value=7)
    def test_choice(self, fake):
        self.assertEqual(pick(), 7)
    @patch("__main__.helper", lambda: "patched")
    def test_own(self):
        self.assertEqual(use(), "patched")
    @patch("builtins.open", mock_open(read_data="text"))
    def test_open(self):
        self.assertEqual(read(), "text")
    @unittest.skip("not here")
    def test_skipped(self): self.fail()
    @unittest.expectedFailure
    def test_expected(self): self.fail()
"""
PATCHED = (
    "import random\ndef shout(x): print(x.upper())\ndef pick(): return random.choice([1])\n"
    "def helper(): return 1\ndef use(): return helper()\ndef read(): return open('nothing').read()\n"
)


def test_tests_beside_the_program(bench: Bench) -> None:
    assert bench.beside(PATCHED, [PATCHES])[0]["outcome"] == "passed"
    broken = bench.beside(PATCHED.replace("upper", "lower"), [PATCHES])[0]
    assert (broken["outcome"], broken["ran"]) == ("failed", 6)
    code = [
        "import program\nprogram.helper = lambda: 5\nassert use() == 5",
        "helper = lambda: 6\nassert use() == 6",
        "use(1)",
    ]
    assert [r["outcome"] for r in bench.beside(PATCHED, code, kind="code")] == ["passed", "passed", "raised"]


@pytest.mark.parametrize(
    ("module", "outcome"),
    [
        ("x = 1", "failed"),
        ("def test_a(): assert f(1) == 1\nclass TestB:\n    def setup_method(self): self.x = 2\n    def test_b(self): assert f(self.x) == 2", "passed"),
        ("def test_a(): assert f(1) == 2", "failed"),
        ("def test_a(): f()", "raised"),
        ("async def test_a(): assert f(1) == 1", "passed"),
        ("import unittest\nclass T(unittest.TestCase):\n    @unittest.skip('all')\n    def test(self): pass", "failed"),
        ("import unittest\nclass T(unittest.TestCase):\n    @unittest.expectedFailure\n    def test(self): pass", "failed"),
        ("import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n    async def test(self): self.assertEqual(f(3), 3)", "passed"),
        ("import unittest\nclass T(unittest.TestCase):\n    def setUp(self): raise ValueError\n    def test(self): pass", "raised"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        for i in range(3):\n            with self.subTest(i=i): self.assertLess(f(i), 2)", "failed"),
        ("import unittest\nclass Base(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), self.one)\nclass T(Base):\n    one = 1\ndel Base", "passed"),
        ("import unittest\nunittest.main()", "raised"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 1)\nif __name__ == '__main__': unittest.main()", "passed"),
    ],
)  # fmt: skip
def test_modules_of_tests(bench: Bench, module: str, outcome: str) -> None:
    source = "def f(x): return x"
    assert bench.beside(source, [module])[0]["outcome"] == outcome
    assert bench.oracle(source, [module], kind="unittest", entry_point="f")[0]["outcome"] == outcome
