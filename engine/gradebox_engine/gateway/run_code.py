"""SandboxFusion's /run_code: one program, its output.

Its run_timeout is wall time, and so it is here, less what the program stood in the queue for a processor; the limit
on CPU time is the same number. What it calls a SandboxError (the service's fault) is here an engine's fault, and what
the engines do not offer.
"""

import base64
import re
import signal

import gradebox
from gradebox_engine.gateway.errors import refused_by
from gradebox_engine.gateway.schemas import (
    CommandRunResult,
    CommandStatus,
    RunCodeRequest,
    RunCodeResponse,
    RunStatus,
)

_MIB = 1 << 20
_LIMITS = (gradebox.Verdict.MEMORY_LIMIT, gradebox.Verdict.OUTPUT_LIMIT)


async def run_code(client: gradebox.AsyncClient, asked: RunCodeRequest, timeout_s: float) -> RunCodeResponse:
    """Runs the program. Raises GradeboxError where the caller's token is not accepted, and for nothing else."""
    if asked.args:
        return sandbox_error("args: not offered")
    try:
        given = {name: base64.b64decode(text, validate=True) for name, text in asked.files.items() if text is not None}
    except ValueError as error:
        return sandbox_error(f"files: not base64: {error}")
    memory_bytes = asked.memory_limit_MB * _MIB if asked.memory_limit_MB > 0 else None
    try:
        result = await client.run(
            asked.code,
            stdin=asked.stdin or "",
            language=asked.language,
            limits=gradebox.Limits(
                cpu_time_s=asked.run_timeout, wall_time_s=asked.run_timeout, memory_bytes=memory_bytes
            ),
            files=given,
            fetch=asked.fetch_files,
            timeout_s=timeout_s,
        )
    except gradebox.GradeboxError as error:
        if refused_by(error).status == 401:
            raise
        return sandbox_error(f"{type(error).__name__}: {error}")
    return response_of(result)


def sandbox_error(message: str) -> RunCodeResponse:
    """A response that says that no program was run to its end."""
    return RunCodeResponse(status=RunStatus.SANDBOX_ERROR, message=message)


def response_of(result: gradebox.RunResult) -> RunCodeResponse:
    """A run in SandboxFusion's words."""
    verdict = result.verdict
    if verdict is gradebox.Verdict.ENGINE_ERROR:
        return sandbox_error(f"EngineFault: {result.message}")
    files = {name: base64.b64encode(content).decode() for name, content in result.files.items()}
    if verdict is gradebox.Verdict.COMPILE_ERROR and result.exit_code is None:
        said = CommandRunResult(status=CommandStatus.FINISHED, return_code=1, stdout="", stderr=result.message + "\n")
        return RunCodeResponse(status=RunStatus.FAILED, compile_result=said)
    stdout, stderr = (text.decode("utf-8", "replace") for text in (result.stdout, result.stderr))
    timed_out = verdict is gradebox.Verdict.TIME_LIMIT
    code = None if timed_out else _return_code(result)
    if not timed_out and (result.exit_code is None or verdict in _LIMITS):  # of which its own stderr knows nothing
        stderr += f"{verdict.name}: {result.message}\n"
    command = CommandRunResult(
        status=CommandStatus.TIME_LIMIT_EXCEEDED if timed_out else CommandStatus.FINISHED,
        execution_time=result.wall_time_s,
        cpu_time=result.cpu_time_s,
        return_code=code,
        stdout=stdout,
        stderr=stderr,
    )
    return RunCodeResponse(status=RunStatus.SUCCESS if code == 0 else RunStatus.FAILED, run_result=command, files=files)


def _return_code(result: gradebox.RunResult) -> int:
    """As Python's subprocess gives it: what a signal ended has the negative of its number."""
    if result.exit_code is not None:
        return result.exit_code or int(result.verdict is not gradebox.Verdict.PASSED)
    named = re.search(r"\bSIG[A-Z]+", result.message)
    number = getattr(signal, named[0], None) if named else None
    return -int(number) if number else -int(signal.SIGKILL)
