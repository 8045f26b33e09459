"""What an engine answers, as frozen values. Times are seconds, sizes bytes."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gradebox._errors import GradeboxError
from gradebox._problems import Limits
from gradebox._words import Evidence, Seal, Verdict
from gradebox_proto.v1 import grading_pb2 as wire


@dataclass(frozen=True, slots=True)
class EngineStamp:
    """Which engine gave a result: version, image with digest, active protections."""

    version: str
    image: str
    protections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TestResult:
    """One test case of one submission. `seal` is None where the engine never looked at the test."""

    __test__ = False  # not a test class for pytest

    verdict: Verdict
    seal: Seal | None
    cpu_time_s: float
    wall_time_s: float
    memory_bytes: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """One program graded for one problem.

    `index` is the program's place among those sent, `program_sha256` hexadecimal.
    `pass_rate` is None when no test case got a real verdict. `evidence` says what else the program
    tried, if anything. `cached` says that the engine had it from an earlier run of the same program,
    times and all.
    """

    index: int
    problem_id: str
    program_sha256: str
    verdict: Verdict
    pass_rate: float | None
    tests: tuple[TestResult, ...]
    engine: EngineStamp = field(repr=False)
    evidence: tuple[Evidence, ...] = ()
    cached: bool = False

    def to_label(self) -> dict[str, Any]:
        """The row of a labels file."""
        return {
            "id": self.problem_id,
            "program_index": self.index,
            "program_sha256": self.program_sha256,
            "verdict": self.verdict.name,
            "pass_rate": self.pass_rate,
            "tests": [_test_label(test) for test in self.tests],
            "evidence": [sign.name for sign in self.evidence],
            "engine": {
                "version": self.engine.version,
                "image": self.engine.image,
                "protections": list(self.engine.protections),
            },
        }


@dataclass(frozen=True, slots=True)
class Graded:
    """The answer to one GradeItem: its key, and results in the order of its programs.

    `error` is set where the engine refused this item; reading `results` then raises it.
    """

    key: Hashable
    error: GradeboxError | None
    graded: tuple[SubmissionResult, ...]

    @property
    def results(self) -> tuple[SubmissionResult, ...]:
        """One result a program. Raises `error` if there is one."""
        if self.error is not None:
            raise self.error
        return self.graded


@dataclass(frozen=True, slots=True)
class RunResult:
    """One program that was run. `verdict` is PASSED when it ended with status 0.

    `exit_code` is None when it was ended by a signal or a limit. `files` are those that were to be fetched, by name, as
    far as the program has left them.
    """

    verdict: Verdict
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    cpu_time_s: float
    wall_time_s: float
    memory_bytes: int
    message: str
    engine: EngineStamp
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """A root file system that programs can run in."""

    name: str
    digest: str
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What an engine's cache of results did since the engine started, and holds; of one front where it has several.

    `entries` and `bytes` are in memory, `disk_bytes` in its file, if it has one.
    """

    hits: int
    misses: int
    entries: int
    bytes: int
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is and offers. Requests get at most `ceilings`, and `defaults` unasked.

    `cache` is None where results are not kept.
    """

    version: str
    images: tuple[ImageInfo, ...]
    ceilings: Limits
    defaults: Limits
    protections: tuple[str, ...]
    workers: int
    max_message_bytes: int
    max_program_bytes: int
    cache: CacheInfo | None = None


_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_SEALS = {seal.value: seal for seal in Seal}
_EVIDENCE = {sign.value: sign for sign in Evidence}


def stamp_from_wire(message: wire.EngineStamp) -> EngineStamp:
    """An EngineStamp message, typed."""
    return EngineStamp(message.version, message.image, tuple(message.protections))


def result_from_wire(message: wire.SubmissionResult, problem_id: str, engine: EngineStamp) -> SubmissionResult:
    """A SubmissionResult message, typed."""
    verdict = _VERDICTS[message.verdict]
    tests = tuple(
        TestResult(
            _VERDICTS[test.verdict],
            _SEALS.get(test.seal),
            test.cpu_time_s,
            test.wall_time_s,
            test.memory_bytes,
            test.message,
        )
        for test in message.tests
    )
    pass_rate = message.pass_rate if message.HasField("pass_rate") else None
    if verdict is Verdict.ENGINE_ERROR and all(test.verdict is Verdict.ENGINE_ERROR for test in tests):
        pass_rate = None  # whatever an engine says: it is no failure of the program's
    return SubmissionResult(
        message.index,
        problem_id,
        message.program_sha256.hex(),
        verdict,
        pass_rate,
        tests,
        engine,
        tuple(_EVIDENCE[sign] for sign in message.evidence if sign in _EVIDENCE),
        message.cached,
    )


def run_from_wire(message: wire.RunResponse) -> RunResult:
    """A RunResponse message, typed."""
    return RunResult(
        verdict=_VERDICTS[message.verdict],
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        stdout=message.stdout,
        stderr=message.stderr,
        cpu_time_s=message.cpu_time_s,
        wall_time_s=message.wall_time_s,
        memory_bytes=message.memory_bytes,
        message=message.message,
        engine=stamp_from_wire(message.engine),
        files={file.name: file.content for file in message.files},
    )


def info_from_wire(message: wire.InfoResponse) -> EngineInfo:
    """An InfoResponse message, typed."""
    return EngineInfo(
        version=message.version,
        images=tuple(ImageInfo(i.name, i.digest, tuple(i.languages)) for i in message.images),
        ceilings=Limits.from_wire(message.ceilings),
        defaults=Limits.from_wire(message.defaults),
        protections=tuple(message.protections),
        workers=message.workers,
        max_message_bytes=message.max_message_bytes,
        max_program_bytes=message.max_program_bytes,
        cache=_cache_from_wire(message.cache) if message.HasField("cache") else None,
    )


def _cache_from_wire(message: wire.CacheInfo) -> CacheInfo:
    return CacheInfo(message.hits, message.misses, message.entries, message.bytes, message.disk_bytes)


def _test_label(test: TestResult) -> dict[str, Any]:
    label: dict[str, Any] = {
        "verdict": test.verdict.name,
        "seal": test.seal.name if test.seal else None,
        "cpu_time_s": test.cpu_time_s,
        "wall_time_s": test.wall_time_s,
        "memory_bytes": test.memory_bytes,
    }
    if test.message:
        label["message"] = test.message
    return label
