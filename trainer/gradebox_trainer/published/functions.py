"""Problems whose solution is a function: HumanEval(+), MBPP(+), BigCodeBench."""

import ast
import re
from typing import Any

from gradebox_command.problem_rows import FieldError
from gradebox_trainer.published import Imported, Row, solution, text, texts

CANONICAL = "canonical"


def humaneval(row: Row) -> Imported:
    """task_id, prompt, entry_point, test (with `def check(candidate)`), canonical_solution (after prompt)."""
    id, prompt, entry_point, test = (text(row, name) for name in ("task_id", "prompt", "entry_point", "test"))
    if not entry_point.isidentifier():
        raise FieldError("entry_point", f"no name: {entry_point!r}")
    setup, tests = split_check(test, entry_point)
    problem: dict[str, Any] = {"id": id, "prompt": prompt, "entry_point": entry_point, "tests": tests}
    if setup:
        problem["test_setup"] = setup
    body = text(row, "canonical_solution", default="")
    return Imported(problem, solution(id, CANONICAL, prompt + body if body else ""))


def split_check(test: str, entry_point: str) -> tuple[str, list[str]]:
    """(test_setup, tests) of a module with `def check(candidate)`.

    Where `check` is nothing but asserts, each is a test, with the function's own name: a program then gets a pass
    rate. Else the whole module is one test.
    """
    whole = f"{test}\n\ncheck({entry_point})\n"
    try:
        module = ast.parse(test)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "", [whole]
    checks = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "check"]
    if len(checks) != 1 or len(checks[0].args.args) != 1:
        return "", [whole]
    body = [node for node in checks[0].body if not _is_text(node)]
    if not body or not all(isinstance(node, ast.Assert) for node in body):
        return "", [whole]
    rename = _Rename(checks[0].args.args[0].arg, entry_point)
    # `assert True, "…"` is a test that every program passes: HumanEval has some, and says so.
    asserts = [node for node in body if isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant)]
    if not asserts:
        return "", [whole]
    helpers = [node for node in module.body if node is not checks[0] and not _is_metadata(node)]
    return "\n".join(map(ast.unparse, helpers)), [ast.unparse(rename.visit(node)) for node in asserts]


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_metadata(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "METADATA" for t in node.targets)


class _Rename(ast.NodeTransformer):
    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.copy_location(ast.Name(self._new, node.ctx), node) if node.id == self._old else node


def mbpp(row: Row) -> Imported:
    """task_id, text or prompt, code, test_list, test_setup_code or test_imports; of MBPP+ also `test`, which is all."""
    number = row["task_id"]
    id = f"MBPP/{number}" if isinstance(number, int) else str(number)
    tests = texts(row, "test_list") + texts(row, "challenge_test_list")
    setup = [text(row, "test_setup_code", default=""), *texts(row, "test_imports")]
    if whole := text(row, "test", default=""):
        tests, setup = [whole], []
    if not tests:
        raise FieldError("test_list", "empty: there is nothing to grade with")
    problem: dict[str, Any] = {"id": id, "prompt": row.get("text") or text(row, "prompt"), "tests": tests}
    if joined := "\n".join(filter(None, setup)):
        problem["test_setup"] = joined
    if found := re.search(r"assert\s+(?:set\(|sorted\(|not\s+|math\.isclose\(|\()*(\w+)\s*\(", tests[0]):
        problem["entry_point"] = found[1]
    return Imported(problem, solution(id, CANONICAL, text(row, "code", default="")))


def bigcodebench(row: Row) -> Imported:
    """task_id, instruct_prompt, complete_prompt, code_prompt, canonical_solution, test (unittest), entry_point."""
    id = text(row, "task_id")
    problem = {
        "id": id,
        "prompt": text(row, "instruct_prompt"),
        "entry_point": text(row, "entry_point"),
        "tests": [{"unittest": text(row, "test")}],
        "meta": {"complete_prompt": text(row, "complete_prompt", default=""), "libs": str(row.get("libs") or "")},
    }
    body = text(row, "canonical_solution", default="")
    before = text(row, "code_prompt", default="") or text(row, "complete_prompt", default="")
    return Imported(problem, solution(id, CANONICAL, before + body if body else ""))
