"""What can go wrong with a call. A bad program is a verdict, never an exception.

GradeboxError
├── InvalidRequest      what was asked makes no sense; `field` says where
├── AccessDenied        the engine does not accept the token, or the certificate
├── Overloaded          the engine's queue is full, or a quota is used up; the same call later may succeed
├── Unavailable         no engine answers at the address, or it has no worker
├── DeadlineExceeded    `timeout_s` passed before the answer was there
└── EngineFault         the engine broke: it could not start, it died, or it has a bug
"""

import contextlib
from typing import Self

import grpc
from google.protobuf.message import DecodeError

from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed


class GradeboxError(Exception):
    """Anything that this package raises on purpose."""


class InvalidRequest(GradeboxError):
    """What was asked makes no sense.

    Attributes:
        field: path of what is wrong, such as `tests[3].checker.kind`; "" where it is no one field.
        problem: what is wrong with it.
    """

    def __init__(self, problem: str, field: str = "") -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.problem, self.field)  # of pools of processes


class AccessDenied(GradeboxError):
    """The engine does not accept the token, or the certificate, for this call."""


class Overloaded(GradeboxError):
    """The engine's queue is full, or a quota is used up; the same call later may succeed.

    Attributes:
        retry_after_s: seconds that the engine asks to wait; 0 where it does not say.
    """

    retry_after_s = 0.0


class Unavailable(GradeboxError):
    """No engine answers at the address, or it has no worker.

    Attributes:
        retry_after_s: seconds that the engine asks to wait; 0 where it does not say.
    """

    retry_after_s = 0.0
    _said = False  # by an engine that is there, and not by its absence


class DeadlineExceeded(GradeboxError):
    """`timeout_s` passed before the answer was there."""


class EngineFault(GradeboxError):
    """The engine broke: it could not start, it died, or it has a bug."""


# gRPC status codes; what is not here is an EngineFault.
NOT_FOUND = 5
_CLASSES: dict[int, type[GradeboxError]] = {
    1: Unavailable,  # CANCELLED, not by us: the engine is ending
    3: InvalidRequest,  # INVALID_ARGUMENT
    4: DeadlineExceeded,  # DEADLINE_EXCEEDED
    NOT_FOUND: InvalidRequest,
    7: AccessDenied,  # PERMISSION_DENIED
    8: Overloaded,  # RESOURCE_EXHAUSTED
    14: Unavailable,  # UNAVAILABLE
    16: AccessDenied,  # UNAUTHENTICATED
}
_LOST_WHILE_WRITING = "Internal error from Core"  # how grpc.aio words a message that it can send no more
_RETRY_INFO = "google.rpc.RetryInfo"
_TOO_LARGE = "larger than max"  # how gRPC words a message above the engine's limit


def from_status(code: int, message: str, field: str = "") -> GradeboxError:
    """The exception for a gRPC status code and its text."""
    kind = _CLASSES.get(code, EngineFault)
    if kind is InvalidRequest or (kind is Overloaded and _TOO_LARGE in message):
        return InvalidRequest(message, field.removeprefix("suite."))
    return kind(message)


def from_detail(detail: wire.ErrorDetail) -> GradeboxError:
    """The exception for an error that came inside an answer."""
    error = from_status(detail.code, detail.message, detail.field)
    if isinstance(error, Overloaded | Unavailable):
        error.retry_after_s = detail.retry_after_s
    if isinstance(error, Unavailable):
        error._said = True
    return error


def from_rpc(error: grpc.aio.AioRpcError) -> GradeboxError:
    """The exception for a call that ended with a gRPC status."""
    metadata = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, bytes)}
    if (detail := metadata.get("gradebox-error-bin")) is not None:
        known = from_detail(wire.ErrorDetail.FromString(detail))
    else:
        text = error.details() or error.code().name
        if _LOST_WHILE_WRITING in text:
            return Unavailable("the connection was lost")
        known = from_status(error.code().value[0], text)
    if isinstance(known, Overloaded | Unavailable) and (details := metadata.get("grpc-status-details-bin")) is not None:
        known.retry_after_s = known.retry_after_s or _retry_delay_s(details)
    return known


def _retry_delay_s(status: bytes) -> float:
    """The delay of the RetryInfo in a serialized google.rpc.Status; 0 where there is none."""
    with contextlib.suppress(DecodeError):
        for detail in routed.StatusDetails.FromString(status).details:
            if detail.type_url.rpartition("/")[2] == _RETRY_INFO:
                delay = routed.RetryInfo.FromString(detail.value).retry_delay
                return max(0.0, delay.seconds + delay.nanos / 1e9)
    return 0.0
