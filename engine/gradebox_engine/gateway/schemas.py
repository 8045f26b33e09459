"""SandboxFusion's messages, with its names (the schema of its server, and of its client 0.3.7)."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class RunStatus(StrEnum):
    """Of a request: SandboxError is the service's fault, or something that it does not offer."""

    SUCCESS = "Success"
    FAILED = "Failed"
    SANDBOX_ERROR = "SandboxError"


class CommandStatus(StrEnum):
    """Of one command."""

    FINISHED = "Finished"
    ERROR = "Error"
    TIME_LIMIT_EXCEEDED = "TimeLimitExceeded"


class CommandRunResult(BaseModel):
    """Times in seconds."""

    status: CommandStatus
    execution_time: float | None = None
    cpu_time: float | None = None
    return_code: int | None = None
    stdout: str | None = None
    stderr: str | None = None


class RunCodeRequest(BaseModel):
    """`files` are base64; timeouts are seconds."""

    code: str
    language: str
    compile_timeout: float = 10
    run_timeout: float = Field(10, gt=0, allow_inf_nan=False)
    memory_limit_MB: int = -1
    stdin: str | None = None
    files: dict[str, str | None] = {}
    fetch_files: list[str] = []
    args: list[str] = []


class RunCodeResponse(BaseModel):
    """`message` says what a SandboxError is about."""

    status: RunStatus
    message: str = ""
    compile_result: CommandRunResult | None = None
    run_result: CommandRunResult | None = None
    executor_pod_name: str | None = None
    files: dict[str, str] = {}


class TestConfig(BaseModel):
    """How a submission is tested: `provided_data` is the problem, of the shape that `dataset_type` says."""

    __test__ = False  # not a test class for pytest

    dataset_type: str | None = None
    language: str | None = None
    locale: str | None = None
    is_fewshot: bool | None = None
    compile_timeout: float | None = None
    run_timeout: float | None = Field(None, gt=0, allow_inf_nan=False)
    custom_extract_logic: str | None = None
    provided_data: list[dict[str, Any]] | dict[str, Any] | None = None
    extra: dict[str, Any] = {}


class SubmitRequest(BaseModel):
    """A model's output for one problem."""

    dataset: str
    id: int | str
    completion: str
    config: TestConfig


class GetPromptByIdRequest(BaseModel):
    """Which problem."""

    dataset: str
    id: int | str
    config: TestConfig


class GetPromptsRequest(BaseModel):
    """Which problems."""

    dataset: str
    config: TestConfig
    offset: int = Field(0, ge=0)
    limit: int = Field(1_000_000, ge=0)


class EvalTestCase(BaseModel):
    """One test case."""

    passed: bool
    exec_info: RunCodeResponse
    test_info: dict[str, Any] | None = None


class EvalResult(BaseModel):
    """What a submission came to."""

    id: int | str
    accepted: bool
    extracted_code: str
    full_code: str | None = None
    test_code: str | None = None
    tests: list[EvalTestCase]
    extracted_type: str | None = None
    extra: dict[str, Any] | None = None


class Prompt(BaseModel):
    """A problem's text."""

    id: int | str
    prompt: str
    labels: dict[str, Any] = {}


class Anything(BaseModel):
    """A request of which nothing matters."""

    model_config = ConfigDict(extra="ignore")
