from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    PASSED: _ClassVar[Verdict]
    WRONG_ANSWER: _ClassVar[Verdict]
    RUNTIME_ERROR: _ClassVar[Verdict]
    COMPILE_ERROR: _ClassVar[Verdict]
    TIME_LIMIT: _ClassVar[Verdict]
    MEMORY_LIMIT: _ClassVar[Verdict]
    OUTPUT_LIMIT: _ClassVar[Verdict]
    SKIPPED: _ClassVar[Verdict]
    ENGINE_ERROR: _ClassVar[Verdict]

class Seal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEAL_UNSPECIFIED: _ClassVar[Seal]
    IN_PROCESS: _ClassVar[Seal]
    COMPARED: _ClassVar[Seal]
    SEALED: _ClassVar[Seal]

class Evidence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVIDENCE_UNSPECIFIED: _ClassVar[Evidence]
    EARLY_EXIT: _ClassVar[Evidence]
    DENIED_SYSTEM_CALL: _ClassVar[Evidence]
    CHANNEL_WRITE: _ClassVar[Evidence]
    TEST_FILE_READ: _ClassVar[Evidence]
    SWALLOWED_EXCEPTION: _ClassVar[Evidence]
    PATCHED_BUILTINS: _ClassVar[Evidence]
VERDICT_UNSPECIFIED: Verdict
PASSED: Verdict
WRONG_ANSWER: Verdict
RUNTIME_ERROR: Verdict
COMPILE_ERROR: Verdict
TIME_LIMIT: Verdict
MEMORY_LIMIT: Verdict
OUTPUT_LIMIT: Verdict
SKIPPED: Verdict
ENGINE_ERROR: Verdict
SEAL_UNSPECIFIED: Seal
IN_PROCESS: Seal
COMPARED: Seal
SEALED: Seal
EVIDENCE_UNSPECIFIED: Evidence
EARLY_EXIT: Evidence
DENIED_SYSTEM_CALL: Evidence
CHANNEL_WRITE: Evidence
TEST_FILE_READ: Evidence
SWALLOWED_EXCEPTION: Evidence
PATCHED_BUILTINS: Evidence

class Limits(_message.Message):
    __slots__ = ("cpu_time_s", "wall_time_s", "memory_bytes", "output_bytes", "processes", "disk_bytes", "isolate")
    CPU_TIME_S_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    ISOLATE_FIELD_NUMBER: _ClassVar[int]
    cpu_time_s: float
    wall_time_s: float
    memory_bytes: int
    output_bytes: int
    processes: int
    disk_bytes: int
    isolate: bool
    def __init__(self, cpu_time_s: _Optional[float] = ..., wall_time_s: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., output_bytes: _Optional[int] = ..., processes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., isolate: bool = ...) -> None: ...

class Checker(_message.Message):
    __slots__ = ("kind", "rel_tol", "abs_tol", "source")
    KIND_FIELD_NUMBER: _ClassVar[int]
    REL_TOL_FIELD_NUMBER: _ClassVar[int]
    ABS_TOL_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    rel_tol: float
    abs_tol: float
    source: str
    def __init__(self, kind: _Optional[str] = ..., rel_tol: _Optional[float] = ..., abs_tol: _Optional[float] = ..., source: _Optional[str] = ...) -> None: ...

class Stdio(_message.Message):
    __slots__ = ("stdin", "expected_stdout", "checker")
    STDIN_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_STDOUT_FIELD_NUMBER: _ClassVar[int]
    CHECKER_FIELD_NUMBER: _ClassVar[int]
    stdin: bytes
    expected_stdout: bytes
    checker: Checker
    def __init__(self, stdin: _Optional[bytes] = ..., expected_stdout: _Optional[bytes] = ..., checker: _Optional[_Union[Checker, _Mapping]] = ...) -> None: ...

class Call(_message.Message):
    __slots__ = ("args_json", "kwargs_json", "expected_json")
    ARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    KWARGS_JSON_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_JSON_FIELD_NUMBER: _ClassVar[int]
    args_json: str
    kwargs_json: str
    expected_json: str
    def __init__(self, args_json: _Optional[str] = ..., kwargs_json: _Optional[str] = ..., expected_json: _Optional[str] = ...) -> None: ...

class Test(_message.Message):
    __slots__ = ("code", "stdio", "call", "unittest")
    CODE_FIELD_NUMBER: _ClassVar[int]
    STDIO_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    UNITTEST_FIELD_NUMBER: _ClassVar[int]
    code: bytes
    stdio: Stdio
    call: Call
    unittest: bytes
    def __init__(self, code: _Optional[bytes] = ..., stdio: _Optional[_Union[Stdio, _Mapping]] = ..., call: _Optional[_Union[Call, _Mapping]] = ..., unittest: _Optional[bytes] = ...) -> None: ...

class Suite(_message.Message):
    __slots__ = ("problem_id", "entry_point", "language", "image", "test_setup", "tests", "limits", "min_seal")
    PROBLEM_ID_FIELD_NUMBER: _ClassVar[int]
    ENTRY_POINT_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    TEST_SETUP_FIELD_NUMBER: _ClassVar[int]
    TESTS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MIN_SEAL_FIELD_NUMBER: _ClassVar[int]
    problem_id: str
    entry_point: str
    language: str
    image: str
    test_setup: bytes
    tests: _containers.RepeatedCompositeFieldContainer[Test]
    limits: Limits
    min_seal: Seal
    def __init__(self, problem_id: _Optional[str] = ..., entry_point: _Optional[str] = ..., language: _Optional[str] = ..., image: _Optional[str] = ..., test_setup: _Optional[bytes] = ..., tests: _Optional[_Iterable[_Union[Test, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., min_seal: _Optional[_Union[Seal, str]] = ...) -> None: ...

class GradeRequest(_message.Message):
    __slots__ = ("request_id", "suite", "suite_sha256", "programs", "stop_early", "first_index", "fresh", "idempotency_key")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SUITE_FIELD_NUMBER: _ClassVar[int]
    SUITE_SHA256_FIELD_NUMBER: _ClassVar[int]
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    STOP_EARLY_FIELD_NUMBER: _ClassVar[int]
    FIRST_INDEX_FIELD_NUMBER: _ClassVar[int]
    FRESH_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    suite: Suite
    suite_sha256: bytes
    programs: _containers.RepeatedScalarFieldContainer[bytes]
    stop_early: bool
    first_index: int
    fresh: bool
    idempotency_key: str
    def __init__(self, request_id: _Optional[str] = ..., suite: _Optional[_Union[Suite, _Mapping]] = ..., suite_sha256: _Optional[bytes] = ..., programs: _Optional[_Iterable[bytes]] = ..., stop_early: bool = ..., first_index: _Optional[int] = ..., fresh: bool = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class TestResult(_message.Message):
    __slots__ = ("verdict", "seal", "cpu_time_s", "wall_time_s", "memory_bytes", "message")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SEAL_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_S_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    seal: Seal
    cpu_time_s: float
    wall_time_s: float
    memory_bytes: int
    message: str
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., seal: _Optional[_Union[Seal, str]] = ..., cpu_time_s: _Optional[float] = ..., wall_time_s: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class SubmissionResult(_message.Message):
    __slots__ = ("index", "program_sha256", "verdict", "pass_rate", "tests", "evidence", "cached", "cpu_time_s")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_SHA256_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    PASS_RATE_FIELD_NUMBER: _ClassVar[int]
    TESTS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_S_FIELD_NUMBER: _ClassVar[int]
    index: int
    program_sha256: bytes
    verdict: Verdict
    pass_rate: float
    tests: _containers.RepeatedCompositeFieldContainer[TestResult]
    evidence: _containers.RepeatedScalarFieldContainer[Evidence]
    cached: bool
    cpu_time_s: float
    def __init__(self, index: _Optional[int] = ..., program_sha256: _Optional[bytes] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., pass_rate: _Optional[float] = ..., tests: _Optional[_Iterable[_Union[TestResult, _Mapping]]] = ..., evidence: _Optional[_Iterable[_Union[Evidence, str]]] = ..., cached: bool = ..., cpu_time_s: _Optional[float] = ...) -> None: ...

class EngineStamp(_message.Message):
    __slots__ = ("version", "image", "protections")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    PROTECTIONS_FIELD_NUMBER: _ClassVar[int]
    version: str
    image: str
    protections: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, version: _Optional[str] = ..., image: _Optional[str] = ..., protections: _Optional[_Iterable[str]] = ...) -> None: ...

class ErrorDetail(_message.Message):
    __slots__ = ("code", "message", "field", "retry_after_s")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    field: str
    retry_after_s: float
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class GradeResponse(_message.Message):
    __slots__ = ("request_id", "results", "engine", "done", "error")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    results: _containers.RepeatedCompositeFieldContainer[SubmissionResult]
    engine: EngineStamp
    done: bool
    error: ErrorDetail
    def __init__(self, request_id: _Optional[str] = ..., results: _Optional[_Iterable[_Union[SubmissionResult, _Mapping]]] = ..., engine: _Optional[_Union[EngineStamp, _Mapping]] = ..., done: bool = ..., error: _Optional[_Union[ErrorDetail, _Mapping]] = ...) -> None: ...

class GradeBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[GradeRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[GradeRequest, _Mapping]]] = ...) -> None: ...

class GradeBatchResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[GradeResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[GradeResponse, _Mapping]]] = ...) -> None: ...

class File(_message.Message):
    __slots__ = ("name", "content")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    content: bytes
    def __init__(self, name: _Optional[str] = ..., content: _Optional[bytes] = ...) -> None: ...

class RunRequest(_message.Message):
    __slots__ = ("source", "stdin", "language", "image", "limits", "idempotency_key", "files", "fetch_files")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    FETCH_FILES_FIELD_NUMBER: _ClassVar[int]
    source: bytes
    stdin: bytes
    language: str
    image: str
    limits: Limits
    idempotency_key: str
    files: _containers.RepeatedCompositeFieldContainer[File]
    fetch_files: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, source: _Optional[bytes] = ..., stdin: _Optional[bytes] = ..., language: _Optional[str] = ..., image: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., idempotency_key: _Optional[str] = ..., files: _Optional[_Iterable[_Union[File, _Mapping]]] = ..., fetch_files: _Optional[_Iterable[str]] = ...) -> None: ...

class RunResponse(_message.Message):
    __slots__ = ("verdict", "exit_code", "stdout", "stderr", "cpu_time_s", "wall_time_s", "memory_bytes", "message", "engine", "files")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_S_FIELD_NUMBER: _ClassVar[int]
    WALL_TIME_S_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    exit_code: int
    stdout: bytes
    stderr: bytes
    cpu_time_s: float
    wall_time_s: float
    memory_bytes: int
    message: str
    engine: EngineStamp
    files: _containers.RepeatedCompositeFieldContainer[File]
    def __init__(self, verdict: _Optional[_Union[Verdict, str]] = ..., exit_code: _Optional[int] = ..., stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., cpu_time_s: _Optional[float] = ..., wall_time_s: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., message: _Optional[str] = ..., engine: _Optional[_Union[EngineStamp, _Mapping]] = ..., files: _Optional[_Iterable[_Union[File, _Mapping]]] = ...) -> None: ...

class AbandonRequest(_message.Message):
    __slots__ = ("idempotency_keys",)
    IDEMPOTENCY_KEYS_FIELD_NUMBER: _ClassVar[int]
    idempotency_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, idempotency_keys: _Optional[_Iterable[str]] = ...) -> None: ...

class AbandonResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ImageInfo(_message.Message):
    __slots__ = ("name", "digest", "languages")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    digest: str
    languages: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., digest: _Optional[str] = ..., languages: _Optional[_Iterable[str]] = ...) -> None: ...

class CacheInfo(_message.Message):
    __slots__ = ("hits", "misses", "entries", "bytes", "disk_bytes")
    HITS_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    hits: int
    misses: int
    entries: int
    bytes: int
    disk_bytes: int
    def __init__(self, hits: _Optional[int] = ..., misses: _Optional[int] = ..., entries: _Optional[int] = ..., bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ...) -> None: ...

class InfoResponse(_message.Message):
    __slots__ = ("version", "images", "ceilings", "defaults", "protections", "workers", "max_message_bytes", "max_program_bytes", "cache", "fronts", "front")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    CEILINGS_FIELD_NUMBER: _ClassVar[int]
    DEFAULTS_FIELD_NUMBER: _ClassVar[int]
    PROTECTIONS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PROGRAM_BYTES_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    FRONTS_FIELD_NUMBER: _ClassVar[int]
    FRONT_FIELD_NUMBER: _ClassVar[int]
    version: str
    images: _containers.RepeatedCompositeFieldContainer[ImageInfo]
    ceilings: Limits
    defaults: Limits
    protections: _containers.RepeatedScalarFieldContainer[str]
    workers: int
    max_message_bytes: int
    max_program_bytes: int
    cache: CacheInfo
    fronts: int
    front: int
    def __init__(self, version: _Optional[str] = ..., images: _Optional[_Iterable[_Union[ImageInfo, _Mapping]]] = ..., ceilings: _Optional[_Union[Limits, _Mapping]] = ..., defaults: _Optional[_Union[Limits, _Mapping]] = ..., protections: _Optional[_Iterable[str]] = ..., workers: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., max_program_bytes: _Optional[int] = ..., cache: _Optional[_Union[CacheInfo, _Mapping]] = ..., fronts: _Optional[int] = ..., front: _Optional[int] = ...) -> None: ...
