"""gradebox: grades untrusted programs against tests, with verdicts that a program cannot forge.

    with gradebox.Engine() as engine:
        result = engine.grade(["def f(x): return x + 1"], tests=["assert f(1) == 2"])[0]
        result.verdict, result.pass_rate

`Engine` runs on this machine, `Client("host:port")` reaches one elsewhere; `AsyncEngine` and
`AsyncClient` are the same for asyncio. All names below are the whole interface.
"""

from gradebox._async_client import AsyncClient
from gradebox._client import Client
from gradebox._engine import AsyncEngine, Engine
from gradebox._errors import (
    AccessDenied,
    DeadlineExceeded,
    EngineFault,
    GradeboxError,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from gradebox._extract import extract_code
from gradebox._problems import (
    CallTest,
    Checker,
    CodeTest,
    GradeItem,
    Limits,
    Problem,
    StdioTest,
    UnittestTest,
)
from gradebox._results import (
    CacheInfo,
    EngineInfo,
    EngineStamp,
    Graded,
    ImageInfo,
    RunResult,
    SubmissionResult,
    TestResult,
)
from gradebox._words import Evidence, Seal, Verdict

__all__ = [
    "AccessDenied",
    "AsyncClient",
    "AsyncEngine",
    "CacheInfo",
    "CallTest",
    "Checker",
    "Client",
    "CodeTest",
    "DeadlineExceeded",
    "Engine",
    "EngineFault",
    "EngineInfo",
    "EngineStamp",
    "Evidence",
    "GradeItem",
    "GradeboxError",
    "Graded",
    "ImageInfo",
    "InvalidRequest",
    "Limits",
    "Overloaded",
    "Problem",
    "RunResult",
    "Seal",
    "StdioTest",
    "SubmissionResult",
    "TestResult",
    "Unavailable",
    "UnittestTest",
    "Verdict",
    "extract_code",
]

for _name in __all__:  # where users meet them, in tracebacks and reprs
    globals()[_name].__module__ = "gradebox"
