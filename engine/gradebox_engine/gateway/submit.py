"""SandboxFusion's /submit and /get_prompts: a model's output for a problem that the request brings along.

There are no data sets here: `config.provided_data` is the problem, as a row of SandboxFusion's CommonOJDataset,
AutoEvalDataset or MBPPDataset, or as a row of a problems file of ours (it has `tests`). The engines judge, with their
seals; a program never meets its test. Three things differ from SandboxFusion: the rules by which a program is found
in the output are `gradebox.extract_code`'s, output is compared with regard to case, and nobody's Python
(`custom_extract_logic`) runs in the service.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import gradebox
from gradebox.integrations._tasks import problem_of
from gradebox_engine.gateway.errors import Refused
from gradebox_engine.gateway.run_code import sandbox_error
from gradebox_engine.gateway.schemas import (
    CommandRunResult,
    CommandStatus,
    EvalResult,
    EvalTestCase,
    GetPromptByIdRequest,
    GetPromptsRequest,
    Prompt,
    RunCodeResponse,
    RunStatus,
    SubmitRequest,
)

RUN_TIMEOUT_S = 20.0  # SandboxFusion's default
_FLOATS = {"kind": "float", "rel_tol": 1e-5}  # its way to compare output
_INFO_CHARS = 1000


async def submit(client: gradebox.AsyncClient, asked: SubmitRequest, timeout_s: float) -> EvalResult:
    """What the output is worth. Raises Refused, GradeboxError."""
    row = _problem_row(asked)
    timeout = asked.config.run_timeout or RUN_TIMEOUT_S
    row["limits"] = {"cpu_time_s": timeout, "wall_time_s": timeout, **(row.get("limits") or {})}
    problem = problem_of(row, language=asked.config.language)
    code = await asyncio.to_thread(
        gradebox.extract_code, asked.completion, language=problem.language, entry_point=problem.entry_point
    )
    if code is None:
        return EvalResult(id=asked.id, accepted=False, extracted_code="", tests=[], extracted_type="empty")
    run_all = bool(asked.config.extra.get("run_all_cases"))
    (result,) = await client.grade([code], problem=problem, stop_early=not run_all, timeout_s=timeout_s)
    if (fault := _fault(result)) is not None:
        raise Refused(502, f"EngineFault: {fault}")
    tests = [
        _case(test, given)
        for test, given in zip(result.tests, problem.tests, strict=True)
        if run_all or test.verdict is not gradebox.Verdict.SKIPPED
    ]
    return EvalResult(
        id=asked.id,
        accepted=result.verdict is gradebox.Verdict.PASSED,
        extracted_code=code,
        full_code=code,
        tests=tests,
    )


def prompts(asked: GetPromptsRequest) -> list[Prompt]:
    """The prompts of the rows that came along. Raises Refused."""
    rows = asked.config.provided_data
    if not isinstance(rows, list):
        raise _unknown(asked.dataset)
    return [_prompt(row) for row in rows[asked.offset : asked.offset + asked.limit]]


def prompt_by_id(asked: GetPromptByIdRequest) -> Prompt:
    """The prompt of the row that came along. Raises Refused."""
    row = asked.config.provided_data
    if not isinstance(row, dict):
        raise _unknown(asked.dataset)
    return _prompt({"id": asked.id, **row})


def _unknown(dataset: str) -> Refused:
    return Refused(400, f"no data set {dataset!r} here, nor any other: give the problem in config.provided_data")


def _prompt(row: dict[str, Any]) -> Prompt:
    text = next((row[name] for name in ("content", "prompt", "question") if isinstance(row.get(name), str)), None)
    if text is None or not isinstance(row.get("id"), int | str):
        raise Refused(400, "config.provided_data: a row has an id, and content, prompt or question")
    labels = _json(row.get("labels"), "labels")
    return Prompt(id=row["id"], prompt=text, labels=labels if isinstance(labels, dict) else {})


def _problem_row(asked: SubmitRequest) -> dict[str, Any]:
    """The problem as a row of ours, from whichever shape it came in. Raises Refused."""
    config = asked.config
    data = config.provided_data
    if config.custom_extract_logic:
        raise Refused(400, "config.custom_extract_logic: a caller's code does not run in this service")
    if not isinstance(data, dict):
        raise _unknown(asked.dataset)
    if "tests" in data:
        return {**data, "id": str(asked.id)}
    test = _json(data.get("test"), "test")
    labels = _json(data.get("labels"), "labels")
    labels = labels if isinstance(labels, dict) else {}
    row: dict[str, Any] = {"id": str(asked.id), "language": labels.get("programming_language")}
    if isinstance(test, list) and test and all(isinstance(each, str) for each in test):  # MBPPDataset
        return row | {"tests": test, "test_setup": labels.get("test_setup_code")}
    if isinstance(test, list) and test:  # CommonOJDataset
        return row | {"tests": [_stdio(each) for each in test]}
    if isinstance(test, dict) and isinstance(test.get("code"), str):  # AutoEvalDataset
        if test.get("asset"):
            raise Refused(400, "config.provided_data.test.asset: programs run in an empty folder here")
        if "#<INSERT>" in test["code"]:
            raise Refused(400, "config.provided_data.test.code: a test does not hold the program here")
        return row | {"tests": [test["code"]]}
    raise Refused(400, "config.provided_data: has neither tests, nor a test as SandboxFusion's data sets have it")


def _stdio(case: Any) -> dict[str, Any]:
    given, wanted = (case.get("input"), case.get("output")) if isinstance(case, Mapping) else (None, None)
    if not (isinstance(given, Mapping) and isinstance(wanted, Mapping) and "stdout" in wanted):
        raise Refused(400, "config.provided_data.test: a case has input.stdin and output.stdout")
    if set(given) - {"stdin"} or set(wanted) - {"stdout"}:
        raise Refused(400, "config.provided_data.test: files are not offered, only stdin and stdout")
    return {"stdin": given.get("stdin", ""), "expected_stdout": wanted["stdout"], "checker": _FLOATS}


def _json(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Refused(400, f"config.provided_data.{name}: not JSON") from None


def _fault(result: gradebox.SubmissionResult) -> str | None:
    broken = [test.message for test in result.tests if test.verdict is gradebox.Verdict.ENGINE_ERROR]
    return broken[0] if broken else None


def _case(test: gradebox.TestResult, given: Any) -> EvalTestCase:
    stdio = given if isinstance(given, Mapping) and "stdin" in given else None
    passed = test.verdict is gradebox.Verdict.PASSED
    info = None
    if stdio is not None:
        texts = {"input": {"stdin": stdio["stdin"]}, "output": {"stdout": stdio["expected_stdout"]}}
        info = {side: {name: text[:_INFO_CHARS] for name, text in files.items()} for side, files in texts.items()}
    ended_well = passed or (stdio is not None and test.verdict is gradebox.Verdict.WRONG_ANSWER)
    return EvalTestCase(passed=passed, exec_info=_exec_info(test, ended_well), test_info=info)


def _exec_info(test: gradebox.TestResult, ended_well: bool) -> RunCodeResponse:
    """A test case as if it had been a run; its output is not kept."""
    if test.verdict is gradebox.Verdict.SKIPPED:
        return sandbox_error(f"SKIPPED: {test.message}")
    timed_out = test.verdict is gradebox.Verdict.TIME_LIMIT
    command = CommandRunResult(
        status=CommandStatus.TIME_LIMIT_EXCEEDED if timed_out else CommandStatus.FINISHED,
        execution_time=test.wall_time_s,
        cpu_time=test.cpu_time_s,
        return_code=None if timed_out else int(not ended_well),
        stderr="" if test.verdict is gradebox.Verdict.PASSED else f"{test.verdict.name}: {test.message}",
    )
    return RunCodeResponse(status=RunStatus.SUCCESS if ended_well else RunStatus.FAILED, run_result=command)
