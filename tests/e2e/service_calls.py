"""Calls of a server as any gRPC client makes them: credentials, tokens, and what its errors say."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import trustme
from google.rpc import error_details_pb2, status_pb2

from gradebox_engine.tenants import new_token
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import grading_pb2_grpc as stubs

GOOD = b"def f(x):\n    return x + 1\n"
ENDLESS = b"def f(x):\n    while True: pass\n"
TESTS = [wire.Test(code=b"assert f(1) == 2")]
PAST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def tenant(name: str, **settings: float) -> tuple[str, str]:
    """A token, and the configuration of a tenant that has it."""
    token, digest = new_token()
    lines = [f"[tenants.{name}]", f'tokens = ["{digest}"]', *(f"{key} = {value}" for key, value in settings.items())]
    return token, "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Refusal:
    """A call that ended with an error."""

    code: grpc.StatusCode
    text: str
    detail: wire.ErrorDetail
    standard: status_pb2.Status

    def has(self, kind: type[Any]) -> Any:
        """The google.rpc detail of this kind; None where there is none."""
        for packed in self.standard.details:
            if packed.Is(kind.DESCRIPTOR):
                found = kind()
                packed.Unpack(found)
                return found
        return None

    @property
    def retry_s(self) -> float:
        """As RetryInfo has it; 0 where there is none."""
        info = self.has(error_details_pb2.RetryInfo)
        return 0.0 if info is None else info.retry_delay.ToNanoseconds() / 1e9


def refusal(error: grpc.RpcError) -> Refusal:
    """What an error says."""
    assert isinstance(error, grpc.Call)
    metadata = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, bytes)}
    return Refusal(
        error.code(),
        error.details() or "",
        wire.ErrorDetail.FromString(metadata.get("gradebox-error-bin", b"")),
        status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b"")),
    )


class Caller:
    """One connection to a server."""

    def __init__(
        self,
        target: str,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        own = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1), *options)
        if credentials is None:
            self.channel = grpc.insecure_channel(target, own)
        else:
            self.channel = grpc.secure_channel(target, credentials, own)
        self.stub: Any = stubs.GradingStub(self.channel)  # type: ignore[no-untyped-call]
        self.metadata = () if token is None else (("authorization", f"Bearer {token}"),)

    def start(self, *programs: bytes, timeout_s: float | None = 60.0, **limits: float) -> Any:
        """Grade, as the call that is under way."""
        suite = wire.Suite(tests=TESTS, limits=wire.Limits(**limits) if limits else None)  # type: ignore[arg-type]
        request = wire.GradeRequest(request_id="r", suite=suite, programs=programs or (GOOD,))
        return self.stub.Grade(request, timeout=timeout_s, metadata=self.metadata)

    def grade(self, *programs: bytes, timeout_s: float | None = 60.0, **limits: float) -> list[int]:
        """Verdicts in the order of the programs. Raises grpc.RpcError."""
        call = self.start(*programs, timeout_s=timeout_s, **limits)
        results = {result.index: result.verdict for answer in call for result in answer.results}
        return [results[index] for index in sorted(results)]

    def refused(self, *programs: bytes, **limits: float) -> Refusal:
        """What Grade is refused with."""
        try:
            verdicts = self.grade(*programs, **limits)
        except grpc.RpcError as error:
            return refusal(error)
        raise AssertionError(f"not refused, but {verdicts}")

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()


class Authority:
    """A certificate authority, and files of what it issues."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._ca = trustme.CA()
        self.file = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, expired: bool = False) -> tuple[Path, Path]:
        """A certificate and its key, for this machine; files with these names are replaced."""
        made = self._ca.issue_cert("localhost", "127.0.0.1", not_after=PAST if expired else None)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        key.write_bytes(made.private_key_pem.bytes())
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        return certificate, key


def credentials(authority: Path, pair: tuple[Path, Path] | None = None) -> grpc.ChannelCredentials:
    """Of a client that trusts an authority and shows a certificate."""
    certificate, key = (pair[0].read_bytes(), pair[1].read_bytes()) if pair else (None, None)
    return grpc.ssl_channel_credentials(authority.read_bytes(), key, certificate)
