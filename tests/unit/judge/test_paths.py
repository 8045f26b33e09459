"""Which way a test goes, and with which seal: by its text alone."""

from typing import Any

import pytest

from gradebox_engine.judge.plan import GeneralTest, InProcessTest, StdioPlanned, Unrunnable, WholeProgramTest, plan
from gradebox_engine.judge.suite import CallTest, CodeTest, Seal, StdioTest, Suite, UnittestTest

FAST = [
    "assert f(1, 2) == [3]",
    "assert f(1, b=2) == 3, 'message'",
    "assert abs(g(1.5) - 0.5) < 1e-6",
    "assert sorted(h(3)) == [1, 2]",
    "assert not f('x')",
    "assert f([1, 2], [[0] * 3, {'a': (1, 2)}]) is None",
    "assert [2, 3] == f(24)",
    "assert f(*[1, 2], **{'k': 3}) == 1",
    "assert f(g(h(1))) == 2",
    "assert f(-1, 10**3, float('inf'), range(5), 'ab' * 3, None) == ()",
    "assert f({1, 2, 3}, set(), set([1, 2]), frozenset([1])) == {1}",
    "assert Solution().twoSum([1, 2], 3) == [0, 1]",
    "assert f(1)[0][1:] == 'bc'",
    "assert f(1).upper() == 'A'",
    "assert 'a' in f(1) and True",
    "assert 0 <= f(1) < 10",
    "assert isinstance(f(1), (list, tuple))",
    "assert type(f(1)) is int",
    "assert all(x > 0 for x in f(1))",
    "assert [x * 2 for x in f(1) if x] == [2]",
    "assert set(map(tuple, f(1))) == {(1, 2)}",
    "assert sorted(f(1), key=lambda p: p[1], reverse=True) == []",
    "assert ''.join(f(1)) == 'abc'",
    "assert len(set(f(1))) == max([1, 2])",
    "import math\nassert math.isclose(f(1), math.pi, rel_tol=1e-9)",
    "from math import isclose\nassert isclose(f(1), 2)",
    "from collections import Counter\nassert Counter(f(1)) == Counter('aab')",
    "assert f(1) == 2, f'got {f(1)}'",
    "assert f(1) == 2, 'got ' + str(f(1))",
    "assert Stack(3).push(1).size() == 1",
    "assert undefined_name",
    "f(1)",
]
GENERAL = [
    "x = f(1)\nassert x == 2",
    "for i in range(3):\n    assert f(i) == i",
    "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)",
    "assert f(1) == 1 and f(2) == 2",
    "assert f(1) == 1 if True else f(2)",
    "assert 1 == f(1) == f(2)",
    "assert f(lambda x: x) == 1",
    "assert f(Node(1), [Node(2)]) == 1",
    "assert f([[0] * 2] * 2) == 1",
    "assert f(len(g(1))) == 1",
    "assert math.isclose(f(1), 2)",
    "assert f(1).sort() is None",
    "assert f'{f(1)}' == '1'",
    "import numpy as np\nassert np.allclose(f(1), [1])",
    "assert all(f(x) == x for x in [1, 2])",
    "try:\n    f(1)\n    assert False\nexcept ValueError:\n    pass",
    "assert f(1) == (yield)",
    "assert f(2 ** 10 ** 10) == 1",
    "assert 1 == 1",
    "not python at all",
    "",
]


@pytest.mark.parametrize("source", FAST)
def test_fast(laboratory: Any, source: str) -> None:
    assert type(laboratory.plan_one(source)).__name__ == "FastTest"


@pytest.mark.parametrize("source", GENERAL)
def test_general(laboratory: Any, source: str) -> None:
    test = laboratory.plan_one(source)
    assert isinstance(test, GeneralTest)
    assert test.source == source


@pytest.mark.parametrize(
    ("source", "seal"),
    [
        ("assert f(1) == 2", Seal.SEALED),
        ("assert f(1) == f(2)", Seal.COMPARED),
        ("assert abs(f(1) - f(2)) < 0.1", Seal.COMPARED),
        ("assert f(1) == LIMIT", Seal.COMPARED),
        ("assert f(g(1)) == 2", Seal.SEALED),
        ("a = f(1)\nb = f(2)\nassert a == b", Seal.COMPARED),
        ("s = Stack()\ns.push(1)\nassert s.pop() == 1", Seal.SEALED),
        ("assert [Point(1)] == sorted(points())\nx = 1", Seal.COMPARED),
        ("def check(candidate):\n    assert candidate(1) == 2\ncheck(f)", Seal.SEALED),
        ("def check(c, d):\n    assert c == d\ncheck(f(1), 2)", Seal.SEALED),
        ("def check(c, d):\n    assert c == d\ncheck(f(1), f(2))", Seal.COMPARED),
        ("for i in range(3):\n    assert f(i) == i", Seal.SEALED),
        ("for x in f(3):\n    assert x == f(x)", Seal.COMPARED),
        ("def expected(n):\n    return n + 1\nfor i in range(3):\n    assert f(i) == expected(i)", Seal.SEALED),
    ],
)
def test_seal(laboratory: Any, source: str, seal: Seal) -> None:
    assert laboratory.plan_one(source).seal is seal


UNITTEST = "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"


@pytest.mark.parametrize(
    "body",
    [
        "with unittest.mock.patch('random.random', return_value=1):\n            f()",
        "with unittest.mock.patch.object(f, 'x'):\n            f()",
        "import sys, io\n        sys.stdout = io.StringIO()\n        f()",
        "import contextlib, io\n        with contextlib.redirect_stdout(io.StringIO()) as out:\n            f()",
        "import os\n        os.environ['A'] = '1'\n        f()",
        "import os\n        os.environ.update(A='1')\n        f()",
        "import os\n        os.chdir('/tmp')\n        f()",
        "import time\n        time.sleep = lambda s: None\n        f()",
        "import builtins\n        setattr(builtins, 'print', None)\n        f()",
        "f.__globals__['x'] = 1",
        "import inspect\n        inspect.getsource(f)",
        "global counter\n        counter = 0\n        f()",
        "import warnings\n        with warnings.catch_warnings(record=True) as w:\n            f()",
        "with self.assertLogs() as logs:\n            f()",
        "class Mine(Base):\n            pass\n        Mine()",
        "import pandas as pd\n        self.assertEqual(f(pd.DataFrame({'a': [1]})), 1)",
        "import matplotlib.pyplot as plt\n        self.assertIsInstance(f(), plt.Axes)",
        "from PIL import Image\n        f(Image.new('L', (1, 1)))",
        "import numpy as np\n        np.random.seed(0)\n        f()",
        "self.assertTrue((f()['a'] <= 1).all())",
        "self.assertEqual(f()['a'].dtype, 'int64')",
        "self.assertTrue(all(f()['a'] <= 1))",
        "x = f()\n        self.assertEqual(len(x[x['a'] > 1]), 2)",
    ],
)
def test_beside_the_program(body: str) -> None:
    source = UNITTEST + "        " + body + "\n"
    test = plan(Suite(tests=(UnittestTest(source),))).tests[0]
    if "counter" in body:  # only where the name is the program's
        assert isinstance(test, GeneralTest)
        return
    assert isinstance(test, InProcessTest), body
    assert test.seal is Seal.IN_PROCESS
    assert test.reason


@pytest.mark.parametrize(
    "body",
    [
        "from unittest.mock import MagicMock\n        m = MagicMock()\n        f(m)",
        "import random\n        random.seed(1)\n        self.assertEqual(f(), 1)",
        "import tempfile, os\n        with tempfile.TemporaryDirectory() as d:\n            self.assertEqual(f(d), [])",
        "with self.assertRaises(ValueError):\n            f()",
        "import sys\n        print('x', file=sys.stderr)\n        f()",
        "import warnings\n        warnings.simplefilter('ignore')\n        f()",
        "import os\n        self.assertTrue(os.path.exists(f()))",
        "import time\n        t = time.time()\n        f()\n        self.assertLess(time.time() - t, 1)",
        "import numpy as np\n        self.assertEqual(f(np.zeros(3)), 3)",
        "from faker import Faker\n        self.assertEqual(f(Faker().name()), 3)",
        "import xml.etree.ElementTree as ET\n        self.assertEqual(f(), 3)",
        "self.maxDiff = None\n        self.stack = Stack()\n        self.stack.size = 3",
    ],
)
def test_not_beside_the_program(body: str) -> None:
    test = plan(Suite(tests=(UnittestTest(UNITTEST + "        " + body + "\n"),))).tests[0]
    assert isinstance(test, GeneralTest)
    assert test.seal is Seal.SEALED


def test_what_the_oracle_shares() -> None:
    source = UNITTEST + "        import random, tempfile\n        f(random.random())\n"
    test = plan(Suite(tests=(UnittestTest(source),))).tests[0]
    assert isinstance(test, GeneralTest)
    assert test.share_random
    assert test.share_scratch
    test = plan(Suite(tests=(UnittestTest(UNITTEST + "        f(1)\n"),))).tests[0]
    assert isinstance(test, GeneralTest)
    assert not test.share_random
    assert not test.share_scratch


def test_assigning_what_only_the_program_reads(laboratory: Any) -> None:
    test = laboratory.plan_one("counter = 0\ntick()\nassert counter == 1")
    assert isinstance(test, InProcessTest)
    test = laboratory.plan_one("items = [3, 1]\nsort(items)\nassert items == [1, 3]")
    assert isinstance(test, GeneralTest)


def test_names_of_earlier_tests(laboratory: Any) -> None:
    plan = laboratory.plan("x = f(1)", "assert x == 2", "assert g(x) == 2", "assert f(3) == 4")
    assert [type(t).__name__ for t in plan.tests] == ["GeneralTest", "GeneralTest", "GeneralTest", "FastTest"]


def test_imports_of_earlier_tests(laboratory: Any) -> None:
    plan = laboratory.plan(
        "import math\nassert f(1) == 2",
        "assert math.isclose(f(1), 2)",
        "for x in [1]:\n    assert math.floor(f(x)) == 2",
    )
    assert [type(t).__name__ for t in plan.tests] == ["FastTest", "FastTest", "GeneralTest"]
    assert plan.tests[2].source.startswith("import math; for x" if False else "import math; ")
    assert plan.as_general(plan.tests[1]).source == "import math; assert math.isclose(f(1), 2)"


def test_setup_names(laboratory: Any) -> None:
    setup = (
        "from math import inf\nEPS = 1e-6\ncandidate = f\nROOT = [1]\ndef near(a, b):\n    return abs(a - b) < EPS\n"
    )
    plan = laboratory.plan("assert near(candidate(1), 2)", "assert f(inf) == EPS", "assert f(ROOT) == 1", setup=setup)
    assert [type(t).__name__ for t in plan.tests] == ["FastTest", "FastTest", "GeneralTest"]
    assert plan.tests[0].trees[0][1] == ("name", "f")


@pytest.mark.parametrize(
    "setup", ["x = f(1)", "import numpy", "from module import *", "print('hello')", "def broken(:", "f.x = 1"]
)
def test_setup_that_must_run(laboratory: Any, setup: str) -> None:
    assert isinstance(laboratory.plan_one("assert f(1) == 2", setup=setup), GeneralTest)


def test_builtin_names_under_test(laboratory: Any) -> None:
    assert laboratory.plan_one("assert sum([1, 2]) == 3", entry_point="sum").trees[0][1] == ("name", "sum")
    assert isinstance(laboratory.plan_one("assert sum([1, 2]) == 3", entry_point="f"), GeneralTest)
    plan = laboratory.plan("assert sum([1, 2]) == 3", "assert sum([]) == 0")
    assert plan.tests[0].trees[0][1] == ("name", "sum")


def test_other_kinds() -> None:
    stdio = StdioTest("1\n", "2\n")
    call = CallTest(([1, 2],), {"k": 3}, [4])
    suite = Suite(tests=(stdio, call, CallTest(((1,) * 10,), {}, float("nan"))), entry_point="f")
    planned: tuple[Any, ...] = plan(suite).tests
    assert isinstance(planned[0], StdioPlanned)
    assert planned[0].stdin == "1\n"
    assert planned[1].trees == (("call", ("entry", "f"), [("const", [1, 2])], {"k": ("const", 3)}),)
    assert planned[1].seal is Seal.SEALED
    assert planned[1].shortcut is not None
    assert planned[2].shortcut is None
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    planned = plan(Suite(tests=(CallTest((deep,), {}, 1), CallTest((1,), {}, 1)), entry_point="f")).tests
    assert isinstance(planned[0], Unrunnable)
    assert planned[1].index == 1
    other = plan(Suite(tests=(CodeTest("int main() {}"), CallTest((1,), {}, 1)), entry_point="f", language="cpp")).tests
    assert isinstance(other[0], WholeProgramTest) and other[0].seal is Seal.IN_PROCESS
    assert isinstance(other[1], Unrunnable)
