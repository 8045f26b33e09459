"""What the front makes of requests: suites checked once and kept, and results of its own."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from gradebox_engine.convert import (
    InvalidSuite,
    limits_from_wire,
    limits_to_wire,
    normalised,
    suite_from_wire,
    suite_key,
)
from gradebox_engine.limits import Ceilings, Limits, longest_wall_time_s
from gradebox_engine.work import SuiteEntry
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

CACHE_BYTES = 256 << 20
CACHE_ENTRIES = 20_000
_GRACE_S = 60.0


class UnknownSuite(LookupError):
    """A suite named by a SHA-256 that this engine does not have (any more)."""


@dataclass(frozen=True, slots=True)
class Image:
    """What programs can run in; there is one an engine."""

    name: str
    digest: str
    languages: tuple[str, ...] = ("python",)

    def check(self, image: str, language: str, field: str) -> None:
        """Raises InvalidSuite unless this is the image and it has the language ("" means any)."""
        if language and language not in self.languages:
            have = ", ".join(self.languages)
            raise InvalidSuite(f"{field}language", f"{language!r} is not offered; there is {have}")
        if image and image not in (self.name, f"{self.name}@{self.digest}"):
            have = f"{self.name}@{self.digest}"
            raise InvalidSuite(f"{field}image", f"{image!r} is not offered; there is {have}")


def program_bound_s(limits: Limits, tests: int) -> float:
    """Seconds after which a worker that has not answered for one program must be broken."""
    return _GRACE_S + 2 * (tests + 1) * longest_wall_time_s(limits)  # a test that times out makes the next one load


class Suites:
    """Suites by the SHA-256 of the bytes that a caller sent, in the form that workers get."""

    def __init__(self, image: Image, ceilings: Ceilings) -> None:
        self._image = image
        self._ceilings = ceilings
        self._entries: OrderedDict[bytes, SuiteEntry] = OrderedDict()
        self._bytes = 0

    def find(self, request: routed.RoutedGradeRequest) -> SuiteEntry:
        """The suite of a request. Raises UnknownSuite and InvalidSuite."""
        which = request.WhichOneof("suite_ref")
        if which is None:
            raise InvalidSuite("suite", "missing")
        inline = which == "suite"
        key = hashlib.sha256(request.suite).digest() if inline else request.suite_sha256
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
            return entry
        if not inline:
            raise UnknownSuite(f"no suite {key.hex()} here; send it in full")
        entry = self._check(request.suite)
        self._keep(key, entry)
        return entry

    def _check(self, data: bytes) -> SuiteEntry:
        try:
            message = wire.Suite.FromString(data)
        except Exception as error:  # protobuf's DecodeError differs between its implementations
            raise InvalidSuite("suite", f"not a Suite message: {error}") from None
        self._image.check(message.image, message.language, "suite.")
        suite = suite_from_wire(message, self._ceilings)
        full = normalised(message, suite.limits, self._image.name)
        tests = len(suite.tests)
        return SuiteEntry(suite_key(full), full, tests, program_bound_s(suite.limits, tests))

    def _keep(self, key: bytes, entry: SuiteEntry) -> None:
        self._entries[key] = entry
        self._bytes += len(entry.data)
        while len(self._entries) > CACHE_ENTRIES or (self._bytes > CACHE_BYTES and len(self._entries) > 1):
            _, old = self._entries.popitem(last=False)
            self._bytes -= len(old.data)

    def run_request(self, request: wire.RunRequest) -> tuple[SuiteEntry, bytes]:
        """A RunRequest as workers get it, and what bounds it. Raises InvalidSuite."""
        self._image.check(request.image, request.language, "")
        limits = limits_from_wire(request.limits, self._ceilings)
        request.limits.CopyFrom(limits_to_wire(limits))
        request.image = self._image.name
        entry = SuiteEntry(b"", b"", 1, program_bound_s(limits, 1))
        return entry, request.SerializeToString()


def own_result(index: int, source: bytes, tests: int, verdict: "wire.Verdict", message: str) -> bytes:
    """A result that the front gives without running the program: ENGINE_ERROR, or one too large."""
    test = wire.TestResult(verdict=verdict, seal=wire.SEALED, message=message)
    result = wire.SubmissionResult(
        index=index,
        program_sha256=hashlib.sha256(source).digest(),
        verdict=verdict,
        tests=[test] * tests,
    )
    if verdict != wire.ENGINE_ERROR:
        result.pass_rate = 0.0
    return result.SerializeToString()
