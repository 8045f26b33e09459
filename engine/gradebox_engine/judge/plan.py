"""A suite → a plan: which way each test goes, decided by its text alone, once per problem.

- FastTest: an assert whose calls into the program can be told from the rest. The program evaluates the calls, the
  judge the rest.
- GeneralTest: anything else. It runs in an oracle, a process that never ran the program.
- InProcessTest: what has to run beside the program.
- StdioPlanned: a run of the whole program.
- WholeProgramTest: in another language than Python, program and test in one source, of which a run is the test.
- Unrunnable: a test that this engine cannot run. Its verdict is ENGINE_ERROR, never the program's fault.
"""

import ast
import re
from dataclasses import dataclass
from typing import Any, Literal

from gradebox_engine.judge import fast
from gradebox_engine.judge.fast import FastTest
from gradebox_engine.judge.frame import Unsupported
from gradebox_engine.judge.parts import PlanBudget
from gradebox_engine.judge.reasons import beside_program
from gradebox_engine.judge.scope import BUILTIN_NAMES, MODULE_NAMES, Scope, global_names
from gradebox_engine.judge.setup import read_setup
from gradebox_engine.judge.suite import CallTest, Checker, CodeTest, Seal, StdioTest, Suite, UnittestTest
from gradebox_engine.judge.taint import Taint
from gradebox_engine.judge.text import parse, without_warnings

type Kind = Literal["code", "unittest"]

# Text parsed for one suite; tests beyond that go to the oracle unread.
_MAX_PARSED_CHARS = 64 << 20


@dataclass(frozen=True, slots=True)
class GeneralTest:
    """A test for the oracle. `compared`: the program may be asked whether two of its objects are equal."""

    index: int
    seal: Seal
    kind: Kind
    source: str
    compared: bool
    share_random: bool
    share_scratch: bool


@dataclass(frozen=True, slots=True)
class InProcessTest:
    """A test that runs beside the program, and why."""

    index: int
    seal: Seal
    kind: Kind
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class StdioPlanned:
    """A run of the whole program."""

    index: int
    seal: Seal
    stdin: str
    expected_stdout: str
    checker: Checker


@dataclass(frozen=True, slots=True)
class WholeProgramTest:
    """Text that is appended to the program; exit status 0 means passed. Program and test share a process."""

    index: int
    seal: Seal
    source: str


@dataclass(frozen=True, slots=True)
class Unrunnable:
    """A test that is not run, and why."""

    index: int
    seal: Seal
    message: str


type PlannedTest = FastTest | GeneralTest | InProcessTest | StdioPlanned | WholeProgramTest | Unrunnable


@dataclass(frozen=True, slots=True)
class Plan:
    """How every test of a suite is run, in index order.

    `share_random` and `share_scratch` say what the oracle shares with the program: the state of the `random`
    module, the scratch folder. They hold for all tests, because one oracle serves them all.
    """

    suite: Suite
    tests: tuple[PlannedTest, ...]
    share_random: bool
    share_scratch: bool
    preludes: dict[int, str]

    @property
    def needs_oracle(self) -> bool:
        """Whether some test runs in the oracle whatever the program does."""
        return any(isinstance(t, GeneralTest) for t in self.tests)

    def as_general(self, test: FastTest) -> GeneralTest:
        """The same test for the oracle, for when the judge cannot decide on the program's answers."""
        source = self.suite.tests[test.index]
        assert isinstance(source, CodeTest), "call tests are always decided"
        return GeneralTest(
            test.index,
            test.seal,
            "code",
            self.preludes.get(test.index, "") + source.source,
            compared=test.seal is Seal.COMPARED,
            share_random=self.share_random,
            share_scratch=self.share_scratch,
        )


def plan(suite: Suite) -> Plan:
    """Plans a suite. Never raises for what a suite holds."""
    with without_warnings():
        return _Planner(suite).plan()


class _Planner:
    """Goes through the tests in order, keeping what their text has bound so far."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._budget = PlanBudget()
        self._chars = _MAX_PARSED_CHARS
        self._trees = [self._parse(t) for t in suite.tests]
        self._scope = Scope(suite.entry_point, self._called_builtins())
        self._setup_tree = parse(suite.test_setup)
        self._preludes: dict[int, str] = {}
        read_setup(suite.test_setup, self._scope, self._budget)
        texts = [(suite.test_setup, self._setup_tree)]
        texts += [
            (t.source, tree)
            for t, tree in zip(suite.tests, self._trees, strict=True)
            if isinstance(t, CodeTest | UnittestTest)
        ]
        self._share_random = any(_mentions(text, tree, _RANDOM) for text, tree in texts)
        self._share_scratch = any(_mentions(text, tree, _FILES) for text, tree in texts)

    def plan(self) -> Plan:
        """The plan of the suite."""
        tests = tuple(self._plan(index) for index in range(len(self._suite.tests)))
        return Plan(self._suite, tests, self._share_random, self._share_scratch, self._preludes)

    def _parse(self, test: Any) -> ast.Module | None:
        if not isinstance(test, CodeTest | UnittestTest) or self._suite.language != "python":
            return None
        self._chars -= len(test.source)
        return parse(test.source) if self._chars >= 0 else None

    def _called_builtins(self) -> frozenset[str]:
        """Builtin names under test: those that every test calls, where tests have no other names to call."""
        if self._suite.entry_point is not None:
            return frozenset()
        common: set[str] | None = None
        for tree in self._trees:
            if tree is None:
                return frozenset()
            called = set()
            for node in ast.walk(tree):
                if isinstance(node, ast.Name) and node.id not in BUILTIN_NAMES:
                    return frozenset()
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    called.add(node.func.id)
            common = called if common is None else common & called
        return frozenset(common or ())

    def _plan(self, index: int) -> PlannedTest:
        """The plan of one test; all before it have been planned."""
        test = self._suite.tests[index]
        if isinstance(test, StdioTest):
            return StdioPlanned(index, Seal.SEALED, test.stdin, test.expected_stdout, test.checker)
        if self._suite.language != "python":
            if isinstance(test, CodeTest):
                return WholeProgramTest(index, Seal.IN_PROCESS, test.source)
            return Unrunnable(index, Seal.SEALED, f"tests of this kind are for python, not {self._suite.language}")
        if isinstance(test, CallTest):
            return self._call(index, test)
        tree = self._trees[index]
        self._trees[index] = None  # its memory is not needed any more
        if isinstance(test, CodeTest):
            return self._code(index, test.source, tree)
        return self._in_full(index, "unittest", test.source, tree)

    def _call(self, index: int, test: CallTest) -> PlannedTest:
        if not self._suite.entry_point:
            return Unrunnable(index, Seal.SEALED, "a call test needs an entry point")
        try:
            return fast.plan_call(index, self._suite.entry_point, test)
        except Unsupported:
            return Unrunnable(index, Seal.SEALED, "arguments or expected value are too large, or nested too deep")

    def _code(self, index: int, source: str, tree: ast.Module | None) -> PlannedTest:
        if tree is None:
            self._scope.anything = True
            return self._general(index, "code", source, Seal.SEALED)
        if self._scope.inert and not self._scope.anything:
            planned = fast.plan_code(index, source, tree, self._scope, self._budget)
            if planned is not None:
                if self._scope.prelude:
                    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
                    self._preludes[index] = self._prelude(frozenset(names))
                return planned
        planned_in_full = self._in_full(index, "code", source, tree)
        _, bound = global_names(source)
        for name in bound:
            self._scope.bind_foreign(name)
        if _binds_anything(tree):
            self._scope.anything = True
        return planned_in_full

    def _in_full(self, index: int, kind: Kind, source: str, tree: ast.Module | None) -> PlannedTest:
        if tree is None:
            return self._general(index, kind, source, Seal.SEALED)
        looked_up, bound = global_names(source)
        program = frozenset(n for n in looked_up - bound if self._scope.is_program(n) and n not in MODULE_NAMES)
        taint = Taint(tree, program)
        reason = beside_program(tree, program)
        if reason is None and self._setup_tree is not None:
            reason = beside_program(self._setup_tree, program)
        if reason is None and kind == "code" and taint.reads_back():
            reason = "reads a name that only the program can have changed"
        if reason is not None:
            return InProcessTest(index, Seal.IN_PROCESS, kind, source, reason)
        seal = Seal.COMPARED if taint.compares() else Seal.SEALED
        if kind == "code":
            source = self._prelude(looked_up - bound) + source
        return self._general(index, kind, source, seal)

    def _general(self, index: int, kind: Kind, source: str, seal: Seal) -> GeneralTest:
        compared = seal is Seal.COMPARED
        return GeneralTest(index, seal, kind, source, compared, self._share_random, self._share_scratch)

    def _prelude(self, names: frozenset[str]) -> str:
        """Those imports of earlier fast tests that a test uses: the oracle never saw them. On the test's first line."""
        lines = {self._scope.prelude[n] for n in names if n in self._scope.prelude}
        return "".join(f"{line}; " for line in sorted(lines))


def _words(text: str) -> tuple[frozenset[str], re.Pattern[str]]:
    """Words, and a quick look for any of them: most tests have none, and their trees are not walked."""
    words = text.split()
    return frozenset(words), re.compile(rf"\b(?:{'|'.join(words)})\b")


_FILES = _words(
    "open os io tempfile pathlib Path PurePath shutil glob csv zipfile tarfile gzip sqlite3 pickle shelve configparser"
    " subprocess tmp_path tmpdir fileinput filecmp linecache mmap bz2 lzma dbm"
)
_RANDOM = _words("random seed shuffle randint choice choices sample uniform gauss getrandbits randrange")


def _mentions(source: str, tree: ast.Module | None, sought: tuple[frozenset[str], re.Pattern[str]]) -> bool:
    """Whether any of the words is a name in the source; where it was not parsed, whether it may be."""
    words, pattern = sought
    if not pattern.search(source):
        return False
    if tree is None:
        return True
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                if name in words:
                    return True
            case ast.alias(name=name):
                if not words.isdisjoint(name.split(".")):
                    return True
    return False


def _binds_anything(tree: ast.Module) -> bool:
    """Whether the test may bind names that its text does not show."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
            return True
        if isinstance(node, ast.Name) and node.id in ("exec", "globals", "locals", "vars"):
            return True
    return False
