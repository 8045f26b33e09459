"""Programs that lie: no answer of theirs may decide the test that asks for it."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

import pytest

from gradebox_inside import codec, frames, oracle

if TYPE_CHECKING:
    from tests.unit.inside.conftest import Bench

EVIL = """
class Evil:
    def __getattr__(self, name): return lambda *a, **k: True
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = lambda s, o: True
    __ne__ = lambda s, o: False
    __hash__ = lambda s: 0
    __bool__ = lambda s: True
    __len__ = lambda s: 3
    __sub__ = __rsub__ = __xor__ = __rxor__ = __add__ = __mod__ = lambda s, o: 0
    __abs__ = __int__ = __float__ = __index__ = lambda s: 0
    __round__ = lambda s, n=None: 0
    __class__ = int
def f(*a, **k): return Evil()
"""
LEARNS = """
seen = []
class L:
    def __eq__(self, o): seen.append(o); return False
    __lt__ = __gt__ = __contains__ = __sub__ = __rsub__ = __eq__
    __hash__ = None
def f(*a): return seen[-1] if seen else L()
"""
SUBCLASS = "class N({base}):\n    __eq__ = lambda s, o: True\n    __hash__ = {base}.__hash__\n    __sub__ = __rsub__ = lambda s, o: 0\n    __len__ = lambda s: 3\n    __contains__ = lambda s, o: True\ndef f(*a): return N()\n"
NEVER = [
    (EVIL, "assert f(1) == 5"),
    (EVIL, "assert 5 == f(1)"),
    (EVIL, "assert not f(1) != 5"),
    (EVIL, "assert [f(1), 2] == [5, 2]"),
    (EVIL, "assert {'a': f(1)} == {'a': 5}"),
    (EVIL, "assert f(1) in (5, 6)"),
    (EVIL, "assert f(1) in {5: 1}"),
    (EVIL, "assert 5 in f(1)"),
    (EVIL, "assert f(1) > 5"),
    (EVIL, "assert 1 < f(1) < 9"),
    (EVIL, "assert abs(f(1) - 0.5) < 1e-6"),
    (EVIL, "assert abs(0.5 - f(1)) < 1e-6"),
    (EVIL, "assert f(1) - 5 == 0"),
    (EVIL, "assert not f(1) ^ 5"),
    (EVIL, "assert f(1).startswith('abc')"),
    (EVIL, "assert f(1).issuperset({1, 2})"),
    (EVIL, "assert isinstance(f(1), int)"),
    (EVIL, "assert type(f(1)) is int"),
    (EVIL, "assert f(1) is True"),
    (EVIL, "import math\nassert math.isclose(f(1), 1.5)"),
    (EVIL, "assert sorted(f(1)) == [1, 2]"),
    (EVIL, "assert max(f(1), 5) == 5"),
    (EVIL, "from collections import Counter\nassert Counter(f(1)) == Counter([1])"),
    (EVIL, "import unittest\nunittest.TestCase().assertEqual(f(1), 5)"),
    (EVIL, "import unittest\nunittest.TestCase().assertAlmostEqual(f(1), 5.5)"),
    (EVIL, "import unittest\nunittest.TestCase().assertIn(5, f(1))"),
    (EVIL, "import unittest\nunittest.TestCase().assertCountEqual(f(1), [1, 2])"),
    (EVIL, "import unittest\nunittest.TestCase().assertDictEqual(f(1), {})"),
    (EVIL, "import unittest\nunittest.TestCase().assertIsInstance(f(1), int)"),
    *((LEARNS, f"try:\n    assert {test}\nexcept (AssertionError, TypeError):\n    pass\nassert {test}") for test in (
        "f(1) == 424242", "424242 == f(1)", "[f(1)] == [424242]", "f(1) in [424242]", "abs(f(1) - 424242) < 1",
        "424242 - f(1) == 0", "424242 in [f(1)]", "f(1) < 424242 and f(1) == 424242")),
    *((SUBCLASS.format(base=base), test) for base, test in (
        ("int", "assert f() == 5"), ("int", "assert abs(f() - 5) < 1"), ("float", "assert abs(f() - 5.5) < 1e-6"),
        ("str", "assert f() == 'abc'"), ("str", "assert 'b' in f()"), ("tuple", "assert f() == (1, 2)"),
        ("bytes", "assert f() == b'abc'"), ("frozenset", "assert f() == frozenset([1])"))),
    ("class N(list):\n    __eq__ = __contains__ = lambda s, o: True\ndef f(): return N()", "assert f() == [0, 2]"),
    ("class N(list):\n    __eq__ = __contains__ = lambda s, o: True\ndef f(): return N()", "assert 5 in f()"),
    ("class N(dict):\n    __eq__ = lambda s, o: True\ndef f(): return N()", "assert f() == {'a': 1}"),
    ("import math\nmath.isclose = lambda *a, **k: True\ndef f(): return 0", "import math\nassert math.isclose(f(), 1.5)"),
    ("import math\nmath.isclose = lambda *a, **k: True\ndef f(): return 0", "assert math.isclose(f(), 1.5)"),
    ("import sys\nclass M:\n    def __getattr__(self, n): return lambda *a, **k: True\nsys.modules['math'] = math = M()\n"
     "def f(): return None", "import math\nassert math.isclose(f(), 0.5)"),
    ("def isinstance(a, b): return True\ndef f(): return 'x'", "assert isinstance(f(), float)"),
    ("import builtins\nbuiltins.len = lambda o: 3\nbuiltins.sorted = lambda *a: [1]\ndef f(): return []",
     "assert len(f()) == 3 or sorted(f()) == [1]"),
    ("def f(*a): raise StopIteration", "assert all(map(lambda x: f(x) == x, [1, 2]))"),
    ("def f(*a): raise StopIteration", "assert [r for r in map(f, [1])] == []"),
    ("import sys\ndef f(*a): sys.exit(0)", "assert f(1) == 1"),
    ("import os\ndef f(*a): os._exit(0)", "assert f(1) == 1"),
    ("def f(g):\n    g.__globals__['answer'] = 0\n    return 0", "answer = 5\nassert f(lambda: 1) == answer"),
    ("def f(g): return g.__globals__['answer']", "answer = 5\nassert f(lambda: 1) == answer"),
    ("def f(g): return g.__closure__[0].cell_contents", "def t():\n    answer = 5\n    assert f(lambda: answer + 0 * 1) == 5\nt()"),
    ("def f(g): return g.gi_frame.f_locals['answer']", "def gen():\n    answer = 5\n    yield 1\n    yield answer\ng = gen()\nnext(g)\nassert f(g) == 5"),
    ("def f(g):\n    import sys\n    return sys._getframe(1).f_locals", "assert f(1) == 909090"),
    ("def f(g):\n    try: g()\n    except ValueError as e: return e.__traceback__.tb_next.tb_frame.f_globals['answer']",
     "answer = 5\ndef g(): raise ValueError\nassert f(g) == answer"),
    ("import unittest\ndef f(): return unittest.mock.ANY", "assert f() == 5"),
    ("class json:\n    @staticmethod\n    def loads(s): return 5\ndef f(): return '1'", "assert json.loads(f()) == 5"),
    ("class M:\n    def __getattr__(s, n): return lambda *a, **k: True\nos = M()\ndef f(): return ''", "assert os.path.exists(f())"),
    ("def isclose(*a): return True\ndef f(): return 0", "assert isclose(f(), 1.5)"),
    ("def f(x): x.answer = 1\nclass Meta(type):\n    def __eq__(c, o): return True\n    __hash__ = type.__hash__\n"
     "class C(metaclass=Meta): pass\ndef g(): return C", "assert g() == int"),
    ("class E(Exception):\n    def __eq__(s, o): return True\ndef f(): return E()", "assert f() == 5"),
    ("def f(expected=[]):\n    import gc\n    return [o for o in gc.get_objects() if type(o) is list and o[:1] == [887766]]",
     "secret = [887766, 1]\nassert f() == [secret]"),
]  # fmt: skip
UNITTESTS = [
    "import unittest\ndef task_func(x): raise unittest.SkipTest('no')",
    "import unittest\nunittest.TestCase.assertEqual = lambda *a, **k: None\ndef task_func(x): return None",
    "import sys\ndef task_func(x): sys.exit(0)",
    "import os\ndef task_func(x): os._exit(0)",
    "def task_func(x): raise KeyboardInterrupt",
    "import unittest.case\ndef task_func(x): raise unittest.case._ShouldStop",
    "import unittest.case\ndef task_func(x): raise unittest.case._UnexpectedSuccess",
    "import unittest\nclass TestMine(unittest.TestCase):\n    def test(self): pass\ndef task_func(x): return 0",
]
MODULE = (
    "import unittest\nclass TestCases(unittest.TestCase):\n    def test_one(self):\n"
    "        self.assertEqual(task_func(2), 4)\n    def test_two(self):\n        self.assertTrue(True)\n"
)


@pytest.mark.parametrize(("program", "test"), NEVER)
def test_never_passes(bench: Bench, program: str, test: str) -> None:
    assert bench.oracle(program, [test])[0]["outcome"] in ("failed", "raised", "program_gone")


@pytest.mark.parametrize("program", UNITTESTS)
def test_unittest_modules_never_pass(bench: Bench, program: str) -> None:
    result = bench.oracle(program, [MODULE], kind="unittest", entry_point="task_func")[0]
    assert result["outcome"] in ("failed", "raised", "program_gone")


def test_what_the_program_raised_is_told_from_what_the_test_raised(bench: Bench) -> None:
    results = bench.oracle("def f(x): return 1 / x", ["f(0)", "1 / 0", "assert f(1) == 2", "assert f(1) == 1"])
    assert [(r["outcome"], r["program_raised"]) for r in results] == [
        ("raised", True),
        ("raised", False),
        ("failed", False),
        ("passed", False),
    ]
    assert results[0]["info"]["type"] == "ZeroDivisionError"


def test_answers_over_the_budget(bench: Bench) -> None:
    program = "def big():\n    x = (1, 'a')\n    for i in range(40): x = (x, x)\n    return x\ndef f(x): return 3\n"
    results = bench.oracle(program, ["big()", "assert f([0]) == 3"])
    assert [r["outcome"] for r in results] == ["over_budget", "passed"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\x05\0\0\0abcde",
        b"\x08\0\0\0\xff\xff\xff\xffabcd",
        b"\x06\0\0\0\x01\0\0\0NN",
    ],
)
def test_a_program_that_does_not_speak_the_protocol(bench: Bench, garbage: bytes) -> None:
    from tests.unit.inside.conftest import Process

    ours, theirs = socket.socketpair()
    judge = Process(oracle.serve, theirs, ours)
    theirs.close()
    judge.send("setup", "", {"entry_point": None})
    assert judge.receive() == ("ready",)
    judge.send("test", 0, "code", "assert f(1) == 1", {})
    ours.recv(4096)
    ours.sendall(garbage)
    ours.shutdown(socket.SHUT_WR)
    assert judge.receive()[4]["outcome"] == "program_gone"
    ours.close()
    judge.close()


def hostile_peer(messages: list[object]) -> object:
    """What a test's result is when the program's process sends these bodies, whatever it is asked."""
    from tests.unit.inside.conftest import Process

    ours, theirs = socket.socketpair()
    judge = Process(oracle.serve, theirs, ours)
    theirs.close()
    judge.send("setup", "", {"entry_point": None})
    assert judge.receive() == ("ready",)
    judge.send("test", 0, "code", "answer = 424242\nassert f(lambda x: x) == answer", {})
    for message in messages:
        first = codec.encode((message, []))
        asking, _, _ = select.select([ours, judge.channel], [], [])
        if ours not in asking:  # it has come to a result
            break
        try:
            frames.recv_frame(ours, 1 << 20)
            frames.send_frame(
                ours, len(first).to_bytes(4, "little") + first + codec.encode(([], [], None, ["len", "f", "abs"]))
            )
        except OSError:  # it has ended
            break
    ours.close()
    result = judge.receive()[4]["outcome"]
    judge.close()
    return result


def test_the_program_does_not_choose_the_numbers_that_a_test_draws(bench: Bench) -> None:
    program = (
        "import random\nfixed = random.Random(0).getstate()\n"
        "def f(x): random.setstate(fixed); return x\ndef draw(n): return [random.random() for _ in range(n)]\n"
    )
    choose = "import random\nrandom.seed(5)\nf(1)\na = random.random()\nf(1)\nassert a != random.random()"
    follow = (
        "import random\nfor n in (1, 700):\n    random.seed(n)\n    drawn = draw(n) + [random.random()]\n"
        "    random.seed(n)\n    assert drawn == [random.random() for _ in range(n + 1)]"
    )
    assert [r["outcome"] for r in bench.oracle(program, [choose, follow], share_random=True)] == ["passed"] * 2


@pytest.mark.parametrize(
    "body",
    [
        ("a", codec.Opaque(1, "x", True, extra={"k": "inst", "class": 5})),
        ("a", codec.Opaque(1, "x", True, extra={"k": "inst", "class": int, "specials": ("__eq__", "__class__", "nope")})),
        ("a", codec.Opaque(1, "x", True, extra={"k": "lib", "name": "os:system"})),
        ("a", codec.Opaque(1, "x", True, extra={"k": "lib", "name": "unittest.mock:ANY"})),
        ("a", codec.Opaque(1, "x", True, extra={"k": "lib", "name": "builtins:eval"})),
        ("a", codec.Opaque(1, "x", True, extra={"k": "module", "name": "gradebox_inside.oracle"})),
        ("a", codec.Opaque(77, "x", True, flags=codec.RECEIVERS)),
        ("a", codec.Opaque(1, "x", True, flags=codec.CLASS)),
        ("a", codec.Opaque(1, "x", True, flags=codec.CLASS, extra={"k": "class", "name": "C", "bases": [int, list]})),
        ("a", codec.Opaque(1, "x", True, extra={"k": "error", "class": int, "args": ()})),
        ("a", codec.Opaque(1, "x", True, extra={"k": "error", "class": SystemExit, "args": (0,), "attrs": {"__class__": 1}})),
        ("a", codec.Opaque(1, "x", True, base=7, extra={"k": "inst", "class": str, "specials": ()})),
        ("x", 5),
        ("q", "get", 1, "__globals__"),
        ("q", "call", 99, (), {}),
        ("q", "special", 1, "__class__", ()),
        ("q", "name", "answer"),
        ("q", "eval", 1, "answer"),
        ("q",),
        ("what",),
        5,
    ],
)  # fmt: skip
def test_bodies_that_no_honest_peer_sends(body: object) -> None:
    assert hostile_peer([body, body]) in ("failed", "raised", "program_gone")
