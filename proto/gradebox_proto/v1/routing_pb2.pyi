from google.protobuf import any_pb2 as _any_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RoutedGradeRequest(_message.Message):
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
    suite: bytes
    suite_sha256: bytes
    programs: _containers.RepeatedScalarFieldContainer[bytes]
    stop_early: bool
    first_index: int
    fresh: bool
    idempotency_key: str
    def __init__(self, request_id: _Optional[str] = ..., suite: _Optional[bytes] = ..., suite_sha256: _Optional[bytes] = ..., programs: _Optional[_Iterable[bytes]] = ..., stop_early: bool = ..., first_index: _Optional[int] = ..., fresh: bool = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class RoutedGradeResponse(_message.Message):
    __slots__ = ("request_id", "results", "engine", "done", "error")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    results: _containers.RepeatedScalarFieldContainer[bytes]
    engine: bytes
    done: bool
    error: bytes
    def __init__(self, request_id: _Optional[str] = ..., results: _Optional[_Iterable[bytes]] = ..., engine: _Optional[bytes] = ..., done: bool = ..., error: _Optional[bytes] = ...) -> None: ...

class RoutedGradeBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RoutedGradeRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RoutedGradeRequest, _Mapping]]] = ...) -> None: ...

class RoutedGradeBatchResponse(_message.Message):
    __slots__ = ("responses",)
    RESPONSES_FIELD_NUMBER: _ClassVar[int]
    responses: _containers.RepeatedCompositeFieldContainer[RoutedGradeResponse]
    def __init__(self, responses: _Optional[_Iterable[_Union[RoutedGradeResponse, _Mapping]]] = ...) -> None: ...

class ResultHead(_message.Message):
    __slots__ = ("index", "verdict", "cached", "cpu_time_s")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_S_FIELD_NUMBER: _ClassVar[int]
    index: int
    verdict: int
    cached: bool
    cpu_time_s: float
    def __init__(self, index: _Optional[int] = ..., verdict: _Optional[int] = ..., cached: bool = ..., cpu_time_s: _Optional[float] = ...) -> None: ...

class StatusDetails(_message.Message):
    __slots__ = ("details",)
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    details: _containers.RepeatedCompositeFieldContainer[_any_pb2.Any]
    def __init__(self, details: _Optional[_Iterable[_Union[_any_pb2.Any, _Mapping]]] = ...) -> None: ...

class RetryInfo(_message.Message):
    __slots__ = ("retry_delay",)
    RETRY_DELAY_FIELD_NUMBER: _ClassVar[int]
    retry_delay: _duration_pb2.Duration
    def __init__(self, retry_delay: _Optional[_Union[_duration_pb2.Duration, _Mapping]] = ...) -> None: ...
