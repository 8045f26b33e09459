"""Errors in the standard form, google.rpc.Status, beside our own ErrorDetail: what any gRPC client can act on."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc import status_pb2

from gradebox_proto.v1 import grading_pb2 as wire

STATUS_KEY = "grpc-status-details-bin"  # trailing metadata, of all gRPC implementations


def status_bytes(error: wire.ErrorDetail, quota: str | None = None) -> bytes:
    """A serialized google.rpc.Status. quota: the name of the one that is passed, if it is for that.

    It has RetryInfo where the error says when to ask again, a BadRequest with the field where one is at
    fault, and a QuotaFailure.
    """
    status = status_pb2.Status(code=error.code, message=error.message)
    found: list[Message] = []
    if error.retry_after_s:
        nanos = round(error.retry_after_s * 1e9)
        delay = Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
        found.append(details.RetryInfo(retry_delay=delay))
    if error.field:
        violation = details.BadRequest.FieldViolation(field=error.field, description=error.message)
        found.append(details.BadRequest(field_violations=[violation]))
    if quota is not None:
        passed = details.QuotaFailure.Violation(subject=quota, description=error.message)
        found.append(details.QuotaFailure(violations=[passed]))
    for message in found:
        status.details.add().Pack(message)
    serialized: bytes = status.SerializeToString()
    return serialized
