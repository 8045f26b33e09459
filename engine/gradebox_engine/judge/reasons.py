"""Why a test has to run beside the program: what it replaces, captures or looks into exists only there.

Objects of packages such as pandas, which a test makes or checks, exist in one process only, too: they are no plain
data, and compiled code does not work on them by message. Nor is the comparison of a column by message a column.

Text alone is looked at. Not among the reasons, because the oracle has an answer to each: files (the scratch
folder is shared), the state of `random` (it travels), exceptions, clocks, objects of the program (handles).
"""

import ast
import sys
from collections.abc import Iterator

_FIXTURES = frozenset("capsys capsysbinary capfd capfdbinary caplog monkeypatch mocker recwarn".split())
_CAPTURES = frozenset(
    "redirect_stdout redirect_stderr redirect_stdin assertLogs assertNoLogs assertWarns assertWarnsRegex freeze_time"
    " captured_stdout captured_stderr addHandler"
    # matplotlib's current figure is a global of the process that draws
    " get_fignums gcf gca get_figlabels fignum_exists".split()
)
_INTERNALS = frozenset("__globals__ __code__ __closure__ __builtins__ f_globals f_locals gi_frame tb_frame".split())
_MODULES = frozenset(
    "inspect dis gc tracemalloc weakref freezegun moto responses httpretty resource faulthandler".split()
)
# Functions of modules that change the process.
_PROCESS = {
    "os": frozenset("chdir putenv unsetenv umask nice dup2 fork kill".split()),
    "sys": frozenset("setrecursionlimit setswitchinterval set_int_max_str_digits".split()),
    "signal": frozenset(["signal"]),
    "locale": frozenset(["setlocale"]),
    "decimal": frozenset("getcontext setcontext localcontext".split()),
    "logging": frozenset(["basicConfig"]),
    "time": frozenset(["tzset"]),
    "importlib": frozenset(["reload"]),
    "socket": frozenset(["setdefaulttimeout"]),
}
# Packages outside of the standard library whose objects travel, or that make plain data for tests, or run them.
_TRAVELLING = frozenset("numpy faker pytest _pytest hypothesis mock nose parameterized typing_extensions".split())
_CHANGING = frozenset("update pop setdefault clear append insert extend remove".split())


# Parts of the process that a program changes and a test asks for; the oracle's own would say nothing.
_STATE = ("sys.path", "sys.modules")


def beside_program(tree: ast.Module, program: frozenset[str]) -> str | None:
    """The reason for which this test has to run beside the program, else None.

    `program` are the names in it that are the program's.
    """
    modules = _modules(tree)
    for node in ast.walk(tree):
        reason = _reason(node, modules, program)
        if reason is not None:
            return reason
    return None


def _modules(tree: ast.Module) -> dict[str, str]:
    """Names that imports bind, and what each stands for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                found[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return found


def _reason(node: ast.AST, modules: dict[str, str], program: frozenset[str]) -> str | None:
    match node:
        case ast.Attribute(attr=attr) if attr in _INTERNALS:
            return f"looks at {attr}"
        # Of a column: equal to a string or a class by its own word only.
        case ast.Attribute(attr="dtypes") | ast.Attribute(value=ast.Subscript() | ast.Call(), attr="dtype"):
            return "looks at a dtype"
        case ast.Attribute(value=ast.Compare()) | ast.Subscript(slice=ast.Compare()):
            return "asks more of a comparison than true or false"
        case ast.Attribute() if _path(node, modules) in _STATE:
            return f"looks at {_path(node, modules)}"
        case ast.FunctionDef() | ast.AsyncFunctionDef() if fixture := _fixture(node):
            return f"the fixture {fixture}"
        case ast.ClassDef(bases=bases, keywords=keywords):
            for base in (*bases, *(k.value for k in keywords)):
                if _root(base) in program:
                    return "derives from a class of the program"
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return _first(_assigned(t, modules) for t in targets)
        case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
            return _assigned(target, modules)
        case ast.Global(names=names):
            if any(n in program for n in names):
                return "assigns a global of the program"
        case ast.Call(func=func):
            return _called(node, func, modules, program)
        case ast.Attribute(value=ast.Name(id=name), attr=attr):
            return _member(modules.get(name, ""), attr)
        case ast.Name(id=name, ctx=ast.Load()):
            return _name(modules.get(name, ""))
        case ast.Import(names=names) if any(n.name == "__main__" for n in names):
            return "imports the program"
        case ast.ImportFrom(module="__main__" | "builtins"):
            return "imports the program"
        case ast.Compare():
            return _interned(node)
    return None


def _first(reasons: Iterator[str | None]) -> str | None:
    return next((r for r in reasons if r), None)


def _fixture(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    if not node.name.startswith("test"):
        return None
    return next((a.arg for a in node.args.args if a.arg in _FIXTURES), None)


def _root(node: ast.expr) -> str:
    """The name at the left end of a chain of attributes, subscripts and calls."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call | ast.Starred):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _assigned(target: ast.expr, modules: dict[str, str]) -> str | None:
    if isinstance(target, ast.Tuple | ast.List):
        return _first(_assigned(t, modules) for t in target.elts)
    if isinstance(target, ast.Attribute | ast.Subscript):
        root = _root(target)
        if root in modules and not _has_call(target):
            return f"assigns into {modules[root]}"
    return None


def _has_call(node: ast.expr) -> bool:
    return any(isinstance(n, ast.Call) for n in ast.walk(node))


def _called(node: ast.Call, func: ast.expr, modules: dict[str, str], program: frozenset[str]) -> str | None:
    name = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
    path = _path(func, modules)
    if _is_patch(path):
        return "patches"
    if name in ("all", "any", "sum") and any(isinstance(argument, ast.Compare) for argument in node.args):
        return "asks more of a comparison than true or false"
    if name in _CAPTURES and name not in program:
        return f"uses {name}"
    if name in ("setattr", "delattr") and node.args and _root(node.args[0]) in modules:
        return f"assigns into {modules[_root(node.args[0])]}"
    if (
        name in _CHANGING
        and isinstance(func, ast.Attribute)
        and _path(func.value, modules) in (*_STATE, "os.environ", "sys.argv")
    ):
        return "changes the process"
    if name == "catch_warnings" and any(k.arg == "record" and not _is_false(k.value) for k in node.keywords):
        return "records warnings"
    if path in ("warnings.simplefilter", "warnings.filterwarnings") and node.args:
        if isinstance(node.args[0], ast.Constant) and node.args[0].value == "error":
            return "makes warnings errors"
    if path == "pytest.warns" or path == "pytest.deprecated_call":
        return "records warnings"
    if path in ("numpy.random.seed", "numpy.random.set_state"):  # unlike `random`, its state does not travel
        return "seeds numpy"
    if path == "importlib.import_module" and node.args and isinstance(node.args[0], ast.Constant):
        if node.args[0].value in ("__main__", "program", "solution"):
            return "imports the program"
    if name in ("Thread", "Process", "submit", "Timer", "Pool", "start_new_thread"):
        passed = [*node.args, *(k.value for k in node.keywords)]
        if any(_root(a) in program for a in passed if not isinstance(a, ast.Call)):
            return "runs the program in threads of its own"
    if path in ("copy.deepcopy", "copy.copy", "pickle.dumps") and node.args and _root(node.args[0]) in program:
        return "copies objects of the program"
    if isinstance(func, ast.Name) and func.id == "globals":
        return "uses globals()"
    return None


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not node.value


def _path(node: ast.expr, modules: dict[str, str]) -> str:
    """A dotted name with what an import says its first part is."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ".".join(["", *reversed(parts)])
    return ".".join([modules.get(node.id, node.id), *reversed(parts)])


def _is_patch(path: str) -> bool:
    """`patch(…)`, `patch.object(…)`, `mock.patch.dict(…)`, however it was imported."""
    head, _, last = path.rpartition(".")
    return last == "patch" or (last in ("object", "dict", "multiple") and head.split(".")[-1] == "patch")


def _member(module: str, attr: str) -> str | None:
    """An attribute that is used of a name that an import bound."""
    if module in _MODULES:
        return f"uses {module}"
    if attr in _PROCESS.get(module, ()):
        return "changes the process"
    if attr == "patch" and module in ("unittest.mock", "mock"):
        return "patches"
    return None


def _name(path: str) -> str | None:
    """A bare name that an import bound."""
    module, _, attr = path.rpartition(".")
    if path and not _travels(path.partition(".")[0]):
        return f"uses objects of {path.partition('.')[0]}"
    if module in _MODULES:
        return f"uses {module}"
    if attr in _PROCESS.get(module, ()):
        return "changes the process"
    if path == "unittest.mock.patch":
        return "patches"
    return None


def _travels(package: str) -> bool:
    """Whether what a test makes of a package is as good in the program's process as one that was made there.

    A data frame or a figure is not: it is no plain data, and the program takes it apart with compiled code.
    """
    return (
        package in _TRAVELLING or package in sys.stdlib_module_names or package in ("__main__", "solution", "program")
    )


def _interned(node: ast.Compare) -> str | None:
    """`f(x) is "text"`: whether text is one object depends on the process that made it."""
    operands = [node.left, *node.comparators]
    for op, left, right in zip(node.ops, operands, operands[1:], strict=False):
        if isinstance(op, ast.Is | ast.IsNot):
            for side in (left, right):
                if isinstance(side, ast.Constant) and isinstance(side.value, str | bytes) and len(side.value) > 1:
                    return "asks for the identity of text"
    return None
