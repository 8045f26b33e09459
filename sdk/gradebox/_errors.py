"""What can go wrong with a call. A bad program is a verdict, never an exception.

GradeboxError
├── InvalidRequest      what was asked makes no sense; `field` says where
├── Overloaded          the engine's queue is full; the same call later may succeed
├── Unavailable         no engine answers at the address, or it has no worker
├── DeadlineExceeded    `timeout_s` passed before the answer was there
└── EngineFault         the engine broke: it could not start, it died, or it has a bug
"""

from gradebox_proto.v1 import grading_pb2 as wire


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


class Overloaded(GradeboxError):
    """The engine's queue is full; the same call later may succeed."""


class Unavailable(GradeboxError):
    """No engine answers at the address, or it has no worker."""


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
    8: Overloaded,  # RESOURCE_EXHAUSTED
    14: Unavailable,  # UNAVAILABLE
}
_TOO_LARGE = "larger than max"  # how gRPC words a message above the engine's limit


def from_status(code: int, message: str, field: str = "") -> GradeboxError:
    """The exception for a gRPC status code and its text."""
    kind = _CLASSES.get(code, EngineFault)
    if kind is InvalidRequest or (kind is Overloaded and _TOO_LARGE in message):
        return InvalidRequest(message, field.removeprefix("suite."))
    return kind(message)


def from_detail(detail: wire.ErrorDetail) -> GradeboxError:
    """The exception for an error that came inside an answer."""
    return from_status(detail.code, detail.message, detail.field)
